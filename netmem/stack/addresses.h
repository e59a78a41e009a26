// SPDX-License-Identifier: Apache-2.0
//
// The addresses that a stack answers for, and which of its neighbours a packet goes to first. Made
// once when the stack is; afterwards read by all workers.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/wire/ip_address.h"

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
  // Errors: kInvalidArgument for a text that is no address, an address that no host may have, or an
  // empty list; kUnimplemented for IPv6.
  static absl::StatusOr<Addresses> Create(const std::vector<std::string>& addresses,
                                          absl::string_view gateway);

  bool IsOurs(const IpAddress& address) const {
    for (const Subnet& subnet : subnets_) {
      if (subnet.address == address) return true;
    }
    return false;
  }
  const IpAddress& first() const { return subnets_.front().address; }
  // Which neighbour a packet to `remote` is handed to; nothing when there is no way.
  std::optional<IpAddress> NextHop(const IpAddress& remote) const;
  // Our address in the subnet of `neighbour`, for the sender field of a question; else the first.
  const IpAddress& SourceFor(const IpAddress& neighbour) const;
  std::string ToString() const;  // "192.0.2.2/24, 198.18.0.1/15"

 private:
  std::vector<Subnet> subnets_;
  std::optional<IpAddress> gateway_;
};

}  // namespace devmem
