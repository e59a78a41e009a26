// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/ntuple_rule.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

// What a field of a rule compares: nothing, all of it, or a part, which our rules never do.
enum class Compared { kNothing, kAll, kPart };

Compared Look(const void* mask, size_t bytes) {
  const auto* const first = static_cast<const uint8_t*>(mask);
  if (std::all_of(first, first + bytes, [](uint8_t byte) { return byte == 0; })) {
    return Compared::kNothing;
  }
  const bool all = std::all_of(first, first + bytes, [](uint8_t byte) { return byte == 0xff; });
  return all ? Compared::kAll : Compared::kPart;
}

void PutAddress(const IpAddress& address, void* value, void* mask) {
  if (address.is_v4()) {
    StoreBe32(static_cast<uint8_t*>(value), address.v4());
    std::memset(mask, 0xff, sizeof(uint32_t));
  } else {
    address.StoreTo(static_cast<uint8_t*>(value));
    std::memset(mask, 0xff, IpAddress::kBytes);
  }
}

void PutPort(uint16_t port, void* value, void* mask) {
  StoreBe16(static_cast<uint8_t*>(value), port);
  std::memset(mask, 0xff, sizeof(port));
}

// False when only a part is compared.
template <size_t kBytes>
bool GetAddress(const void* value, const void* mask, std::optional<IpAddress>& out) {
  const Compared compared = Look(mask, kBytes);
  const auto* const bytes = static_cast<const uint8_t*>(value);
  if (compared == Compared::kAll) {
    out = kBytes == sizeof(uint32_t) ? IpAddress::FromV4(LoadBe32(bytes))
                                     : IpAddress::FromV6({bytes, kBytes});
  }
  return compared != Compared::kPart;
}

bool GetPort(const void* value, const void* mask, std::optional<uint16_t>& out) {
  const Compared compared = Look(mask, sizeof(uint16_t));
  if (compared == Compared::kAll) out = LoadBe16(static_cast<const uint8_t*>(value));
  return compared != Compared::kPart;
}

bool GetMatch4(const ethtool_tcpip4_spec& value, const ethtool_tcpip4_spec& mask,
               FlowMatch& match) {
  return GetAddress<sizeof(uint32_t)>(&value.ip4dst, &mask.ip4dst, match.local) &&
         GetAddress<sizeof(uint32_t)>(&value.ip4src, &mask.ip4src, match.remote) &&
         GetPort(&value.pdst, &mask.pdst, match.local_port) &&
         GetPort(&value.psrc, &mask.psrc, match.remote_port) && mask.tos == 0;
}

bool GetMatch6(const ethtool_tcpip6_spec& value, const ethtool_tcpip6_spec& mask,
               FlowMatch& match) {
  return GetAddress<IpAddress::kBytes>(value.ip6dst, mask.ip6dst, match.local) &&
         GetAddress<IpAddress::kBytes>(value.ip6src, mask.ip6src, match.remote) &&
         GetPort(&value.pdst, &mask.pdst, match.local_port) &&
         GetPort(&value.psrc, &mask.psrc, match.remote_port) && mask.tclass == 0;
}

std::optional<bool> Ipv6Of(const FlowMatch& match) {
  if (match.local) return !match.local->is_v4();
  if (match.remote) return !match.remote->is_v4();
  return std::nullopt;
}

