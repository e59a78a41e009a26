// SPDX-License-Identifier: Apache-2.0
// An IPv4 header (RFC 791 section 3.1), read in place and written. Called by the frame parser and
// the frame builder on the worker's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ip_address.h"

namespace devmem {

// Protocol numbers, also IPv6 next-header values (IANA "Assigned Internet Protocol Numbers").
inline constexpr uint8_t kIpProtocolIcmp = 1;
inline constexpr uint8_t kIpProtocolTcp = 6;
inline constexpr uint8_t kIpProtocolUdp = 17;
inline constexpr uint8_t kIpProtocolIcmpV6 = 58;

// ECN codepoints, the low two bits of the traffic class (RFC 3168 section 5).
inline constexpr uint8_t kEcnNotCapable = 0;
inline constexpr uint8_t kEcnCapable1 = 1;
inline constexpr uint8_t kEcnCapable0 = 2;
inline constexpr uint8_t kEcnCongestion = 3;

inline constexpr size_t kIpv4HeaderBytesMin = 20;
inline constexpr size_t kIpv4HeaderBytesMax = 60;

// Whether a header whose five 32-bit words add up to `sum` has a right checksum.
constexpr bool Ipv4SumIsRight(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  return Fold(static_cast<uint32_t>((sum & 0xffff) + (sum >> 16))) == 0xffff;
}

// The view owns nothing: the bytes outlive it. Parse() is the only way to get one, so no accessor
// can fail. What Parse() ensures:
//  1. the version is 4, and the whole header, options included, lies in the bytes;
//  2. total_bytes() covers at least the header. It may exceed the bytes at hand: the caller
//  compares.
// The header checksum is the caller's to ask for.
class Ipv4Header {
 public:
  static std::optional<Ipv4Header> Parse(std::span<const uint8_t> bytes) {
    if (bytes.size() < kIpv4HeaderBytesMin || bytes[0] >> 4 != 4) return std::nullopt;
    const size_t header_bytes = 4u * (bytes[0] & 0xfu);
    if (header_bytes < kIpv4HeaderBytesMin || header_bytes > bytes.size()) return std::nullopt;
    if (LoadBe16(&bytes[2]) < header_bytes) return std::nullopt;
    return Ipv4Header(bytes.first(header_bytes));
  }

  size_t header_bytes() const { return bytes_.size(); }
  std::span<const uint8_t> bytes() const { return bytes_; }
  std::span<const uint8_t> options() const { return bytes_.subspan(kIpv4HeaderBytesMin); }

  uint8_t traffic_class() const { return bytes_[1]; }
  uint8_t ecn() const { return bytes_[1] & 3; }
  uint16_t total_bytes() const { return LoadBe16(&bytes_[2]); }  // Header and payload.
  uint16_t identification() const { return LoadBe16(&bytes_[4]); }
  bool dont_fragment() const { return (bytes_[6] & 0x40) != 0; }
  bool more_fragments() const { return (bytes_[6] & 0x20) != 0; }
  uint32_t fragment_offset_bytes() const { return 8u * (LoadBe16(&bytes_[6]) & 0x1fffu); }
  // Whether this is a part of a larger packet, the first part included.
  bool is_fragment() const { return (LoadBe16(&bytes_[6]) & 0x3fff) != 0; }
  uint8_t ttl() const { return bytes_[8]; }
  uint8_t protocol() const { return bytes_[9]; }
  uint16_t checksum() const { return LoadBe16(&bytes_[10]); }
  IpAddress source() const { return IpAddress::FromV4(LoadBe32(&bytes_[12])); }
  IpAddress destination() const { return IpAddress::FromV4(LoadBe32(&bytes_[16])); }

  // Whether the header checksum is right. A header without options is ten words: summing them here
  // is several times faster than a general loop.
  bool ChecksumIsRight() const {
    if (bytes_.size() != kIpv4HeaderBytesMin) [[unlikely]] {
      return Fold(PartialSum(bytes_)) == 0xffff;
    }
    return Ipv4SumIsRight(uint64_t{LoadBe32(&bytes_[0])} + LoadBe32(&bytes_[4]) +
                          LoadBe32(&bytes_[8]) + LoadBe32(&bytes_[12]) + LoadBe32(&bytes_[16]));
  }

 private:
  explicit Ipv4Header(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  std::span<const uint8_t> bytes_;
};

// A header without options, of a packet that is no fragment. Both addresses are IPv4.
struct Ipv4Fields {
  uint8_t traffic_class = 0;
  uint16_t total_bytes = kIpv4HeaderBytesMin;  // Header and payload.
  uint16_t identification = 0;
  bool dont_fragment = true;
  uint8_t ttl = 64;
  uint8_t protocol = kIpProtocolTcp;
  IpAddress source = {};
  IpAddress destination = {};
};

// Writes the header with its checksum to the start of `out`. Returns the bytes written: 20, or 0 if
// `out` is shorter.
inline size_t EmitIpv4(const Ipv4Fields& fields, std::span<uint8_t> out) {
  if (out.size() < kIpv4HeaderBytesMin) return 0;
  out[0] = 0x45;
  out[1] = fields.traffic_class;
  StoreBe16(&out[2], fields.total_bytes);
  StoreBe16(&out[4], fields.identification);
  StoreBe16(&out[6], fields.dont_fragment ? 0x4000 : 0);
  out[8] = fields.ttl;
  out[9] = fields.protocol;
  StoreBe16(&out[10], 0);
  StoreBe32(&out[12], fields.source.v4());
  StoreBe32(&out[16], fields.destination.v4());
  StoreBe16(&out[10], ChecksumField(PartialSum(out.first(kIpv4HeaderBytesMin))));
  return kIpv4HeaderBytesMin;
}

}  // namespace devmem
