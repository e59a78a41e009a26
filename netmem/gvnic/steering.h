// SPDX-License-Identifier: Apache-2.0
//
// Which rx queue of a virtual gVNIC a packet goes to: the flow rule that names it, else for TCP and
// UDP the RSS indirection table, else queue 0. The admin queue writes it, the data path asks it
// once per packet, both on the thread of the device. The hash is netmem/nic's.

#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "netmem/gvnic/frame_layout.h"
#include "netmem/nic/masked_rules.h"
#include "netmem/nic/rss.h"

namespace devmem {

class Steering {
 public:
  struct Choice {
    uint32_t queue = 0;
    uint32_t hash = 0;  // 0 for what is not IP.
    bool by_rule = false;
  };

  // The flow rules, at most kMaskedRulesMax.
  MaskedRules& rules() { return rules_; }
  const MaskedRules& rules() const { return rules_; }

  // Takes the guest's hash key.
  //
  // Errors: kInvalidArgument  it does not have kRssKeyBytes bytes.
  absl::Status SetRssKey(std::span<const uint8_t> key);

  // Takes the guest's indirection table: a queue per entry.
  //
  // Errors: kInvalidArgument  it does not have kRssTableEntries entries.
  //         kOutOfRange       a queue is not below `queue_count`. The table is unchanged.
  absl::Status SetRssTable(std::span<const uint32_t> queues, uint32_t queue_count);

  Choice Choose(const FrameLayout& frame) const;

  // No rules, Microsoft's key, everything on queue 0.
  void Reset();

 private:
  MaskedRules rules_;
  ToeplitzKey key_ = ToeplitzKey(kRssKeyMicrosoft);
  RssTable table_;
};

}  // namespace devmem
