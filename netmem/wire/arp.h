// SPDX-License-Identifier: Apache-2.0
// An ARP packet for IPv4 over Ethernet (RFC 826), read in place and written. Called by the stack's
// neighbour code and the frame builder on the worker's thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/ip_address.h"
#include "netmem/wire/mac_address.h"

namespace devmem {

// Values of the operation field (RFC 826, "Definitions").
inline constexpr uint16_t kArpRequest = 1;
inline constexpr uint16_t kArpReply = 2;

inline constexpr size_t kArpPacketBytes = 28;

// The view owns nothing: the bytes outlive it. Parse() refuses every hardware type but Ethernet and
// every protocol but IPv4, so the addresses always have the sizes that the accessors assume.
class ArpPacket {
 public:
  // Hardware type 1 (Ethernet), protocol 0x0800 (IPv4), address sizes 6 and 4: the first six bytes.
  static constexpr uint64_t kTypesAndSizes = 0x000108000604;

  static std::optional<ArpPacket> Parse(std::span<const uint8_t> bytes) {
    if (bytes.size() < kArpPacketBytes) return std::nullopt;
    if (LoadBe64(bytes.data()) >> 16 != kTypesAndSizes) return std::nullopt;
    return ArpPacket(bytes.data());
  }

  uint16_t operation() const { return LoadBe16(bytes_ + 6); }
  MacAddress sender_mac() const { return MacAddress::FromBytes({bytes_ + 8, MacAddress::kBytes}); }
  IpAddress sender_ip() const { return IpAddress::FromV4(LoadBe32(bytes_ + 14)); }
  MacAddress target_mac() const { return MacAddress::FromBytes({bytes_ + 18, MacAddress::kBytes}); }
  IpAddress target_ip() const { return IpAddress::FromV4(LoadBe32(bytes_ + 24)); }

 private:
  explicit ArpPacket(const uint8_t* bytes) : bytes_(bytes) {}

  const uint8_t* bytes_;
};

// Both IP addresses are IPv4.
struct ArpFields {
  uint16_t operation = kArpRequest;
  MacAddress sender_mac = {};
  IpAddress sender_ip = {};
  MacAddress target_mac = {};
  IpAddress target_ip = {};
};

// Writes the packet to the start of `out`. Returns the bytes written: 28, or 0 if `out` is shorter.
inline size_t EmitArp(const ArpFields& fields, std::span<uint8_t> out) {
  if (out.size() < kArpPacketBytes) return 0;
  StoreBe64(&out[0], ArpPacket::kTypesAndSizes << 16 | fields.operation);
  std::copy_n(fields.sender_mac.bytes().begin(), MacAddress::kBytes, out.begin() + 8);
  StoreBe32(&out[14], fields.sender_ip.v4());
  std::copy_n(fields.target_mac.bytes().begin(), MacAddress::kBytes, out.begin() + 18);
  StoreBe32(&out[24], fields.target_ip.v4());
  return kArpPacketBytes;
}

}  // namespace devmem
