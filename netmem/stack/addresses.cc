// SPDX-License-Identifier: Apache-2.0
//
// Parsing and routing of the stack's own addresses.

#include "netmem/stack/addresses.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace devmem {

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
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no IP address; write one like 192.0.2.2 or 192.0.2.2/24"));
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
                                            absl::string_view gateway) {
  Addresses result;
  for (const std::string& text : addresses) {
    absl::StatusOr<Subnet> subnet = ParseSubnet(text);
    if (!subnet.ok()) return subnet.status();
    if (!subnet->address.is_v4()) {
      return absl::UnimplementedError(absl::StrCat("the stack serves IPv4 only, and '", text,
                                                   "' is an IPv6 address; give an IPv4 one"));
    }
    if (subnet->address.is_unspecified() || subnet->address.is_multicast() ||
        subnet->address.is_broadcast()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", text, "' cannot be a host's own address; give a unicast one"));
    }
    result.subnets_.push_back(*subnet);
  }
  if (result.subnets_.empty()) {
    return absl::InvalidArgumentError(
        "the stack has no address; name at least one that it answers for, like 192.0.2.2/24");
  }
  if (!gateway.empty()) {
    result.gateway_ = ParseIpAddress(gateway);
    if (!result.gateway_.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("gateway '", gateway, "' is no IP address; write one like 192.0.2.1"));
    }
  }
  return result;
}

std::optional<IpAddress> Addresses::NextHop(const IpAddress& remote) const {
  for (const Subnet& subnet : subnets_) {
    if (subnet.Contains(remote)) return remote;
  }
  return gateway_;
}

const IpAddress& Addresses::SourceFor(const IpAddress& neighbour) const {
  for (const Subnet& subnet : subnets_) {
    if (subnet.Contains(neighbour)) return subnet.address;
  }
  return first();
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
