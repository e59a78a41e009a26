// SPDX-License-Identifier: Apache-2.0
// An ICMP message header for IPv4 (RFC 792) or IPv6 (RFC 4443), read in place and written: echo,
// and the fields by which an error names the packet that caused it. Both families share the layout
// of the first eight bytes. Called by the stack's ping code, by icmp_quote.h and by
// neighbour_discovery.h on the worker's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/byte_order.h"

namespace devmem {

// ICMP for IPv4: types and codes of RFC 792.
inline constexpr uint8_t kIcmpEchoReply = 0;
inline constexpr uint8_t kIcmpDestinationUnreachable = 3;
inline constexpr uint8_t kIcmpEchoRequest = 8;
inline constexpr uint8_t kIcmpTimeExceeded = 11;
inline constexpr uint8_t kIcmpParameterProblem = 12;
inline constexpr uint8_t kIcmpCodeFragmentationNeeded = 4;  // Of kIcmpDestinationUnreachable.

// ICMP for IPv6: types of RFC 4443, and those of RFC 4861 section 4 that we speak.
inline constexpr uint8_t kIcmpV6DestinationUnreachable = 1;
inline constexpr uint8_t kIcmpV6PacketTooBig = 2;
inline constexpr uint8_t kIcmpV6TimeExceeded = 3;
inline constexpr uint8_t kIcmpV6ParameterProblem = 4;
inline constexpr uint8_t kIcmpV6EchoRequest = 128;
inline constexpr uint8_t kIcmpV6EchoReply = 129;
inline constexpr uint8_t kIcmpV6NeighbourSolicitation = 135;
inline constexpr uint8_t kIcmpV6NeighbourAdvertisement = 136;

inline constexpr size_t kIcmpHeaderBytes = 8;

// The view owns nothing: the bytes outlive it. Parse() is the only way to get one, so no accessor
// can fail; which accessors mean something depends on type() and the family. The checksum covers
// the whole message, so it is checked by whoever has all of it.
class IcmpHeader {
 public:
  static std::optional<IcmpHeader> Parse(std::span<const uint8_t> bytes) {
    if (bytes.size() < kIcmpHeaderBytes) return std::nullopt;
    return IcmpHeader(bytes);
  }

  uint8_t type() const { return bytes_[0]; }
  uint8_t code() const { return bytes_[1]; }
  uint16_t checksum() const { return LoadBe16(&bytes_[2]); }

  // Echo request and reply.
  uint16_t identifier() const { return LoadBe16(&bytes_[4]); }
  uint16_t sequence() const { return LoadBe16(&bytes_[6]); }

  // IPv4, destination unreachable with code "fragmentation needed" (RFC 1191 section 4). It is 0
  // from a router older than that document.
  uint16_t next_hop_mtu_bytes() const { return LoadBe16(&bytes_[6]); }
  // IPv6, packet too big (RFC 4443 section 3.2).
  uint32_t mtu_bytes() const { return LoadBe32(&bytes_[4]); }

  // What follows the header in the bytes that were parsed: an echo's data, or the beginning of the
  // packet that an error is about.
  std::span<const uint8_t> body() const { return bytes_.subspan(kIcmpHeaderBytes); }

 private:
  explicit IcmpHeader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  std::span<const uint8_t> bytes_;
};

struct IcmpEchoFields {
  uint8_t type = kIcmpEchoReply;
  uint16_t identifier = 0;
  uint16_t sequence = 0;
  uint16_t checksum = 0;
};

// Writes an echo header to the start of `out`. Returns the bytes written: 8, or 0 if `out` is
// shorter.
inline size_t EmitIcmpEcho(const IcmpEchoFields& fields, std::span<uint8_t> out) {
  if (out.size() < kIcmpHeaderBytes) return 0;
  out[0] = fields.type;
  out[1] = 0;
  StoreBe16(&out[2], fields.checksum);
  StoreBe16(&out[4], fields.identifier);
  StoreBe16(&out[6], fields.sequence);
  return kIcmpHeaderBytes;
}

}  // namespace devmem
