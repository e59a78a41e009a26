// SPDX-License-Identifier: Apache-2.0
// The Ethernet II header (IEEE 802.3 section 3.2), read in place and written. Called by the frame
// parser and the frame builder on the worker's thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/mac_address.h"

namespace devmem {

// EtherType values (IEEE 802 numbers as IANA lists them).
inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;  // IEEE 802.1Q: a tag follows.
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;

inline constexpr size_t kEthernetHeaderBytes = 14;

// The view owns nothing: the bytes outlive it. Parse() is the only way to get one, so no accessor
// can fail.
class EthernetHeader {
 public:
  static std::optional<EthernetHeader> Parse(std::span<const uint8_t> bytes) {
    if (bytes.size() < kEthernetHeaderBytes) return std::nullopt;
    return EthernetHeader(bytes.data());
  }

  MacAddress destination() const { return MacAddress::FromBytes({bytes_, MacAddress::kBytes}); }
  MacAddress source() const { return MacAddress::FromBytes({bytes_ + 6, MacAddress::kBytes}); }
  uint16_t ether_type() const { return LoadBe16(bytes_ + 12); }

 private:
  explicit EthernetHeader(const uint8_t* bytes) : bytes_(bytes) {}

  const uint8_t* bytes_;
};

struct EthernetFields {
  MacAddress destination = {};
  MacAddress source = {};
  uint16_t ether_type = kEtherTypeIpv4;
};

// Writes the header to the start of `out`. Returns the bytes written: 14, or 0 if `out` is shorter.
inline size_t EmitEthernet(const EthernetFields& fields, std::span<uint8_t> out) {
  if (out.size() < kEthernetHeaderBytes) return 0;
  std::copy_n(fields.destination.bytes().begin(), MacAddress::kBytes, out.begin());
  std::copy_n(fields.source.bytes().begin(), MacAddress::kBytes, out.begin() + 6);
  StoreBe16(&out[12], fields.ether_type);
  return kEthernetHeaderBytes;
}

}  // namespace devmem
