// SPDX-License-Identifier: Apache-2.0
//
// One rx queue of the in-memory wire: a ring of frames that have arrived, polled by the worker that
// owns the queue. A poll does what the driver of a header-split NIC does, in software: it parses
// the header, decides where the payload belongs, and fills a descriptor. Same thread as the wire.

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "netmem/nic/host_delivery.h"
#include "netmem/nic/limits.h"
#include "netmem/nic/netdev.h"
#include "netmem/nic/rx_steering.h"
#include "netmem/nic/wire_slots.h"

namespace devmem {

class WireNic;

// Invariants:
//   1. The slots in the ring, and those in delivered_, belong to this queue alone.
//   2. A descriptor's header points into a slot of delivered_, which the next poll frees.
class WireQueue final : public RxQueue {
 public:
  // `nic` outlives the queue.
  WireQueue(WireNic& nic, uint32_t index);

  uint32_t Poll(RxBatch& batch) override;
  bool Transmit(const TxFrame& frame) override;
  int fd() const override { return -1; }
  bool waits_for_memory() const override { return waits_for_memory_; }
  absl::Status Bind(const QueueMemory& memory) override;
  void Unbind() override;
  bool bound() const override { return device_.pool != nullptr; }
  const RxQueueStats& stats() const override { return stats_; }

  // For the NIC. The host memory has been checked.
  void SetHostMemory(const QueueMemory& host) { host_ = host; }
  // Puts a frame at the end of the ring. False when the ring is full: the slot stays the caller's.
  bool Push(uint32_t slot) {
    if (tail_ - head_ > ring_mask_) [[unlikely]]
      return false;
    ring_[tail_++ & ring_mask_] = slot;
    return true;
  }
  uint32_t waiting_frames() const { return tail_ - head_; }

 private:
  // The steps of a poll, all in wire_queue.cc.
  inline void FreeDelivered();
  inline void PrefetchNext() const;
  inline bool InPlace();
  inline bool DeliverPlain(const WireSlot& slot, RxBatch& batch, RxDescriptor& frame);
  // The long way, kept out of the loop of frames: its registers are worth more there.
  [[gnu::noinline]] bool Deliver(uint32_t index, RxBatch& batch);
  inline bool Place(const WireSlot& slot, uint32_t index, RxBatch& batch, RxDescriptor& frame);
  inline bool Fill(const QueueMemory& memory, uint64_t generation, uint32_t index, RxBatch& batch,
                   RxDescriptor& frame);
  bool PassesChecksum(const WireSlot& slot, uint32_t index, const FrameHeaders& headers);
  bool SummedChecksumIsRight(const QueueMemory* memory, uint32_t index, const RxBatch& batch,
                             const RxDescriptor& frame);

  WireNic& nic_;
  WireSlots& slots_;
  const uint32_t index_;
  const bool checksum_offload_;
  const bool write_payload_;
  RxSteering steering_;

  QueueMemory host_;
  QueueMemory device_;  // Null pointers while the queue is not bound.
  // Of its mapping, when its window was last found in place; odd before the first time.
  uint64_t generation_ = 1;

  // head_ and tail_ count frames; they wrap, and their difference is what waits.
  std::vector<uint32_t> ring_;
  const uint32_t ring_mask_;
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
  std::array<uint32_t, kBatchFramesMax> delivered_{};
  uint32_t delivered_count_ = 0;

  bool waits_for_memory_ = false;  // Of the last poll.
  RxQueueStats stats_;
};

}  // namespace devmem
