// SPDX-License-Identifier: Apache-2.0
//
// What a link does to the frames of one direction: when each arrives, and whether it is lost,
// doubled, overtaken or damaged. The in-memory wire asks it once per frame, on the thread that
// drives the wire. All chance comes from a seeded generator of our own, so one seed gives one trace
// on every machine.

#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "netmem/nic/nanos.h"

namespace devmem {

// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014): one
// addition and three mixing steps per number, and every seed is as good as another.
class SeededRandom {
 public:
  explicit constexpr SeededRandom(uint64_t seed) : state_(seed) {}

  constexpr uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t word = state_;
    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
    word = (word ^ word >> 27) * 0x94d049bb133111eb;
    return word ^ word >> 31;
  }
  // A number below `bound`, which is not 0. The bias of the remainder is below bound / 2^64.
  constexpr uint64_t Below(uint64_t bound) { return Next() % bound; }

 private:
  uint64_t state_;
};

// The conditions in one direction. Probabilities are from 0 to 1, per frame, and independent.
struct ImpairmentConfig {
  uint64_t bandwidth_bits_per_s = 0;  // 0: a frame takes no time to send.
  Nanos delay_ns = 0;
  Nanos jitter_ns = 0;  // Up to so much more delay, evenly spread; does not change the order.
  double loss = 0;
  double duplication = 0;
  double corruption = 0;  // One bit behind the Ethernet addresses is flipped.
  double reorder = 0;     // The frame is held back, so that frames behind it overtake it.
  Nanos reorder_delay_ns = 100'000;  // By at least 1 and at most so much.
};

// What happens to one frame. Times are points in time; the duplicate travels by itself.
struct FrameFate {
  bool lost = false;
  bool duplicated = false;
  bool reordered = false;
  bool corrupted = false;
  Nanos due = 0;
  Nanos duplicate_due = 0;
  uint64_t corrupt_bit = 0;  // A random number: the bit is this modulo the bits there are.
};

class Impairment {
 public:
  // Errors: kOutOfRange  a probability outside 0 to 1, a negative time, no room to reorder.
  static absl::Status Check(const ImpairmentConfig& config);

  // `config` has passed Check(). Different streams of one seed are independent.
  Impairment(const ImpairmentConfig& config, uint64_t seed, uint64_t stream);

  // Decides on a frame of `line_bytes` bytes that is sent at `now`, which never goes back. Draws
  // the same number of random numbers for each frame, so that one setting does not shift another's
  // luck.
  FrameFate Next(Nanos now, uint64_t line_bytes);

  const ImpairmentConfig& config() const { return config_; }

 private:
  bool Happens(double probability);

  const ImpairmentConfig config_;
  const bool is_perfect_;  // Nothing but delay: no chance to draw for.
  SeededRandom random_;
  Nanos line_free_ = 0;      // When the last bit of the frame before has been sent.
  Nanos last_in_order_ = 0;  // Jitter does not let a frame arrive before its predecessor.
};

}  // namespace devmem
