// SPDX-License-Identifier: Apache-2.0
// An IPv4 or IPv6 address as one 16-byte value. An IPv4 address is kept in its v4-mapped form
// ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), so a flow key needs no family and one comparison
// serves both. Used on every layer and thread; only the text forms allocate.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "netmem/wire/byte_order.h"

namespace devmem {

// Invariant: `high_` and `low_` are the two halves of the address as big-endian numbers, so that
// their order is the order of the bytes on the wire.
class IpAddress {
 public:
  static constexpr size_t kBytes = 16;

  // The unspecified IPv6 address, "::".
  constexpr IpAddress() = default;

  // `value` is in host order: 10.0.0.1 is 0x0a000001.
  static constexpr IpAddress FromV4(uint32_t value) { return IpAddress(0, kV4Prefix | value); }

  // The 16-byte form by its halves, as big-endian numbers.
  static constexpr IpAddress FromHalves(uint64_t high, uint64_t low) {
    return IpAddress(high, low);
  }

  // Reads the first 16 of `bytes`, which has at least 16, in the order of the wire.
  static IpAddress FromV6(std::span<const uint8_t> bytes) {
    return IpAddress(LoadBe64(bytes.data()), LoadBe64(bytes.data() + 8));
  }

  constexpr bool is_v4() const { return high_ == 0 && (low_ >> 32) == (kV4Prefix >> 32); }

  // The IPv4 address in host order; means something only if is_v4().
  constexpr uint32_t v4() const { return static_cast<uint32_t>(low_); }

  // The halves of the 16-byte form, as big-endian numbers. They are what a hash wants.
  constexpr uint64_t high() const { return high_; }
  constexpr uint64_t low() const { return low_; }

  // Writes the 16-byte form to `out`, which has room for it.
  void StoreTo(uint8_t* out) const {
    StoreBe64(out, high_);
    StoreBe64(out + 8, low_);
  }
  std::array<uint8_t, kBytes> bytes() const {
    std::array<uint8_t, kBytes> out;
    StoreTo(out.data());
    return out;
  }

  // 0.0.0.0 or "::".
  constexpr bool is_unspecified() const { return high_ == 0 && (low_ == 0 || low_ == kV4Prefix); }
  // 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 section 2.7).
  constexpr bool is_multicast() const {
    return is_v4() ? (v4() >> 28) == 0xe : (high_ >> 56) == 0xff;
  }
  // 255.255.255.255 only: the broadcast address of a subnet needs its prefix to be known.
  constexpr bool is_broadcast() const { return is_v4() && v4() == 0xffffffff; }

  // fe80::/10, addresses that mean something on their own link only (RFC 4291 section 2.5.6).
  constexpr bool is_link_local_v6() const { return (high_ >> 54) == 0x3fa; }

  // Dotted quad for IPv4, RFC 5952 form for IPv6.
  std::string ToString() const;

  friend constexpr bool operator==(const IpAddress&, const IpAddress&) = default;
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  static constexpr uint64_t kV4Prefix = uint64_t{0xffff} << 32;

  constexpr IpAddress(uint64_t high, uint64_t low) : high_(high), low_(low) {}

  uint64_t high_ = 0;
  uint64_t low_ = 0;
};

// Reads a dotted quad or an IPv6 address without brackets, prefix length or zone. The v4-mapped
// text
// "::ffff:10.0.0.1" is the same address as "10.0.0.1". Gives nothing for any other text.
std::optional<IpAddress> ParseIpAddress(absl::string_view text);

}  // namespace devmem
