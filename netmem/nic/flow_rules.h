// SPDX-License-Identifier: Apache-2.0
//
// Which rx queue a flow goes to: the NIC's own match table, in the manner of ethtool -N. TCP's
// lookup is another one (the ConnectionTable). Rules are added and deleted on the control path by
// one thread at a time; each rx queue matches against its own FlowMatcher, a copy that it refreshes
// between polls when the generation has moved, so matching takes no lock.

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/nic/limits.h"
#include "netmem/wire/flow_key.h"

namespace devmem {

using FlowRuleId = uint32_t;  // From 1; never used twice by one table.

// What a rule matches, seen from this machine; the protocol is TCP. A field left out is a wildcard.
struct FlowMatch {
  std::optional<IpAddress> local = std::nullopt;
  std::optional<IpAddress> remote = std::nullopt;
  std::optional<uint16_t> local_port = std::nullopt;
  std::optional<uint16_t> remote_port = std::nullopt;

  friend bool operator==(const FlowMatch&, const FlowMatch&) = default;
  bool Matches(const FlowKey& flow) const;
  // Higher for more fields given, and for the same number of fields, for more addresses among them.
  // The most specific of several matching rules wins, and among equals the older one.
  uint32_t specificity() const;
  std::string ToString() const;
};

struct FlowRule {
  FlowRuleId id = 0;
  FlowMatch match = {};
  uint32_t queue = 0;
};

// One reader's copy of the rules, arranged for lookup. Plain data; owned by one rx queue.
//
// Invariants:
//   1. rules_ is sorted: most specific first, older first among equals. The lowest index that
//   matches
//      a flow is the answer.
//   2. table_ holds each index + 1 once, under the hash of the rule's fields; 0 is an empty entry.
//   It
//      is at most half full, so that every probe ends.
//   3. masks_ lists the combinations of given fields that occur, most specific first. A lookup
//   costs
//      one probe per combination, however many rules there are.
class FlowMatcher {
 public:
  FlowMatcher() = default;
  explicit FlowMatcher(std::vector<FlowRule> rules);

  // The rule for a flow, or nullptr. Remembers the last answers, so that a run of frames of few
  // flows, or of any flows that the rules do not tell apart, costs one comparison each. The rule
  // lives until the matcher is assigned to.
  const FlowRule* Match(const FlowKey& flow) {
    if (!LooksLikeLast(flow)) [[unlikely]]
      Remember(flow);
    return last_rule_ < 0 ? nullptr : &rules_[static_cast<uint32_t>(last_rule_)];
  }
  bool empty() const { return rules_.empty(); }

 private:
  // What of a flow any rule looks at, in words: the two addresses and the ports. The rule of a
  // listener leaves the peer out, and then all flows of the listener look the same.
  using Looked = std::array<uint64_t, 5>;
  Looked LookedAt(const FlowKey& flow) const {
    return {Word(flow.local.high()) & looked_[0], Word(flow.local.low()) & looked_[1],
            Word(flow.remote.high()) & looked_[2], Word(flow.remote.low()) & looked_[3],
            flow.ports() & looked_[4]};
  }
  // Whether no rule can tell the flow from the last one. Bits that no rule looks at are taken off
  // the difference, in place of both sides.
  bool LooksLikeLast(const FlowKey& flow) const {
    const uint64_t ports = (flow.ports() ^ last_[4]) & looked_[4];
    if (ports_only_) [[likely]]
      return ports == 0;
    return (((Word(flow.local.high()) ^ last_[0]) & looked_[0]) |
            ((Word(flow.local.low()) ^ last_[1]) & looked_[1]) |
            ((Word(flow.remote.high()) ^ last_[2]) & looked_[2]) |
            ((Word(flow.remote.low()) ^ last_[3]) & looked_[3]) | ports) == 0;
  }
  void Remember(const FlowKey& flow);
  // Keeps the compiler from loading two words at once: the parser has just stored them one by one,
  // and a wide load behind narrow stores waits for them, longer than all of the lookup takes.
  static uint64_t Word(uint64_t word) {
    asm("" : "+r"(word));
    return word;
  }

  struct Cached {
    Looked looked{};
    int32_t rule = -1;  // An index into rules_, or -1: none matches.
    bool valid = false;
  };
  static constexpr uint32_t kCacheBits = 8;

  // A peer that aims at one slot gains nothing but the slow path, whose cost is bounded.
  static uint32_t CacheSlot(const Looked& looked) {
    const uint64_t word = looked[2] ^ looked[3] ^ looked[4] << 24;
    return static_cast<uint32_t>(word * 0x9e3779b97f4a7c15 >> (64 - kCacheBits));
  }
  int32_t MatchSlow(const FlowKey& flow) const;
  int32_t Probe(uint32_t mask, const FlowKey& fields) const;

  std::vector<FlowRule> rules_;
  std::vector<uint32_t> masks_;
  std::vector<uint32_t> table_;
  Looked looked_{};         // Ones where some rule looks.
  bool ports_only_ = true;  // No rule looks at addresses: that of a listener on any is such a one.
  // The last answer; at first that for a flow of zeros.
  Looked last_{};
  int32_t last_rule_ = -1;
  std::array<Cached, 1u << kCacheBits> cache_{};
};

class FlowRules {
 public:
  explicit FlowRules(uint32_t queue_count) : queue_count_(queue_count) {}
  FlowRules(const FlowRules&) = delete;
  FlowRules& operator=(const FlowRules&) = delete;

  // Errors: kOutOfRange         the queue does not exist.
  //         kAlreadyExists      the same match is there already; the message names its rule and
  //         queue. kResourceExhausted  kFlowRulesMax rules are there. kInvalidArgument    local and
  //         remote of different IP versions, or port 0.
  absl::StatusOr<FlowRuleId> Add(const FlowMatch& match, uint32_t queue);
  // Errors: kNotFound.
  absl::Status Delete(FlowRuleId id);
  std::vector<FlowRule> List() const;

  // Moves whenever the rules change. Pairs with the release in Add() and Delete(): a reader that
  // sees the new number gets rules at least that new from Snapshot().
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  FlowMatcher Snapshot() const { return FlowMatcher(List()); }

 private:
  const uint32_t queue_count_;
  std::atomic<uint64_t> generation_{0};
  mutable std::mutex mutex_;
  std::vector<FlowRule> rules_;  // Guarded by mutex_.
  FlowRuleId next_id_ = 1;       // Guarded by mutex_.
};

}  // namespace devmem
