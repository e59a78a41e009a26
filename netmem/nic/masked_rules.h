// SPDX-License-Identifier: Apache-2.0
//
// Flow rules as a NIC's firmware keeps them: at numbered locations, for any transport, with a mask
// for every bit of addresses, ports and traffic class, as `ethtool -N` writes them. FlowRules is
// the table of our own stack, whole fields of TCP only; Of() says the same rule in this form. Owned
// and asked by the thread of one device.

#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "netmem/nic/flow_rules.h"
#include "netmem/nic/limits.h"
#include "netmem/wire/flow_key.h"

namespace devmem {

// A bit of a mask is 1 where the flow must equal the key. Of IPv4 addresses the low 32 bits count.
// Where there are no ports but an SPI (AH, ESP), its high half stands in the remote port.
struct MaskedRule {
  uint32_t location = 0;
  uint32_t queue = 0;
  uint8_t protocol = 6;  // TCP.
  bool is_v6 = false;
  FlowKey key = {};
  FlowKey mask = {};
  uint8_t traffic_class = 0;
  uint8_t traffic_class_mask = 0;

  friend bool operator==(const MaskedRule&, const MaskedRule&) = default;
  bool Matches(const FlowKey& flow, uint8_t flow_protocol, bool flow_is_v6,
               uint8_t flow_traffic_class) const;

  // A rule of the stack's table: given fields are masked whole. `is_v6` decides for a match
  // without any address, which this form cannot leave open.
  static MaskedRule Of(const FlowMatch& match, uint32_t queue, bool is_v6);
};

class MaskedRules {
 public:
  // Puts a rule at its location, in place of what was there. The caller has checked the queue.
  //
  // Errors: kResourceExhausted  kMaskedRulesMax rules are there.
  absl::Status Add(const MaskedRule& rule);
  // Errors: kNotFound  no rule is there.
  absl::Status Delete(uint32_t location);
  void Clear() { rules_.clear(); }

  // Ascending by location.
  std::vector<MaskedRule> List() const;
  uint32_t size() const { return static_cast<uint32_t>(rules_.size()); }

  // The matching rule with the lowest location, or nullptr. It lives until the rules change.
  const MaskedRule* Match(const FlowKey& flow, uint8_t protocol, bool is_v6,
                          uint8_t traffic_class) const;

 private:
  std::map<uint32_t, MaskedRule> rules_;  // By location.
};

}  // namespace devmem
