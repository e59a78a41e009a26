// SPDX-License-Identifier: Apache-2.0
//
// What a NicSetup found and what it will change, as plain values: for the setup itself, for
// `devmemctl setup --dry-run`, and for whoever wants to know the NIC's size. Any thread.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace devmem {

// The kinds of change. The order in which they are made is that of NicPlan::steps.
enum class NicStepKind { kChannels, kFeature, kSplit, kHdsThresh, kRss, kRule };

// One change of one setting. `before` and `after` are the texts that the journal keeps: a number of
// channels, on or off, a table of queues; for a rule, `after` is the rule and `before` says "none".
struct NicStep {
  NicStepKind kind = NicStepKind::kChannels;
  std::string name = {};     // Which setting: "channels", "rx-ntuple-filter", "tcp-data-split", ...
  std::string before = {};   // What to go back to.
  std::string after = {};    // What it becomes, and what must still be there when it is undone.
  std::string netlink = {};  // "rings-set dev-name=eth0 tcp-data-split=enabled"
  std::string ethtool = {};  // "ethtool -G eth0 tcp-data-split on"
};

struct NicPlan {
  std::string device = {};
  uint32_t ifindex = 0;
  std::string driver = {};
  uint32_t mtu_bytes = 0;
  uint32_t rx_queue_count = 0;          // As it will be.
  std::vector<uint32_t> queues = {};    // Those set apart; sorted.
  std::vector<NicStep> steps = {};      // Empty: everything is as it should be.
  std::vector<std::string> notes = {};  // What was seen and is left alone, one sentence each.
};

}  // namespace devmem
