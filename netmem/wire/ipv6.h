// SPDX-License-Identifier: Apache-2.0
// The fixed IPv6 header (RFC 8200 section 3), read in place and written. Called by the frame parser
// and the frame builder on the worker's thread. What may stand between it and the transport header
// is in ipv6_extensions.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/ip_address.h"

namespace devmem {

inline constexpr size_t kIpv6HeaderBytes = 40;

// The view owns nothing: the bytes outlive it. Parse() is the only way to get one, so no accessor
// can fail. payload_bytes() may exceed the bytes at hand: the caller compares.
class Ipv6Header {
 public:
  static std::optional<Ipv6Header> Parse(std::span<const uint8_t> bytes) {
    if (bytes.size() < kIpv6HeaderBytes || bytes[0] >> 4 != 6) return std::nullopt;
    return Ipv6Header(bytes.data());
  }

  uint8_t traffic_class() const { return static_cast<uint8_t>(LoadBe16(bytes_) >> 4); }
  uint8_t ecn() const { return traffic_class() & 3; }
  uint32_t flow_label() const { return LoadBe32(bytes_) & 0xfffff; }
  uint16_t payload_bytes() const { return LoadBe16(bytes_ + 4); }  // Extension headers included.
  uint8_t next_header() const { return bytes_[6]; }
  uint8_t hop_limit() const { return bytes_[7]; }
  IpAddress source() const { return IpAddress::FromV6({bytes_ + 8, IpAddress::kBytes}); }
  IpAddress destination() const { return IpAddress::FromV6({bytes_ + 24, IpAddress::kBytes}); }

 private:
  explicit Ipv6Header(const uint8_t* bytes) : bytes_(bytes) {}

  const uint8_t* bytes_;
};

struct Ipv6Fields {
  uint8_t traffic_class = 0;
  uint32_t flow_label = 0;  // 20 bits.
  uint16_t payload_bytes = 0;
  uint8_t next_header = 6;
  uint8_t hop_limit = 64;
  IpAddress source = {};
  IpAddress destination = {};
};

// Writes the header to the start of `out`. Returns the bytes written: 40, or 0 if `out` is shorter.
inline size_t EmitIpv6(const Ipv6Fields& fields, std::span<uint8_t> out) {
  if (out.size() < kIpv6HeaderBytes) return 0;
  StoreBe32(&out[0],
            6u << 28 | uint32_t{fields.traffic_class} << 20 | (fields.flow_label & 0xfffff));
  StoreBe16(&out[4], fields.payload_bytes);
  out[6] = fields.next_header;
  out[7] = fields.hop_limit;
  fields.source.StoreTo(&out[8]);
  fields.destination.StoreTo(&out[24]);
  return kIpv6HeaderBytes;
}

}  // namespace devmem
