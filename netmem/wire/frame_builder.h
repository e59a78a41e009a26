// SPDX-License-Identifier: Apache-2.0
// Whole frames to send: TCP headers in front of a payload that lies elsewhere, ARP, neighbour
// discovery, and the answer to a ping. Called by the stack on the thread of the worker that sends,
// and by tests that need a packet. Each function writes into the caller's buffer, allocates
// nothing, and returns 0 when it refuses, in which case the buffer's content means nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "netmem/wire/flow_key.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/mac_address.h"
#include "netmem/wire/neighbour_discovery.h"
#include "netmem/wire/seq_num.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

// Ethernet, the largest of the IP headers that we send (IPv6), and TCP with all its options.
inline constexpr size_t kTcpFrameHeaderBytesMax = 14 + 40 + 60;

enum class TcpChecksum : uint8_t {
  kFull,              // Over headers and payload: the frame can go out as it is.
  kPseudoHeaderOnly,  // Not complemented, for a NIC that adds the rest
                      // (VIRTIO_NET_HDR_F_NEEDS_CSUM).
};

struct TcpFrameSpec {
  MacAddress source_mac = {};
  MacAddress destination_mac = {};
  // `local` is the source, so the key of a received frame also addresses its answer.
  FlowKey flow = {};
  SeqNum seq = {};
  SeqNum ack = {};
  uint8_t flags = 0;
  uint16_t window = 0;  // As sent: already scaled down.
  uint16_t urgent_pointer = 0;
  TcpOptions options = {};
  uint8_t ecn = 0;          // RFC 3168 section 5: 0 not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.
  uint32_t flow_label = 0;  // IPv6 only: 20 bits, 0 for none (RFC 6437).
  uint8_t ttl = 64;
  uint16_t identification = 0;  // IPv4 only. RFC 6864: 0 is right while dont_fragment is set.
  bool dont_fragment = true;    // IPv4 only.
  uint32_t payload_bytes = 0;   // Behind the headers, sent by the caller.
  uint32_t payload_sum = 0;     // Partial sum of the payload; not read for kPseudoHeaderOnly.
  TcpChecksum checksum = TcpChecksum::kFull;
};

// Writes Ethernet, IP and TCP headers. Returns their length, or 0 if they do not fit into `out`,
// the packet exceeds what an IP length can say, or the addresses are of two families.
size_t BuildTcpFrame(const TcpFrameSpec& spec, std::span<uint8_t> out);

// Writes a broadcast question for the Ethernet address of `target_ip`. All addresses are IPv4.
// Returns the frame's length or 0.
size_t BuildArpRequest(const MacAddress& our_mac, const IpAddress& our_ip,
                       const IpAddress& target_ip, std::span<uint8_t> out);

// Writes the answer that says `our_mac` has the address which the request in `request_frame`, a
// whole Ethernet frame, asks for. The caller has checked that the address is ours. Returns the
// frame's length, or 0 if `request_frame` is no ARP request.
size_t BuildArpReply(std::span<const uint8_t> request_frame, const MacAddress& our_mac,
                     std::span<uint8_t> out);

// Writes a question for the Ethernet address of `target_ip`, to its solicited-node group. All
// addresses are IPv6. Returns the frame's length or 0.
size_t BuildNeighbourSolicitation(const MacAddress& our_mac, const IpAddress& our_ip,
                                  const IpAddress& target_ip, std::span<uint8_t> out);

// Writes the answer that says `our_mac` has the address which `solicitation` asks for: to
// `asker_mac`, or to all nodes when a node that has no address yet asks (RFC 4861 section 7.2.4).
// The caller has checked that the address is ours. Returns the frame's length or 0.
size_t BuildNeighbourAdvertisement(const NeighbourMessage& solicitation,
                                   const MacAddress& asker_mac, const MacAddress& our_mac,
                                   std::span<uint8_t> out);

// The frame of either, or of any other solicitation or advertisement; for what a test wants to say.
size_t BuildNeighbourMessage(const MacAddress& our_mac, const MacAddress& to_mac,
                             const IpAddress& source, const IpAddress& destination,
                             const NeighbourFields& fields, std::span<uint8_t> out);

// Writes the answer to the echo request, IPv4 or IPv6, in `request_frame`: a whole frame, which was
// parsed as `request`. `out` may not overlap it. The caller has checked that the address is ours
// and not a multicast group. Returns the frame's length, or 0 if this is no echo request, not all
// of it is there, its checksum is wrong, or it claims to come from a group or from nobody.
size_t BuildIcmpEchoReply(std::span<const uint8_t> request_frame, const FrameHeaders& request,
                          const MacAddress& our_mac, std::span<uint8_t> out);

}  // namespace devmem