absl::Status TakeField(absl::string_view key, const std::string& value, NtupleRule& rule) {
  uint32_t number = 0;
  const bool is_number = absl::SimpleAtoi(value, &number);
  const std::optional<IpAddress> address = ParseIpAddress(value);
  if (key == "dst-ip" && address) {
    rule.match.local = address;
  } else if (key == "src-ip" && address) {
    rule.match.remote = address;
  } else if (key == "dst-port" && is_number && number <= UINT16_MAX) {
    rule.match.local_port = static_cast<uint16_t>(number);
  } else if (key == "src-port" && is_number && number <= UINT16_MAX) {
    rule.match.remote_port = static_cast<uint16_t>(number);
  } else if (key == "action" && value == "-1") {
    rule.drop = true;
  } else if (key == "action" && is_number) {
    rule.queue = number;
  } else if (key == "context" && is_number) {
    rule.rss_context = number;
  } else if (key == "loc" && is_number) {
    rule.location = number;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", key, " ", value, "\" is no part of a rule"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string NtupleRule::ToString() const {
  const bool v6 = Ipv6Of(match).value_or(ipv6);
  std::string text = protocol == NtupleProtocol::kTcp ? "tcp" : "udp";
  text += v6 ? "6" : "4";
  if (foreign) text = "of another kind";
  if (match.remote) absl::StrAppend(&text, " src-ip ", match.remote->ToString());
  if (match.local) absl::StrAppend(&text, " dst-ip ", match.local->ToString());
  if (match.remote_port) absl::StrAppend(&text, " src-port ", *match.remote_port);
  if (match.local_port) absl::StrAppend(&text, " dst-port ", *match.local_port);
  if (rss_context) absl::StrAppend(&text, " context ", *rss_context);
  if (drop) text += " action -1";
  if (!drop && !rss_context) absl::StrAppend(&text, " action ", queue);
  if (location) absl::StrAppend(&text, " loc ", *location);
  return text;
}

std::optional<uint32_t> HighestFreeLocation(const RuleTable& table,
                                            const std::vector<NtupleRule>& rules) {
  std::set<uint32_t> taken;
  for (const NtupleRule& rule : rules) taken.insert(rule.location.value_or(0));
  for (uint32_t location = table.size; location-- > 0;) {
    if (taken.count(location) == 0) return location;
  }
  return std::nullopt;
}

bool SameRule(const NtupleRule& a, const NtupleRule& b) {
  const bool a_v6 = Ipv6Of(a.match).value_or(a.ipv6);
  const bool b_v6 = Ipv6Of(b.match).value_or(b.ipv6);
  return !a.foreign && !b.foreign && a.protocol == b.protocol && a_v6 == b_v6 &&
         a.match == b.match && a.drop == b.drop && a.rss_context == b.rss_context &&
         (a.drop || a.rss_context || a.queue == b.queue);
}

absl::StatusOr<ethtool_rx_flow_spec> EncodeRule(const NtupleRule& rule) {
  const FlowMatch& match = rule.match;
  if (match.local && match.remote && match.local->is_v4() != match.remote->is_v4()) {
    return absl::InvalidArgumentError("a flow rule's two addresses are of different IP versions");
  }
  if (rule.foreign) return absl::InvalidArgumentError("rules of this kind are not made here");
  ethtool_rx_flow_spec spec = {};
  const bool v6 = Ipv6Of(match).value_or(rule.ipv6);
  const bool tcp = rule.protocol == NtupleProtocol::kTcp;
  spec.flow_type = v6 ? (tcp ? TCP_V6_FLOW : UDP_V6_FLOW) : (tcp ? TCP_V4_FLOW : UDP_V4_FLOW);
  // TCP and UDP have the same form. A bit of 1 in the mask says: compare.
  ethtool_tcpip4_spec& v4_value = spec.h_u.tcp_ip4_spec;
  ethtool_tcpip4_spec& v4_mask = spec.m_u.tcp_ip4_spec;
  ethtool_tcpip6_spec& v6_value = spec.h_u.tcp_ip6_spec;
  ethtool_tcpip6_spec& v6_mask = spec.m_u.tcp_ip6_spec;
  if (match.local && v6) PutAddress(*match.local, v6_value.ip6dst, v6_mask.ip6dst);
  if (match.local && !v6) PutAddress(*match.local, &v4_value.ip4dst, &v4_mask.ip4dst);
  if (match.remote && v6) PutAddress(*match.remote, v6_value.ip6src, v6_mask.ip6src);
  if (match.remote && !v6) PutAddress(*match.remote, &v4_value.ip4src, &v4_mask.ip4src);
  if (match.local_port && v6) PutPort(*match.local_port, &v6_value.pdst, &v6_mask.pdst);
  if (match.local_port && !v6) PutPort(*match.local_port, &v4_value.pdst, &v4_mask.pdst);
  if (match.remote_port && v6) PutPort(*match.remote_port, &v6_value.psrc, &v6_mask.psrc);
  if (match.remote_port && !v6) PutPort(*match.remote_port, &v4_value.psrc, &v4_mask.psrc);
  spec.ring_cookie = rule.drop ? RX_CLS_FLOW_DISC : rule.queue;
  if (rule.rss_context) {
    spec.flow_type |= FLOW_RSS;
    spec.ring_cookie = 0;
  }
  spec.location = rule.location.value_or(RX_CLS_LOC_ANY);
  return spec;
}

NtupleRule DecodeRule(const ethtool_rx_flow_spec& spec, uint32_t rss_context) {
  NtupleRule rule;
  rule.location = spec.location;
  rule.drop = spec.ring_cookie == RX_CLS_FLOW_DISC;
  rule.queue = rule.drop ? 0 : static_cast<uint32_t>(spec.ring_cookie & 0xffffffff);
  if ((spec.flow_type & FLOW_RSS) != 0) rule.rss_context = rss_context;
  const uint32_t type = spec.flow_type & ~static_cast<uint32_t>(FLOW_RSS);
  rule.ipv6 = type == TCP_V6_FLOW || type == UDP_V6_FLOW;
  const bool udp = type == UDP_V4_FLOW || type == UDP_V6_FLOW;
  rule.protocol = udp ? NtupleProtocol::kUdp : NtupleProtocol::kTcp;
  const bool known = rule.ipv6 || type == TCP_V4_FLOW || type == UDP_V4_FLOW;
  // The extension fields are compared only with FLOW_EXT or FLOW_MAC_EXT, which are not in `type`.
  rule.foreign = !known || (!rule.drop && (spec.ring_cookie >> 32) != 0);
  if (known && rule.ipv6) {
    rule.foreign |= !GetMatch6(spec.h_u.tcp_ip6_spec, spec.m_u.tcp_ip6_spec, rule.match);
  } else if (known) {
    rule.foreign |= !GetMatch4(spec.h_u.tcp_ip4_spec, spec.m_u.tcp_ip4_spec, rule.match);
  }
  return rule;
}

absl::StatusOr<NtupleRule> ParseRule(absl::string_view text) {
  const std::vector<std::string> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  NtupleRule rule;
  if (words.size() % 2 == 0 ||
      (words[0] != "tcp4" && words[0] != "tcp6" && words[0] != "udp4" && words[0] != "udp6")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" is no rule; write tcp4|tcp6|udp4|udp6 dst-ip A dst-port P action QUEUE"));
  }
  rule.protocol = words[0][0] == 't' ? NtupleProtocol::kTcp : NtupleProtocol::kUdp;
  rule.ipv6 = words[0][3] == '6';
  for (size_t at = 1; at + 1 < words.size(); at += 2) {
    const absl::Status taken = TakeField(words[at], words[at + 1], rule);
    if (!taken.ok()) return taken;
  }
  if (Ipv6Of(rule.match).value_or(rule.ipv6) != rule.ipv6) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": the address is not of the IP version of ", words[0]));
  }
  return rule;
}

std::vector<FlowMatch> RuleVariants(const FlowMatch& match) {
  std::vector<FlowMatch> variants = {match};
  const auto add = [&](const FlowMatch& wider) {
    if (wider.local_port && std::find(variants.begin(), variants.end(), wider) == variants.end()) {
      variants.push_back(wider);
    }
  };
  add({.local = match.local, .remote = {}, .local_port = match.local_port, .remote_port = {}});
  add({.local = {}, .remote = {}, .local_port = match.local_port, .remote_port = {}});
  return variants;
}

}  // namespace devmem
