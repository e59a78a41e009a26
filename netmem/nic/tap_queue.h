// SPDX-License-Identifier: Apache-2.0
//
// One rx queue of a TAP: reads each frame with one readv into {header slot, posted window of the
// bound region or of host memory, spill}, and delivers it by reference. Polled and sent on by one
// worker thread; bound and unbound by the control thread while no worker polls. architecture.md,
// "Life of a packet".

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "netmem/nic/flow_rules.h"
#include "netmem/nic/header_prediction.h"
#include "netmem/nic/limits.h"
#include "netmem/nic/netdev.h"
#include "netmem/nic/pcapng_recorder.h"
#include "netmem/nic/rx_steering.h"
#include "netmem/nic/tap_flow_history.h"
#include "netmem/nic/tap_split.h"
#include "netmem/nic/tap_vnet_header.h"
#include "netmem/nic/tap_window.h"

namespace devmem {

// The longest frame that a TAP delivers: Ethernet with a VLAN tag, and an IPv4 packet of 65,535
// bytes.
inline constexpr uint32_t kTapFrameBytesMax = 14 + 4 + 65535;

// What the queues of one TAP share. Written on the control thread, read by the workers.
struct TapSteeringState {
  explicit TapSteeringState(uint32_t queue_count) : rules(queue_count) {}

  FlowRules rules;
  BoundQueues bound;
  // Counts changes of the RSS queues. The release of the writer pairs with the acquire in the
  // queue: a frame that was queued after the change is read after the change is seen.
  std::atomic<uint64_t> rss_changes{0};
  std::unique_ptr<TapFlowHistory> history;  // In the tier `auto` only.
};

struct TapQueueOptions {
  int fd = -1;  // Of the TAP; outlives the queue.
  uint32_t index = 0;
  // The vector's room is one byte more, so that a frame which fills it is known to be cut off.
  uint32_t frame_bytes_max = kTapFrameBytesMax;
};

// Invariants:
//   1. Between two reads, nothing of a frame that was not steered here is left in the binding's
//   memory.
//   2. The packing cursor moves only for steered payload.
//   3. A descriptor's header points into slots_, which only the next poll writes.
class TapQueue final : public RxQueue {
 public:
  // `shared` outlives the queue.
  TapQueue(const TapQueueOptions& options, TapSteeringState& shared);

  uint32_t Poll(RxBatch& batch) override;
  bool Transmit(const TxFrame& frame) override;
  int fd() const override { return options_.fd; }
  bool gone() const override { return gone_.load(std::memory_order_relaxed); }
  bool waits_for_memory() const override { return waits_for_memory_; }
  absl::Status Bind(const QueueMemory& memory) override;
  void Unbind() override;
  bool bound() const override { return device_.pool != nullptr; }
  const RxQueueStats& stats() const override { return stats_; }

  // For TapNic, while no worker polls. The host memory has been checked.
  void SetHostMemory(const QueueMemory& host) { host_ = host; }
  void SetRecorder(PcapngRecorder* recorder, uint32_t interface) {
    recorder_ = recorder;
    recorder_interface_ = interface;
  }

  // What the next read will put into the header slot; for tests.
  uint32_t predicted_header_bytes() const { return prediction_.bytes(); }

 private:
  // The virtio-net header stands right before the frame, so that one vector entry takes both.
  struct Slot {
    uint8_t unused[6];  // Aligns the frame's start to 16 bytes.
    uint8_t vnet[kVnetHeaderBytes];
    uint8_t header[kHeaderSlotBytes];
  };

  // A frame that was read and is not yet delivered.
  struct Incoming {
    Slot* slot = nullptr;
    TapWindow window;
    TapLayout layout;
    uint64_t generation = 0;  // Of the mapping, before the read.
    bool is_revoked = false;  // Before the read already: nothing was posted.
    bool is_cut_off = false;
  };

  const QueueMemory& memory() const { return bound() ? device_ : host_; }

  void RefreshSteering();
  bool Read(Incoming& in);
  void Accept(Incoming& in, RxBatch& batch);
  void ParseHeaders(const Incoming& in, FrameHeaders& headers) const;
  bool IsSound(const Incoming& in, const FrameHeaders& headers);
  bool ChecksumIsRight(const Incoming& in, const FrameHeaders& headers);
  bool HasLanded(const Incoming& in) const;

  bool Place(const Incoming& in, bool is_stray, RxBatch& batch, RxDescriptor& frame);
  bool PlaceHere(const Incoming& in, RxBatch& batch, RxDescriptor& frame);
  void TakeWindow(const TapExtent& extent, RxBatch& batch, RxDescriptor& frame);
  bool PutSlotBytesFirst(std::span<const uint8_t> payload, RxBatch& batch, RxDescriptor& frame);
  bool PlaceStray(const Incoming& in, RxBatch& batch, RxDescriptor& frame);
  bool IsPresteer(const FrameHeaders& headers) const;
  void Discard(const Incoming& in);

  void NoteFailure(int error);
  void NoteSent(const TxFrame& frame);
  void Record(PacketDirection direction, std::span<const uint8_t> header, size_t frame_bytes) const;

  const TapQueueOptions options_;
  TapSteeringState& shared_;
  RxSteering steering_;
  HeaderPrediction prediction_;

  QueueMemory host_;
  QueueMemory device_;  // Null pointers while the queue is not bound.

  uint64_t seen_changes_ = 0;  // Of rules and RSS queues together.
  // Whether the queue has been empty since the steering last changed: before that, frames may wait
  // here that were steered by what held earlier.
  bool is_settled_ = false;

  const std::unique_ptr<Slot[]> slots_;
  const std::unique_ptr<uint8_t[]> spill_;

  PcapngRecorder* recorder_ = nullptr;
  uint32_t recorder_interface_ = 0;
  // Relaxed: it is a fact of its own, and orders nothing.
  std::atomic<bool> gone_{false};
  bool waits_for_memory_ = false;  // Of the last poll.
  RxQueueStats stats_;
};

}  // namespace devmem
