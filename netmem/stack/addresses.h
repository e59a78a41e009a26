// SPDX-License-Identifier: Apache-2.0
//
// The addresses of both families that a stack answers for, and which of its neighbours a packet
// goes to first. Made once when the stack is; afterwards read by all workers.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/wire/ip_address.h"
#include "netmem/wire/mac_address.h"

namespace devmem {

struct Subnet {
  IpAddress address;  // Ours, host bits included.
  uint32_t prefix_bits = 24;

  bool Contains(const IpAddress& other) const;
};

// "192.0.2.2/24", or without the prefix, which is then 24 bits for IPv4 and 64 for IPv6.
// Errors: kInvalidArgument names the text and what is wrong with it.
absl::StatusOr<Subnet> ParseSubnet(absl::string_view text);

class Addresses {
 public:
  // `gateways`: where packets to other networks go, one for each family at most, joined by a comma;
  // or nothing.
  //
  // Errors: kInvalidArgument for a text that is no address, an address that no host may have, an
  // empty list, a second gateway of one family or one of a family that we have no address of.
  static absl::StatusOr<Addresses> Create(const std::vector<std::string>& addresses,
                                          absl::string_view gateways);

  // A host that has IPv6 has a link-local address too (RFC 4291 section 2.8); it is made from the
  // device's. Does nothing where there is no IPv6 address, or a link-local one already.
  void AddLinkLocal(const MacAddress& mac);

  bool IsOurs(const IpAddress& address) const {
    for (const Subnet& subnet : subnets_) {
      if (subnet.address == address) return true;
    }
    return false;
  }
  bool has_v6() const { return FirstOf(false) != nullptr; }
  // Which neighbour a packet to `remote` is handed to; nothing when there is no way.
  std::optional<IpAddress> NextHop(const IpAddress& remote) const;
  // Our address to talk to `remote` from: the one in its subnet, else the first of its family.
  // nullptr: we have none of its family. Valid as long as the object.
  const IpAddress* SourceFor(const IpAddress& remote) const;
  std::string ToString() const;  // "192.0.2.2/24, 2001:db8::2/64"

 private:
  const IpAddress* FirstOf(bool v4) const;
  absl::Status AddGateway(absl::string_view text);

  std::vector<Subnet> subnets_;
  std::optional<IpAddress> gateway_v4_;
  std::optional<IpAddress> gateway_v6_;
};

}  // namespace devmem
