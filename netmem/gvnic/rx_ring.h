// SPDX-License-Identifier: Apache-2.0
//
// An rx queue of a virtual gVNIC: a ring of buffers that the guest posts and a ring of completions
// that the device fills. The data path makes it, passes on its doorbells and gives it packets, on
// the thread of the device. DQO-RDA format, in order: one completion for each buffer consumed.
//
//   with header split:   headers -> header_address of the first buffer, payload -> buffers from 0
//   without:             the frame -> buffers from 0
//
// Where the queue has hardware GRO, frames are merged on their way in (rx_coalescer.h). Packets
// that find too few buffers wait here, in order, until a doorbell brings more.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/gvnic/completion_ring.h"
#include "netmem/gvnic/data_path_stats.h"
#include "netmem/gvnic/dqo_format.h"
#include "netmem/gvnic/guest_memory.h"
#include "netmem/gvnic/ring_config.h"
#include "netmem/gvnic/rx_coalescer.h"
#include "netmem/gvnic/rx_packet.h"

namespace devmem {

class RxRing final : private RxSink {
 public:
  // `memory`, `faults` and `stats` outlive the ring.
  //
  // Errors: as DataPath::CreateRx().
  static absl::StatusOr<std::unique_ptr<RxRing>> Create(GuestMemory& memory,
                                                        const RxRingConfig& config,
                                                        RxFaults& faults, DataPathStats& stats);
  ~RxRing();
  RxRing(const RxRing&) = delete;
  RxRing& operator=(const RxRing&) = delete;

  // Whether a super-frame may be given to Receive() as it is.
  bool TakesWhole(const FrameLayout& layout) const {
    return config_.gro_hw && layout.is_tcp() && !layout.has_extensions;
  }

  // Delivers a packet, or keeps it until there are buffers, or drops it for want of room. With
  // hardware GRO, what may still grow is delivered by EndBatch() at the latest.
  void Receive(RxPacket packet);
  // Nothing that belongs to what was received since the last call is coming any more.
  void EndBatch() { coalescer_.EndAll(RscEnd::kBatch); }
  // The same before the ring is destroyed. Without it, what may still grow is dropped and counted.
  void Stop() { coalescer_.EndAll(RscEnd::kStop); }

  // The guest has posted buffers up to `tail`. Delivers what waited. A tail outside the ring is
  // counted and ignored.
  void Doorbell(uint32_t tail);
  // Delivers what waits and now finds buffers.
  void Retry();

  // Whether completions were written since the last call.
  bool TakeNews();

  uint32_t notify_block() const { return config_.notify_block; }
  const QueueStats& stats() const { return queue_stats_; }
  size_t held_packets() const { return held_.size(); }

 private:
  // A buffer that was fetched, as pointers into the guest's memory.
  struct Target {
    uint16_t id = 0;
    uint8_t* memory = nullptr;  // nullptr: a buffer where no memory is.
    uint8_t* header = nullptr;
  };
  // How one packet goes into buffers, decided before any is touched.
  struct Plan {
    bool is_split = false;
    bool header_overflow = false;
    bool rx_error = false;
    uint32_t header_bytes = 0;  // Of the packet, that go to the header buffer.
    uint32_t buffers = 0;
  };

  RxRing(GuestMemory& memory, const RxRingConfig& config, RxFaults& faults, DataPathStats& stats);

  uint32_t available() const;
  uint32_t free_buffers() const override { return held_.empty() ? available() : 0; }
  void Take(RxPacket packet) override;
  Plan MakePlan(const RxPacket& packet);
  void Deliver(const RxPacket& packet);
  bool Fetch(const Plan& plan);
  void Place(const RxPacket& packet, const Plan& plan);
  void CompletePacket(const RxPacket& packet, const Plan& plan);
  void Hold(RxPacket packet);

  const RxRingConfig config_;
  GuestMemory& memory_;
  RxFaults& faults_;
  DataPathStats& stats_;
  CompletionRing completions_;
  RxCoalescer coalescer_;
  QueueStats queue_stats_;
  uint32_t head_ = 0;            // The next buffer to consume.
  uint32_t tail_ = 0;            // Behind the last one posted.
  std::vector<Target> targets_;  // Of the packet in hand.
  std::deque<RxPacket> held_;
  uint64_t held_bytes_ = 0;
  bool has_news_ = false;
};

}  // namespace devmem
