// SPDX-License-Identifier: Apache-2.0
//
// A NIC whose sending half ends here: receiving goes to the wire NIC behind it, and a frame to send
// is copied into a ring of the last few, as a NIC's ring would take it. So a benchmark of the
// receive path pays for making its acknowledgments and not for the simulation of a wire that
// carries them. Single thread.

#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "netmem/nic/netdev.h"
#include "netmem/wire/frame_builder.h"

namespace devmem::bench {

class ReplySinkQueue final : public RxQueue {
 public:
  static constexpr size_t kSlots = 2 * kBatchFramesMax;  // Frames that are kept.

  explicit ReplySinkQueue(RxQueue& receiver) : receiver_(receiver) {}

  bool Transmit(const TxFrame& frame) override {
    Slot& slot = slots_[sent_++ % kSlots];
    slot.bytes = static_cast<uint32_t>(frame.header.size());
    Copy(frame.header, slot.header.data());
    return true;
  }
  uint64_t sent() const { return sent_; }
  // The header of the last frame, or of the one `back` before it; empty before the first.
  std::span<const uint8_t> last(uint64_t back = 0) const {
    const Slot& slot = slots_[(sent_ - 1 - back) % kSlots];
    return std::span(slot.header).first(sent_ == 0 ? 0 : slot.bytes);
  }

  uint32_t Poll(RxBatch& batch) override { return receiver_.Poll(batch); }
  int fd() const override { return receiver_.fd(); }
  absl::Status Bind(const QueueMemory& memory) override { return receiver_.Bind(memory); }
  void Unbind() override { receiver_.Unbind(); }
  bool bound() const override { return receiver_.bound(); }
  const RxQueueStats& stats() const override { return receiver_.stats(); }

 private:
  struct Slot {
    uint32_t bytes = 0;
    std::array<uint8_t, kTcpFrameHeaderBytesMax> header;
  };

  // In place: a call into the C library would cost more than these few words.
  static void Copy(std::span<const uint8_t> from, uint8_t* to) {
    constexpr size_t kWord = 16;
    for (size_t done = 0; done + kWord < from.size(); done += kWord) {
      std::memcpy(to + done, from.data() + done, kWord);
    }
    // The last word again, up to the end: every frame is longer than one.
    std::memcpy(to + from.size() - kWord, from.data() + from.size() - kWord, kWord);
  }

  RxQueue& receiver_;
  std::array<Slot, kSlots> slots_;
  uint64_t sent_ = 0;
};

// Has one queue: the first of `receiver`, which outlives it.
class ReplySinkNic final : public Netdev {
 public:
  explicit ReplySinkNic(Netdev& receiver) : receiver_(receiver), queue_(receiver.queue(0)) {}

  ReplySinkQueue& sink() { return queue_; }

  const NetdevInfo& info() const override { return receiver_.info(); }
  absl::Status Start(std::span<const QueueMemory> host) override { return receiver_.Start(host); }
  RxQueue& queue(uint32_t) override { return queue_; }
  absl::StatusOr<FlowRuleId> AddRule(const FlowMatch& match, uint32_t queue) override {
    return receiver_.AddRule(match, queue);
  }
  absl::Status DeleteRule(FlowRuleId id) override { return receiver_.DeleteRule(id); }
  std::vector<FlowRule> ListRules() const override { return receiver_.ListRules(); }
  absl::Status SetRssQueues(std::span<const uint32_t> queues) override {
    return receiver_.SetRssQueues(queues);
  }
  void SetRecorder(PcapngRecorder* recorder) override { receiver_.SetRecorder(recorder); }

 private:
  Netdev& receiver_;
  ReplySinkQueue queue_;
};

}  // namespace devmem::bench
