// SPDX-License-Identifier: Apache-2.0
// A TCP sequence number: a point on a circle of 2^32 bytes, following RFC 9293 section 3.4. The
// header views produce it and the TCP engine computes with it, on the thread of the connection's
// worker. It is its own type, so it cannot be mixed up with a byte count or compared as a plain
// integer.
#pragma once

#include <cstdint>

namespace devmem {

// The order is modular: `a < b` says that b lies less than half a circle ahead of a.
//
//        a ------ less than 2^31 bytes ------> b          a < b, and b - a > 0
//
// That is no total order. It is not transitive (0 < 2^30 < 2^31 < 3 * 2^30 < 0), and two numbers
// exactly 2^31 apart are each before the other. Compare numbers of one connection that lie within
// one window of each other, and keep SeqNum out of sorted containers.
class SeqNum {
 public:
  constexpr SeqNum() = default;
  explicit constexpr SeqNum(uint32_t value) : value_(value) {}

  constexpr uint32_t value() const { return value_; }

  // Whether this number is one of the `size` numbers that begin at `start`. An empty window holds
  // nothing; unlike the order, this is exact for every size.
  constexpr bool InWindow(SeqNum start, uint32_t size) const {
    return value_ - start.value_ < size;
  }

  constexpr SeqNum& operator+=(uint32_t bytes) {
    value_ += bytes;
    return *this;
  }
  constexpr SeqNum& operator-=(uint32_t bytes) {
    value_ -= bytes;
    return *this;
  }
  constexpr SeqNum& operator++() { return *this += 1; }

  friend constexpr bool operator==(SeqNum, SeqNum) = default;

 private:
  uint32_t value_ = 0;
};

constexpr SeqNum operator+(SeqNum seq, uint32_t bytes) { return SeqNum(seq.value() + bytes); }
constexpr SeqNum operator-(SeqNum seq, uint32_t bytes) { return SeqNum(seq.value() - bytes); }

// The signed bytes from `b` forward to `a`: negative when a lies behind b.
constexpr int32_t operator-(SeqNum a, SeqNum b) {
  return static_cast<int32_t>(a.value() - b.value());
}

// The signed bytes from `from` forward to `to`.
constexpr int32_t Distance(SeqNum from, SeqNum to) { return to - from; }

constexpr bool operator<(SeqNum a, SeqNum b) { return a - b < 0; }
constexpr bool operator>(SeqNum a, SeqNum b) { return b < a; }
constexpr bool operator<=(SeqNum a, SeqNum b) { return a == b || a < b; }
constexpr bool operator>=(SeqNum a, SeqNum b) { return b <= a; }

}  // namespace devmem
