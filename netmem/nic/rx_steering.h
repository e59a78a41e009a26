// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a received frame, by its headers alone: delivered or dropped and counted, and if
// delivered, whether its payload belongs into the queue's binding, into host memory or to another
// queue. One RxSteering belongs to each rx queue of the TAP and the wire NIC and is called by the
// thread that polls the queue; BoundQueues is written by the control thread.

#pragma once

#include <atomic>
#include <cstdint>

#include "netmem/nic/flow_rules.h"
#include "netmem/nic/limits.h"
#include "netmem/nic/netdev.h"
#include "netmem/wire/frame.h"

namespace devmem {

// Which queues of one netdev are bound, as one word that all its queues may read.
class BoundQueues {
 public:
  // Control thread. The release pairs with the acquire in Contains(): who sees the bit sees the
  // binding that was installed before it.
  void Set(uint32_t queue, bool bound) {
    const uint64_t bit = uint64_t{1} << queue;
    if (bound) {
      mask_.fetch_or(bit, std::memory_order_release);
    } else {
      mask_.fetch_and(~bit, std::memory_order_release);
    }
  }

  // Any thread.
  bool Contains(uint32_t queue) const {
    return (mask_.load(std::memory_order_acquire) >> queue & 1) != 0;
  }

 private:
  std::atomic<uint64_t> mask_{0};
};
static_assert(kQueuesMax <= 64, "BoundQueues keeps one bit per queue");

// Counts a frame that is not delivered and says so. Malformed frames and fragments are dropped by
// reason; a sound frame that is neither TCP, ICMP nor ARP (kOther: UDP, VLAN tags, other protocols)
// has nobody to go to and is dropped without a reason of its own. `frames` is the caller's to
// count.
inline bool IsDelivered(const FrameHeaders& headers, RxQueueStats& stats) {
  if (headers.kind < FrameKind::kOther) [[likely]]
    return true;
  if (headers.is_fragment) {
    ++stats.drop_fragment;
  } else if (headers.error == FrameError::kTruncated) {
    ++stats.drop_truncated;
  } else if (headers.kind == FrameKind::kMalformed) {
    ++stats.drop_malformed;
  }
  return false;
}
static_assert(FrameKind::kTcp < FrameKind::kOther && FrameKind::kIcmp < FrameKind::kOther &&
              FrameKind::kIcmpV6 < FrameKind::kOther && FrameKind::kArp < FrameKind::kOther &&
              FrameKind::kOther < FrameKind::kMalformed);

struct SteeringVerdict {
  RxClass rx_class = RxClass::kHost;
  uint32_t target_queue = 0;  // For kElsewhere.
  // The queue is bound and the frame is not for its binding: the NIC counts the payload as presteer
  // or missteered, whichever its way of steering makes it.
  bool is_stray = false;
};

class RxSteering {
 public:
  // `rules` and `bound` are the netdev's and outlive this object.
  RxSteering(const FlowRules& rules, const BoundQueues& bound, uint32_t queue)
      : rules_(&rules), bound_(&bound), queue_(queue) {}

  // Takes over the rules if they have changed. Once per poll, before its first Decide().
  void Refresh() {
    if (rules_->generation() != generation_) [[unlikely]]
      Reload();
  }

  // The verdict on a frame that IsDelivered(). `bound` says whether this queue is. Inline to the
  // last branch, so that the verdict stays in registers: returned from a call it goes through
  // memory, in narrow stores and wide loads, and waits there longer than everything else here
  // takes.
  SteeringVerdict Decide(const FrameHeaders& headers, bool bound) {
    const FlowRule* const rule =
        headers.kind == FrameKind::kTcp ? matcher_.Match(headers.flow) : nullptr;
    if (rule != nullptr && rule->queue == queue_) {
      return {.rx_class = bound ? RxClass::kSteered : RxClass::kHost};
    }
    if (rule != nullptr && bound_->Contains(rule->queue)) {
      return {.rx_class = RxClass::kElsewhere, .target_queue = rule->queue};
    }
    // No rule, or one for an unbound queue: the bytes are ordinary host data wherever they arrive.
    return {.is_stray = bound};
  }

  // Whether a TCP frame's payload belongs to this queue, by a rule: the verdict kSteered, if the
  // queue is bound.
  bool SteersHere(const FlowKey& flow) {
    const FlowRule* const rule = matcher_.Match(flow);
    return rule != nullptr && rule->queue == queue_;
  }

 private:
  void Reload();

  const FlowRules* const rules_;
  const BoundQueues* const bound_;
  const uint32_t queue_;
  uint64_t generation_ = 0;  // Of the rules in matcher_. An empty table has generation 0.
  FlowMatcher matcher_;
};

}  // namespace devmem
