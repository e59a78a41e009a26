// SPDX-License-Identifier: Apache-2.0
//
// The flow rule table and its readers' copies. Adding and deleting runs on the control thread;
// lookups run on the thread that polls a queue and see nothing of this file's lock.

#include "netmem/nic/flow_rules.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

// Which fields of a match are given, as bits.
constexpr uint32_t kMaskLocal = 1;
constexpr uint32_t kMaskRemote = 2;
constexpr uint32_t kMaskLocalPort = 4;
constexpr uint32_t kMaskRemotePort = 8;

uint32_t MaskOf(const FlowMatch& match) {
  return (match.local ? kMaskLocal : 0) | (match.remote ? kMaskRemote : 0) |
         (match.local_port ? kMaskLocalPort : 0) | (match.remote_port ? kMaskRemotePort : 0);
}

uint32_t SpecificityOf(uint32_t mask) {
  constexpr uint32_t kAddresses = kMaskLocal | kMaskRemote;
  // There are at most two addresses, so that the number of fields decides first.
  return static_cast<uint32_t>(4 * std::popcount(mask) + std::popcount(mask & kAddresses));
}

// The flow with every field that the mask leaves out set to its zero value.
FlowKey Masked(const FlowKey& flow, uint32_t mask) {
  FlowKey fields;
  if ((mask & kMaskLocal) != 0) fields.local = flow.local;
  if ((mask & kMaskRemote) != 0) fields.remote = flow.remote;
  if ((mask & kMaskLocalPort) != 0) fields.local_port = flow.local_port;
  if ((mask & kMaskRemotePort) != 0) fields.remote_port = flow.remote_port;
  return fields;
}

FlowKey FieldsOf(const FlowMatch& match) {
  return {.local = match.local.value_or(IpAddress()),
          .remote = match.remote.value_or(IpAddress()),
          .local_port = match.local_port.value_or(0),
          .remote_port = match.remote_port.value_or(0)};
}

std::string EndToString(const std::optional<IpAddress>& address,
                        const std::optional<uint16_t>& port) {
  std::string text = "*";
  if (address)
    text = address->is_v4() ? address->ToString() : absl::StrCat("[", address->ToString(), "]");
  return port ? absl::StrCat(text, ":", *port) : absl::StrCat(text, ":*");
}

absl::Status CheckMatch(const FlowMatch& match) {
  if (match.local && match.remote && match.local->is_v4() != match.remote->is_v4()) {
    return absl::InvalidArgumentError(
        absl::StrCat("flow rule ", match.ToString(),
                     " mixes IPv4 and IPv6; give both addresses of one version, or leave one out"));
  }
  if (match.local_port == 0 || match.remote_port == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "flow rule ", match.ToString(),
        " names port 0, which no TCP segment has; leave the port out to match every one"));
  }
  return absl::OkStatus();
}

}  // namespace

bool FlowMatch::Matches(const FlowKey& flow) const {
  return (!local || *local == flow.local) && (!remote || *remote == flow.remote) &&
         (!local_port || *local_port == flow.local_port) &&
         (!remote_port || *remote_port == flow.remote_port);
}

uint32_t FlowMatch::specificity() const { return SpecificityOf(MaskOf(*this)); }

std::string FlowMatch::ToString() const {
  return absl::StrCat("tcp ", EndToString(remote, remote_port), " -> ",
                      EndToString(local, local_port));
}

