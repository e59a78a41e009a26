// SPDX-License-Identifier: Apache-2.0
//
// Two NICs joined in memory under a virtual clock: what one sends arrives at the other later, or
// damaged, or twice, or not at all, as the configuration and a seed decide. Whoever drives a
// simulation owns the link, moves its clock and polls the NICs' queues, all on one thread.
//
//   a().queue(i).Transmit()  ->  schedule (ordered by due time)  --AdvanceTo()-->  b()'s rings  ->
//   Poll()
//
// The same configuration and the same calls give the same packets at the same times on every
// machine; trace_hash() is the proof.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/counter.h"
#include "netmem/nic/impairment.h"
#include "netmem/nic/nanos.h"
#include "netmem/nic/wire_nic.h"

namespace devmem {

// What NextDelivery() returns when nothing is on its way.
inline constexpr Nanos kNoDelivery = INT64_MAX;

struct WireConfig {
  uint64_t seed = 1;
  uint32_t mtu = kMtuDefault;
  // Whether TCP super-frames cross whole, as between two ends that both segment and coalesce.
  // False: a TxFrame with gso_segment_bytes is refused.
  bool gso = false;
  // Keeps trace_hash(). Benchmarks leave it off: it costs as much as some of what they measure.
  bool trace = true;
  ImpairmentConfig a_to_b = {};
  ImpairmentConfig b_to_a = {};
  WireNicConfig a = {};
  WireNicConfig b = {};
};

// One direction. sent + duplicated = lost + delivered + dropped + on the way.
struct WireDirectionStats {
  Counter sent;
  Counter lost;        // By chance.
  Counter duplicated;  // Further copies.
  Counter reordered;
  Counter corrupted;
  Counter delivered;  // Into a ring.
  Counter dropped;    // The receiver had no slot, or its ring was full.
};

class WireLink {
 public:
  // An end whose MAC address is zero gets one made of its index. Both names "wire0" become "wire0"
  // and "wire1".
  //
  // Errors: kOutOfRange         a bound of the configuration; the message names it.
  //         kInvalidArgument    a ring size that is no power of two; write_payload off while
  //                             checksum_offload is off.
  //         kResourceExhausted  no address space for the slots.
  static absl::StatusOr<std::unique_ptr<WireLink>> Create(const WireConfig& config);

  WireLink(const WireLink&) = delete;
  WireLink& operator=(const WireLink&) = delete;

  WireNic& a() { return *ends_[0]; }
  WireNic& b() { return *ends_[1]; }

  Nanos now() const { return now_; }

  // Moves the clock and delivers, in order, every frame that is due by then. A time before now()
  // changes nothing.
  void AdvanceTo(Nanos now);

  // When the next frame is due: at or after now(), or kNoDelivery.
  Nanos NextDelivery() const { return schedule_.empty() ? kNoDelivery : schedule_.front().due; }
  size_t frames_on_the_way() const { return schedule_.size(); }

  const WireDirectionStats& a_to_b() const { return stats_[0]; }
  const WireDirectionStats& b_to_a() const { return stats_[1]; }

  // Of time, direction, length, headers and fate of every frame so far. Payload counts by the
  // checksum in its header.
  uint64_t trace_hash() const { return trace_; }

  // For WireNic: takes a frame from the end `from`, which has checked it.
  void Send(uint32_t from, const TxFrame& frame);

 private:
  // A frame on its way. Due at the same time, the one sent first arrives first.
  struct Delivery {
    Nanos due = 0;
    uint64_t number = 0;
    uint32_t slot = 0;
    uint32_t from = 0;  // The end that sent it.

    // Orders a heap whose front is the earliest.
    friend bool operator<(const Delivery& x, const Delivery& y) {
      return x.due != y.due ? x.due > y.due : x.number > y.number;
    }
  };

  explicit WireLink(const WireConfig& config);

  uint32_t NewSlot(uint32_t from, const TxFrame& frame);
  void Schedule(uint32_t from, uint32_t slot, Nanos due);
  void Corrupt(WireNic& to, uint32_t slot, const TxFrame& frame, uint64_t random);
  void TraceSend(uint32_t from, const TxFrame& frame, const FrameFate& fate);
  void Trace(uint64_t word);

  std::array<Impairment, 2> impairments_;  // By the sending end, as everything below.
  std::array<WireDirectionStats, 2> stats_;
  std::array<std::unique_ptr<WireNic>, 2> ends_;
  std::vector<Delivery> schedule_;  // A heap; its room was reserved for all slots of both ends.
  uint64_t next_number_ = 0;
  Nanos now_ = 0;
  const bool is_traced_;
  uint64_t trace_ = 0;
};

}  // namespace devmem
