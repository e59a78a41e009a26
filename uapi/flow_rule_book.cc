// SPDX-License-Identifier: Apache-2.0
//
// Counting the users of flow rules.

#include "uapi/flow_rule_book.h"

#include <algorithm>

namespace devmem {

absl::StatusOr<FlowRuleBook::Hold> FlowRuleBook::Add(const FlowMatch& match, uint32_t queue,
                                                     bool bound) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.rule.queue != queue || entry.bound != bound || !(entry.rule.match == match)) continue;
    ++entry.users;
    return Hold(this, entry.rule.id);
  }
  absl::StatusOr<FlowRuleId> id = nic_->AddRule(match, queue);
  if (!id.ok()) return id.status();
  entries_.push_back(Entry{FlowRule{*id, match, queue}, bound, 1});
  return Hold(this, *id);
}

void FlowRuleBook::RemoveUnbound(std::span<const uint32_t> queues) {
  std::lock_guard<std::mutex> lock(mutex_);
  // Holds of a rule that is gone name nothing from then on.
  std::erase_if(entries_, [&](const Entry& entry) {
    if (entry.bound || std::count(queues.begin(), queues.end(), entry.rule.queue) == 0)
      return false;
    (void)nic_->DeleteRule(entry.rule.id);
    return true;
  });
}

FlowRuleBook::Hold FlowRuleBook::Share(FlowRuleId id) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.rule.id == id) ++entry.users;
  }
  return Hold(this, id);
}

void FlowRuleBook::Drop(FlowRuleId id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [id](const Entry& other) { return other.rule.id == id; });
  if (entry == entries_.end() || --entry->users != 0) return;
  (void)nic_->DeleteRule(id);
  entries_.erase(entry);
}

}  // namespace devmem