FlowMatcher::FlowMatcher(std::vector<FlowRule> rules) : rules_(std::move(rules)) {
  std::sort(rules_.begin(), rules_.end(), [](const FlowRule& a, const FlowRule& b) {
    const uint32_t a_specificity = a.match.specificity();
    const uint32_t b_specificity = b.match.specificity();
    return a_specificity != b_specificity ? a_specificity > b_specificity : a.id < b.id;
  });
  if (rules_.empty()) return;
  table_.resize(std::bit_ceil(2 * rules_.size()));
  for (uint32_t index = 0; index < rules_.size(); ++index) {
    const uint32_t mask = MaskOf(rules_[index].match);
    if (std::find(masks_.begin(), masks_.end(), mask) == masks_.end()) masks_.push_back(mask);
    if ((mask & kMaskLocal) != 0) looked_[0] = looked_[1] = UINT64_MAX;
    if ((mask & kMaskRemote) != 0) looked_[2] = looked_[3] = UINT64_MAX;
    if ((mask & (kMaskLocal | kMaskRemote)) != 0) ports_only_ = false;
    if ((mask & kMaskLocalPort) != 0) looked_[4] |= FlowKey{.local_port = 0xffff}.ports();
    if ((mask & kMaskRemotePort) != 0) looked_[4] |= FlowKey{.remote_port = 0xffff}.ports();
    size_t slot = HashFlow(FieldsOf(rules_[index].match), mask) & (table_.size() - 1);
    while (table_[slot] != 0) slot = (slot + 1) & (table_.size() - 1);
    table_[slot] = index + 1;
  }
  last_rule_ = MatchSlow(FlowKey{});
}

// Looks the flow up among the answers before the last one, then in the table.
void FlowMatcher::Remember(const FlowKey& flow) {
  const Looked looked = LookedAt(flow);
  Cached& cached = cache_[CacheSlot(looked)];
  if (!cached.valid || cached.looked != looked) [[unlikely]] {
    cached = {looked, MatchSlow(flow), true};
  }
  last_ = looked;
  last_rule_ = cached.rule;
}

int32_t FlowMatcher::Probe(uint32_t mask, const FlowKey& fields) const {
  size_t slot = HashFlow(fields, mask) & (table_.size() - 1);
  for (; table_[slot] != 0; slot = (slot + 1) & (table_.size() - 1)) {
    const uint32_t index = table_[slot] - 1;
    const FlowMatch& match = rules_[index].match;
    if (MaskOf(match) == mask && FieldsOf(match) == fields) return static_cast<int32_t>(index);
  }
  return -1;
}

int32_t FlowMatcher::MatchSlow(const FlowKey& flow) const {
  int32_t best = -1;
  uint32_t best_specificity = 0;
  for (const uint32_t mask : masks_) {
    // Combinations of equal specificity stand together: among them the older rule wins.
    if (best >= 0 && SpecificityOf(mask) < best_specificity) break;
    const int32_t found = Probe(mask, Masked(flow, mask));
    if (found < 0 || (best >= 0 && found > best)) continue;
    best = found;
    best_specificity = SpecificityOf(mask);
  }
  return best;
}

absl::StatusOr<FlowRuleId> FlowRules::Add(const FlowMatch& match, uint32_t queue) {
  absl::Status checked = CheckMatch(match);
  if (!checked.ok()) return checked;
  if (queue >= queue_count_) {
    return absl::OutOfRangeError(absl::StrCat("flow rule ", match.ToString(), " names queue ",
                                              queue, ", the device has queues 0 to ",
                                              queue_count_ - 1, "; choose one of these"));
  }
  const std::lock_guard lock(mutex_);
  for (const FlowRule& rule : rules_) {
    if (rule.match == match) {
      return absl::AlreadyExistsError(
          absl::StrCat("flow rule ", match.ToString(), " exists already: rule ", rule.id,
                       " sends it to queue ", rule.queue, "; delete that rule first"));
    }
  }
  if (rules_.size() >= kFlowRulesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the device has ", rules_.size(), " flow rules, the most is ", kFlowRulesMax,
                     "; delete one, or use a rule that leaves fields out"));
  }
  const FlowRuleId id = next_id_++;
  rules_.push_back({id, match, queue});
  generation_.fetch_add(1, std::memory_order_release);
  return id;
}

absl::Status FlowRules::Delete(FlowRuleId id) {
  const std::lock_guard lock(mutex_);
  const auto rule = std::find_if(rules_.begin(), rules_.end(),
                                 [id](const FlowRule& candidate) { return candidate.id == id; });
  if (rule == rules_.end()) {
    return absl::NotFoundError(absl::StrCat("no flow rule ", id, " among the ", rules_.size(),
                                            " of this device; it may be deleted already"));
  }
  rules_.erase(rule);
  generation_.fetch_add(1, std::memory_order_release);
  return absl::OkStatus();
}

std::vector<FlowRule> FlowRules::List() const {
  const std::lock_guard lock(mutex_);
  return rules_;
}

}  // namespace devmem
