// SPDX-License-Identifier: Apache-2.0
//
// Masked flow rules: one comparison per rule, in the order of locations.

#include "netmem/nic/masked_rules.h"

#include "absl/strings/str_cat.h"
#include "netmem/wire/ipv4.h"

namespace devmem {
namespace {

constexpr bool Equal(uint64_t a, uint64_t b, uint64_t mask) { return ((a ^ b) & mask) == 0; }

bool AddressEqual(const IpAddress& a, const IpAddress& b, const IpAddress& mask, bool is_v6) {
  // The upper bits of an IPv4 address are a constant prefix, which no mask speaks of.
  const uint64_t low_mask = is_v6 ? mask.low() : mask.low() & UINT32_MAX;
  return Equal(a.low(), b.low(), low_mask) && (!is_v6 || Equal(a.high(), b.high(), mask.high()));
}

constexpr IpAddress kWholeAddress = IpAddress::FromHalves(UINT64_MAX, UINT64_MAX);

}  // namespace

bool MaskedRule::Matches(const FlowKey& flow, uint8_t flow_protocol, bool flow_is_v6,
                         uint8_t flow_traffic_class) const {
  return protocol == flow_protocol && is_v6 == flow_is_v6 &&
         AddressEqual(flow.remote, key.remote, mask.remote, is_v6) &&
         AddressEqual(flow.local, key.local, mask.local, is_v6) &&
         Equal(flow.remote_port, key.remote_port, mask.remote_port) &&
         Equal(flow.local_port, key.local_port, mask.local_port) &&
         Equal(flow_traffic_class, traffic_class, traffic_class_mask);
}

MaskedRule MaskedRule::Of(const FlowMatch& match, uint32_t queue, bool is_v6) {
  MaskedRule rule{.queue = queue, .protocol = kIpProtocolTcp, .is_v6 = is_v6};
  if (match.local) {
    rule.key.local = *match.local;
    rule.mask.local = kWholeAddress;
    rule.is_v6 = !match.local->is_v4();
  }
  if (match.remote) {
    rule.key.remote = *match.remote;
    rule.mask.remote = kWholeAddress;
    rule.is_v6 = !match.remote->is_v4();
  }
  rule.key.local_port = match.local_port.value_or(0);
  rule.mask.local_port = match.local_port ? UINT16_MAX : 0;
  rule.key.remote_port = match.remote_port.value_or(0);
  rule.mask.remote_port = match.remote_port ? UINT16_MAX : 0;
  return rule;
}

absl::Status MaskedRules::Add(const MaskedRule& rule) {
  if (rules_.size() >= kMaskedRulesMax && rules_.count(rule.location) == 0) {
    return absl::ResourceExhaustedError(absl::StrCat("the device has ", rules_.size(),
                                                     " flow rules, the most is ", kMaskedRulesMax,
                                                     "; delete one first"));
  }
  rules_[rule.location] = rule;
  return absl::OkStatus();
}

absl::Status MaskedRules::Delete(uint32_t location) {
  if (rules_.erase(location) == 0) {
    return absl::NotFoundError(absl::StrCat("no flow rule at location ", location, " among the ",
                                            rules_.size(), " of this device"));
  }
  return absl::OkStatus();
}

std::vector<MaskedRule> MaskedRules::List() const {
  std::vector<MaskedRule> rules;
  rules.reserve(rules_.size());
  for (const auto& [location, rule] : rules_) rules.push_back(rule);
  return rules;
}

const MaskedRule* MaskedRules::Match(const FlowKey& flow, uint8_t protocol, bool is_v6,
                                     uint8_t traffic_class) const {
  for (const auto& [location, rule] : rules_) {
    if (rule.Matches(flow, protocol, is_v6, traffic_class)) return &rule;
  }
  return nullptr;
}

}  // namespace devmem
