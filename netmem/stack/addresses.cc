// SPDX-License-Identifier: Apache-2.0
//
// Parsing and routing of the stack's own addresses.

#include "netmem/stack/addresses.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "netmem/wire/neighbour_discovery.h"

namespace devmem {
namespace {

constexpr uint32_t kLinkLocalPrefixBits = 64;  // RFC 4291 section 2.5.6.

}  // namespace

bool Subnet::Contains(const IpAddress& other) const {
  if (address.is_v4() != other.is_v4()) return false;
  // An IPv4 prefix counts from behind the 96 bits of the v4-mapped form.
  const uint32_t bits = address.is_v4() ? 96 + prefix_bits : prefix_bits;
  const uint64_t high = address.high() ^ other.high();
  const uint64_t low = address.low() ^ other.low();
  if (bits <= 64) return bits == 0 || (high >> (64 - bits)) == 0;
  return high == 0 && (bits == 64 || (low >> (128 - bits)) == 0);
}

absl::StatusOr<Subnet> ParseSubnet(absl::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<IpAddress> address = ParseIpAddress(text.substr(0, slash));
  if (!address.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is no IP address; write one like 192.0.2.2/24 or 2001:db8::2/64"));
  }
  const uint32_t bits_max = address->is_v4() ? 32 : 128;
  Subnet subnet{*address, address->is_v4() ? 24u : 64u};
  if (slash != absl::string_view::npos &&
      (!absl::SimpleAtoi(text.substr(slash + 1), &subnet.prefix_bits) ||
       subnet.prefix_bits > bits_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prefix length of '", text, "' is no number from 0 to ", bits_max));
  }
  return subnet;
}

absl::StatusOr<Addresses> Addresses::Create(const std::vector<std::string>& addresses,
                                            absl::string_view gateways) {
  Addresses result;
  for (const std::string& text : addresses) {
    absl::StatusOr<Subnet> subnet = ParseSubnet(text);
    if (!subnet.ok()) return subnet.status();
    if (subnet->address.is_unspecified() || subnet->address.is_multicast() ||
        subnet->address.is_broadcast()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", text, "' cannot be a host's own address; give a unicast one"));
    }
    result.subnets_.push_back(*subnet);
  }
  if (result.subnets_.empty()) {
    return absl::InvalidArgumentError(
        "the stack has no address; name at least one that it answers for, like 192.0.2.2/24 or "
        "2001:db8::2/64");
  }
  if (gateways.empty()) return result;
  for (const absl::string_view text : absl::StrSplit(gateways, ',')) {
    absl::Status added = result.AddGateway(absl::StripAsciiWhitespace(text));
    if (!added.ok()) return added;
  }
  return result;
}

absl::Status Addresses::AddGateway(absl::string_view text) {
  const std::optional<IpAddress> gateway = ParseIpAddress(text);
  if (!gateway.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gateway '", text, "' is no IP address; write one like 192.0.2.1 or 2001:db8::1"));
  }
  const absl::string_view family = gateway->is_v4() ? "IPv4" : "IPv6";
  if (FirstOf(gateway->is_v4()) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("gateway '", text, "' is an ", family, " address, and the stack has ",
                     ToString(), ": give it an ", family, " address too, or leave this out"));
  }
  std::optional<IpAddress>& place = gateway->is_v4() ? gateway_v4_ : gateway_v6_;
  if (place.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("gateways ", place->ToString(), " and ", text,
                                                   " are both of ", family, "; give one"));
  }
  place = gateway;
  return absl::OkStatus();
}

void Addresses::AddLinkLocal(const MacAddress& mac) {
  if (!has_v6()) return;
  for (const Subnet& subnet : subnets_) {
    if (subnet.address.is_link_local_v6()) return;
  }
  subnets_.push_back(Subnet{LinkLocalAddress(mac), kLinkLocalPrefixBits});
}

const IpAddress* Addresses::FirstOf(bool v4) const {
  for (const Subnet& subnet : subnets_) {
    if (subnet.address.is_v4() == v4) return &subnet.address;
  }
  return nullptr;
}

std::optional<IpAddress> Addresses::NextHop(const IpAddress& remote) const {
  for (const Subnet& subnet : subnets_) {
    if (subnet.Contains(remote)) return remote;
  }
  // A router forwards nothing to a link-local address (RFC 4291 section 2.5.6).
  if (remote.is_link_local_v6()) return std::nullopt;
  return remote.is_v4() ? gateway_v4_ : gateway_v6_;
}

const IpAddress* Addresses::SourceFor(const IpAddress& remote) const {
  for (const Subnet& subnet : subnets_) {
    if (subnet.Contains(remote)) return &subnet.address;
  }
  return FirstOf(remote.is_v4());
}

std::string Addresses::ToString() const {
  std::string text;
  for (const Subnet& subnet : subnets_) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", subnet.address.ToString(), "/",
                    subnet.prefix_bits);
  }
  return text;
}

}  // namespace devmem
