// SPDX-License-Identifier: Apache-2.0
//
// The order of steering: rule, hash, queue 0.

#include "netmem/gvnic/steering.h"

#include "absl/strings/str_cat.h"

namespace devmem {

absl::Status Steering::SetRssKey(std::span<const uint8_t> key) {
  if (key.size() != kRssKeyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the RSS key has ", key.size(), " bytes; the device takes ", kRssKeyBytes));
  }
  key_ = ToeplitzKey(key.first<kRssKeyBytes>());
  return absl::OkStatus();
}

absl::Status Steering::SetRssTable(std::span<const uint32_t> queues, uint32_t queue_count) {
  return table_.SetEntries(queues, queue_count);
}

Steering::Choice Steering::Choose(const FrameLayout& frame) const {
  if (frame.l3 != L3Kind::kIpv4 && frame.l3 != L3Kind::kIpv6) return {};
  const bool spread = frame.is_tcp() || frame.is_udp();
  Choice choice{.hash = RssHash(key_, frame.flow, spread)};
  const MaskedRule* const rule = frame.is_fragment
                                     ? nullptr
                                     : rules_.Match(frame.flow, frame.protocol,
                                                    frame.l3 == L3Kind::kIpv6, frame.traffic_class);
  if (rule != nullptr) {
    choice.queue = rule->queue;
    choice.by_rule = true;
  } else if (spread) {
    choice.queue = table_.QueueFor(choice.hash);
  }
  return choice;
}

void Steering::Reset() { *this = Steering(); }

}  // namespace devmem
