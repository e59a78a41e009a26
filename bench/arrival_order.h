// SPDX-License-Identifier: Apache-2.0
//
// In which order the segments of one flow arrive in the receive benchmarks, ours and lwIP's alike:
// one in a hundred comes late. Single thread.

#pragma once

#include <cstdint>

namespace devmem::bench {

enum class Disorder : uint8_t {
  kNone,
  kReorder,  // The late one is overtaken by 3 others: too few for a retransmission (RFC 5681).
  kLoss,     // The late one is a retransmission, 16 segments later.
};

class ArrivalOrder {
 public:
  explicit ArrivalOrder(Disorder disorder)
      : late_by_(disorder == Disorder::kNone      ? 0
                 : disorder == Disorder::kReorder ? 3
                                                  : 16) {}
  // The stream goes on where `before` stopped, at the end of a hundred.
  ArrivalOrder(Disorder disorder, const ArrivalOrder& before) : ArrivalOrder(disorder) {
    arrived_ = before.arrived_;
  }

  // The number, from 0, of the segment that arrives next. Of each hundred, number 50 is late.
  uint64_t Next() {
    const uint64_t place = arrived_++;
    const uint64_t hundred = place - place % kPeriod;
    const uint64_t within = place % kPeriod;
    if (within < kLate || within > kLate + late_by_) return place;
    return hundred + (within == kLate + late_by_ ? kLate : within + 1);
  }

 private:
  static constexpr uint64_t kPeriod = 100;
  static constexpr uint64_t kLate = 50;

  uint64_t late_by_;
  uint64_t arrived_ = 0;
};

}  // namespace devmem::bench
