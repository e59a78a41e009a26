// SPDX-License-Identifier: Apache-2.0
//
// A statistic with one writer and any number of readers. The worker that owns it adds with a plain
// load and a plain store, so the hot path pays no locked instruction; a reader on another thread
// sees some recent value, never a torn one, and a monotonic counter stays monotonic.

#pragma once

#include <atomic>
#include <cstdint>

namespace devmem {

class Counter {
 public:
  Counter() = default;
  Counter(const Counter& other) : value_(other.value()) {}
  Counter& operator=(const Counter& other) {
    value_.store(other.value(), std::memory_order_relaxed);
    return *this;
  }

  // Only the owning worker calls these. Relaxed: a reader needs the number, not what it counted.
  void Add(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void operator++() { Add(1); }

  // Any thread.
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }
  // Implicit, so that a statistic is used like the number that it is.
  operator uint64_t() const { return value(); }  // NOLINT(google-explicit-constructor)

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace devmem
