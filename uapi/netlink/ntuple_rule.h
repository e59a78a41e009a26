// SPDX-License-Identifier: Apache-2.0
//
// One flow rule of a NIC in the form of ethtool's ntuple filters, as a value, and its form for the
// ioctl (linux/ethtool.h). Fields are seen from this machine: local is the packets' destination.
// Pure functions; any thread.

#pragma once

#include <linux/ethtool.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/nic/flow_rules.h"

namespace devmem {

enum class NtupleProtocol { kTcp, kUdp };

struct NtupleRule {
  NtupleProtocol protocol = NtupleProtocol::kTcp;
  bool ipv6 = false;  // Told by the addresses; says something only when there are none.
  FlowMatch match;    // A field left out is not compared.
  uint32_t queue = 0;
  bool drop = false;
  std::optional<uint32_t> rss_context;  // Instead of a queue: spread by that context's table.
  std::optional<uint32_t> location;     // Unset: the highest free one, or the driver's choice.
  // A rule of another kind, or one that compares parts of fields, VLANs and the like. It is shown,
  // never made, and equals nothing.
  bool foreign = false;

  // "tcp4 dst-ip 192.0.2.1 dst-port 5201 action 3", as ethtool -N takes it.
  std::string ToString() const;
};

// A NIC's room for rules.
struct RuleTable {
  uint32_t size = 0;              // Locations; 0 where the driver does not say.
  bool placed_by_driver = false;  // It takes RX_CLS_LOC_ANY, and some such take nothing else.
};

// The free location to use: the highest, since people number theirs from the bottom. Unset: the
// table is full.
std::optional<uint32_t> HighestFreeLocation(const RuleTable& table,
                                            const std::vector<NtupleRule>& rules);

// The same match, with the same outcome; the location does not count.
bool SameRule(const NtupleRule& a, const NtupleRule& b);

// Without a location the driver is asked to choose one (RX_CLS_LOC_ANY).
// Errors: kInvalidArgument  addresses of two IP versions.
absl::StatusOr<ethtool_rx_flow_spec> EncodeRule(const NtupleRule& rule);
NtupleRule DecodeRule(const ethtool_rx_flow_spec& spec, uint32_t rss_context);

// Reads ToString()'s form, with " loc N" where it has a location; for the journal.
// Errors: kInvalidArgument.
absl::StatusOr<NtupleRule> ParseRule(absl::string_view text);

// The matches to try for a flow, in order: as asked for, then wider ones, the local address and
// port and last the local port alone. NICs differ in what a rule may leave out.
std::vector<FlowMatch> RuleVariants(const FlowMatch& match);

}  // namespace devmem
