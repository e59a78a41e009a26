// SPDX-License-Identifier: Apache-2.0
// An Ethernet address as a value (IEEE 802 section 8). Used by the Ethernet and ARP views, by the
// NICs and by the neighbour cache; it has no thread of its own.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/ip_address.h"

namespace devmem {

class MacAddress {
 public:
  static constexpr size_t kBytes = 6;

  constexpr MacAddress() = default;
  explicit constexpr MacAddress(const std::array<uint8_t, kBytes>& bytes) : bytes_(bytes) {}

  // Reads the address from the first six of `bytes`, which has at least six.
  static MacAddress FromBytes(std::span<const uint8_t> bytes) {
    MacAddress address;
    std::copy_n(bytes.begin(), kBytes, address.bytes_.begin());
    return address;
  }

  static constexpr MacAddress Broadcast() {
    return MacAddress({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  }

  // Where frames to an IPv6 multicast group go: 33:33 and the group's last four bytes (RFC 2464
  // section 7).
  static MacAddress ForIpv6Group(const IpAddress& group) {
    MacAddress address({0x33, 0x33, 0, 0, 0, 0});
    StoreBe32(&address.bytes_[2], static_cast<uint32_t>(group.low()));
    return address;
  }

  constexpr const std::array<uint8_t, kBytes>& bytes() const { return bytes_; }

  constexpr bool is_zero() const { return *this == MacAddress(); }
  constexpr bool is_broadcast() const { return *this == Broadcast(); }
  // The group bit: set in multicast addresses and in the broadcast address.
  constexpr bool is_multicast() const { return (bytes_[0] & 1) != 0; }

  // Six lower-case pairs joined by colons: "02:00:5e:10:00:01".
  std::string ToString() const;

  friend constexpr bool operator==(const MacAddress&, const MacAddress&) = default;
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;

 private:
  std::array<uint8_t, kBytes> bytes_{};
};

// Reads the form that ToString() writes, in either case. Gives nothing for any other text.
std::optional<MacAddress> ParseMacAddress(absl::string_view text);

}  // namespace devmem
