// SPDX-License-Identifier: Apache-2.0
//
// One end of the in-memory wire: a NIC with several rx queues, exact flow rules, RSS, header split
// and optional GSO, for tests, simulation, fuzzing and benchmarks on any machine. WireLink owns two
// of them and moves frames between them; both NICs, all their queues and the link belong to one
// thread.
//
// What it does as hardware would: rules and RSS choose the queue when the frame arrives, so a frame
// whose rule names a bound queue is never found elsewhere (RxClass::kElsewhere), except when the
// rule was added while the frame already waited in another queue's ring.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/nic/netdev.h"
#include "netmem/nic/rss.h"
#include "netmem/nic/rx_steering.h"
#include "netmem/nic/wire_queue.h"
#include "netmem/nic/wire_slots.h"

namespace devmem {

class PcapngRecorder;
class WireLink;

struct WireNicConfig {
  std::string name = "wire0";
  MacAddress mac = {};
  uint32_t queue_count = 1;
  uint32_t ring_frames = 4096;  // Per queue; a power of two. A frame that finds it full is dropped.
  uint32_t slot_frames = 16384;  // On the way to this NIC and in its rings together.
  // The NIC knows each TCP checksum's verdict before the payload is placed. It computes it only
  // where it can be wrong: on a link that corrupts, and for injected frames. False: the verdict is
  // none, and the payload is summed through the mapping after it was written.
  bool checksum_offload = true;
  // False, for benchmarks: pieces are taken and no payload byte is written. Needs checksum_offload.
  bool write_payload = true;
};

struct WireNicStats {
  Counter drop_ring_full;  // Frames that found their queue's ring full.
  Counter drop_no_slot;    // Frames that found all slots taken.
};

class WireNic final : public Netdev {
 public:
  // Made by WireLink, which has checked the configuration and outlives the NIC. Frames of up to
  // `payload_bytes_max` bytes behind the headers have room; check ok() afterwards.
  WireNic(WireLink& link, uint32_t end, const WireNicConfig& config, uint32_t mtu, bool gso,
          uint32_t payload_bytes_max);

  bool ok() const { return slots_.ok(); }

  const NetdevInfo& info() const override { return info_; }
  absl::Status Start(std::span<const QueueMemory> host) override;
  RxQueue& queue(uint32_t index) override { return *queues_[index]; }
  absl::StatusOr<FlowRuleId> AddRule(const FlowMatch& match, uint32_t queue) override;
  absl::Status DeleteRule(FlowRuleId id) override;
  std::vector<FlowRule> ListRules() const override { return rules_.List(); }
  // Bound queues in the list are passed over while they are bound. If no other is left they are
  // used after all, because a frame has to go somewhere; its payload then counts as missteered.
  absl::Status SetRssQueues(std::span<const uint32_t> queues) override;
  void SetRecorder(PcapngRecorder* recorder) override;

  // Delivers a whole frame to this NIC as if it came from the link at the link's now(). Its TCP
  // checksum is verified. A frame longer than a slot is counted as truncated. False: no slot or
  // ring space.
  bool Inject(std::span<const uint8_t> frame);

  // The same for a frame of which only the header exists, `payload_bytes` bytes of payload being
  // taken as good and never looked at. `queue` is where the NIC's hardware has put the frame.
  // Refused (false) unless write_payload is false and `header` is just what the frame's headers
  // take. Fast: this is the source of frames of the receive benchmarks.
  bool InjectHeader(uint32_t queue, std::span<const uint8_t> header, uint32_t payload_bytes);

  const WireNicStats& wire_stats() const { return wire_stats_; }
  const WireNicConfig& config() const { return config_; }
  uint32_t end() const { return end_; }
  // Frames that are on their way here, wait in a ring, or were delivered by a queue's last poll.
  uint32_t slots_taken() const { return slots_.taken(); }

  // For WireQueue and WireLink.
  WireSlots& slots() { return slots_; }
  const FlowRules& rules() const { return rules_; }
  BoundQueues& bound_queues() { return bound_queues_; }
  void RebuildRss();
  bool Send(const TxFrame& frame);
  // Fills a slot with the frame made of `header` and then `payload`. The split between header and
  // payload in the slot is where the headers inside end.
  void Store(uint32_t slot, std::span<const uint8_t> header, std::span<const uint8_t> payload);
  // Takes a frame off the link: chooses its queue and puts it into the ring. False: dropped,
  // counted.
  bool Arrive(uint32_t slot);
  void CountNoSlot() { ++wire_stats_.drop_no_slot; }

 private:
  bool IsSendable(const TxFrame& frame) const;
  uint32_t QueueFor(const FrameHeaders& headers);
  bool PushTo(uint32_t queue, uint32_t slot);

  WireLink& link_;
  const uint32_t end_;  // 0 for A, 1 for B.
  const WireNicConfig config_;
  NetdevInfo info_;
  WireSlots slots_;
  FlowRules rules_;
  BoundQueues bound_queues_;
  std::vector<std::unique_ptr<WireQueue>> queues_;

  // The hardware's own view of the rules, and where RSS sends the rest.
  FlowMatcher matcher_;
  RssTable rss_;
  std::vector<uint32_t> rss_queues_;  // As set, bound or not.

  bool started_ = false;
  PcapngRecorder* recorder_ = nullptr;
  uint32_t recorder_interface_ = 0;
  WireNicStats wire_stats_;
};

}  // namespace devmem
