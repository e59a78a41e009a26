// SPDX-License-Identifier: Apache-2.0
//
// Which flows a TAP has sent for lately. In the steering tier `auto` the kernel sends a flow to the
// queue that last transmitted for it, and forgets after some seconds of our silence; this table
// tells a frame that came astray because the kernel could not know better (presteer) from one that
// should not have (missteered). One per TapNic; written and read by the workers of all its queues.
// drivers/net/tun.c: TUN_FLOW_EXPIRE.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "netmem/wire/flow_key.h"

namespace devmem {

// Lossy on purpose: each flow has one place, by its hash, and a newer flow takes it over. A flow
// that lost its place counts as one that we have not sent for. Every entry is one atomic word and
// its readers need no order: it feeds a statistic.
class TapFlowHistory {
 public:
  static constexpr size_t kEntries = 4096;               // As many flows as the kernel remembers.
  static constexpr uint32_t kMemoryMilliseconds = 3000;  // As long as the kernel does.

  // `flow` as received: `local` is ours. `now_ms` counts from any start and may wrap.
  void Sent(const FlowKey& flow, uint32_t now_ms) {
    const uint64_t hash = Hash(flow);
    std::atomic<uint64_t>& entry = EntryFor(hash);
    const uint64_t old = entry.load(std::memory_order_relaxed);
    // Most frames find their flow noted a moment ago, and leave the shared cache line alone.
    if (TagOf(old) == TagOf(hash) && now_ms - TimeOf(old) < kResolutionMilliseconds) return;
    entry.store(Pack(hash, now_ms), std::memory_order_relaxed);
  }

  bool SentLately(const FlowKey& flow, uint32_t now_ms) const {
    const uint64_t hash = Hash(flow);
    const uint64_t entry = EntryFor(hash).load(std::memory_order_relaxed);
    return TagOf(entry) == TagOf(hash) && now_ms - TimeOf(entry) < kMemoryMilliseconds;
  }

 private:
  static constexpr uint32_t kResolutionMilliseconds = 100;

  // The high half is the flow's tag, never 0, so that an empty entry is nobody's; the low half
  // chooses the entry and then makes room for the time.
  static uint64_t Hash(const FlowKey& flow) { return HashFlow(flow, 0) | uint64_t{1} << 32; }
  static constexpr uint32_t TagOf(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
  static constexpr uint32_t TimeOf(uint64_t word) { return static_cast<uint32_t>(word); }
  static constexpr uint64_t Pack(uint64_t hash, uint32_t now_ms) {
    return uint64_t{TagOf(hash)} << 32 | now_ms;
  }
  const std::atomic<uint64_t>& EntryFor(uint64_t hash) const { return entries_[hash % kEntries]; }
  std::atomic<uint64_t>& EntryFor(uint64_t hash) { return entries_[hash % kEntries]; }

  std::array<std::atomic<uint64_t>, kEntries> entries_{};
};

}  // namespace devmem
