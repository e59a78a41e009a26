// SPDX-License-Identifier: Apache-2.0
// One pass over the headers of a received Ethernet frame: what it is, where its parts lie, whose
// connection it belongs to, and whether its lengths tell the truth. Called once per frame by the
// NIC and the stack on the thread that polls the queue; it allocates nothing and never reads past
// the bytes it is given.
#pragma once

#include <cstdint>
#include <span>

#include "absl/strings/string_view.h"
#include "netmem/wire/flow_key.h"

namespace devmem {

// A neighbour solicitation or advertisement up to this length counts as header as a whole. Like
// ARP, it has to get through when there is no memory left for payload.
inline constexpr uint32_t kNeighbourHeaderBytesMax = 128;

enum class FrameKind : uint8_t {
  kTcp,
  kIcmp,
  kIcmpV6,
  kArp,
  kOther,      // Sound as far as it was read, and not for us to read: other protocols, VLAN tags,
               // fragments.
  kMalformed,  // `error` says why.
};

enum class FrameError : uint8_t {
  kNone,
  kTruncated,             // Fewer bytes than a header or the IP length needs.
  kBadIpVersion,          // The version differs from what the EtherType says.
  kBadIpLength,           // The IP lengths contradict each other or leave no room for layer 4.
  kBadIpChecksum,         // The IPv4 header checksum is wrong.
  kBadIpAddress,          // An IPv6 header with a v4-mapped address, which no link may carry.
  kBadTcpOffset,          // The data offset is below 20 bytes or beyond the IP payload.
  kBadArp,                // ARP for something other than IPv4 over Ethernet.
  kUnsupportedExtension,  // An IPv6 extension header or option that obliges us to discard.
};

// The error in the words of a counter's name: "bad_ip_checksum".
absl::string_view FrameErrorName(FrameError error);

// Offsets count from the first byte of the frame. A field behind the point where parsing ended is
// zero; `kind` says how far it got.
struct FrameHeaders {
  FrameKind kind = FrameKind::kMalformed;
  FrameError error = FrameError::kNone;
  bool is_v6 = false;
  // Part of a larger IP packet, the first part included. The kind is kOther: no layer-4 header is
  // looked for.
  bool is_fragment = false;
  uint8_t ecn = 0;          // Low two bits of the traffic class.
  uint8_t ttl = 0;          // Or hop limit.
  uint8_t ip_protocol = 0;  // Of the layer-4 header, behind all extension headers.
  uint16_t l3_offset = 0;
  uint16_t l4_offset = 0;
  // All headers, up to the first byte of layer-4 payload. Of ICMP the first eight bytes count, of
  // neighbour discovery all do (kNeighbourHeaderBytesMax).
  uint16_t header_bytes = 0;
  uint32_t payload_bytes = 0;         // By the IP length: without Ethernet padding.
  uint32_t frame_bytes_expected = 0;  // l3_offset and the IP length: the frame without padding.
  // `local` is the destination, `remote` the source. Ports are set for TCP only.
  FlowKey flow = {};
};

// Reads the headers of a frame of `frame_bytes_total` bytes, of which `available` holds the first
// part or all. It needs every header, layer 4 included, to lie in `available`; the frame may be
// longer than the IP length says (padding), never shorter. The IPv4 header checksum is verified;
// the checksum of layer 4 is not.
FrameHeaders ParseFrame(std::span<const uint8_t> available, uint32_t frame_bytes_total);

// Whether the TCP checksum is right, given the partial sum of the payload, `frame.payload_bytes`
// long, from wherever it was taken. `headers` is the frame's beginning that `frame` was parsed
// from, at least frame.header_bytes long; the answer is false if it is shorter or the frame is not
// TCP.
bool VerifyTcpChecksum(std::span<const uint8_t> headers, const FrameHeaders& frame,
                       uint32_t payload_sum);

// The ICMP message, of either family, in `whole`: a frame with all of its bytes, which was parsed
// as `frame`. Empty if it is no ICMP, some of it is missing, or its checksum is wrong.
std::span<const uint8_t> CheckedIcmpMessage(std::span<const uint8_t> whole,
                                            const FrameHeaders& frame);

}  // namespace devmem
