// SPDX-License-Identifier: Apache-2.0
// Writes the frames that we send, layer by layer from the outside in, on the sending worker's
// thread. The TCP checksum goes in last, when everything that it covers is known.
#include "netmem/wire/frame_builder.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "netmem/wire/arp.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

constexpr size_t kIpLengthMax = std::numeric_limits<uint16_t>::max();
constexpr size_t kTcpChecksumOffset = 16;
constexpr size_t kIcmpChecksumOffset = 2;

// What the IP header in front of `l4_bytes` bytes of layer 4 says.
struct IpSpec {
  IpAddress source = {};
  IpAddress destination = {};
  uint8_t protocol = kIpProtocolTcp;
  uint8_t traffic_class = 0;
  uint32_t flow_label = 0;
  uint8_t ttl = 64;
  uint16_t identification = 0;
  bool dont_fragment = true;
  size_t l4_bytes = 0;
};

size_t IpHeaderBytes(const IpAddress& address) {
  return address.is_v4() ? kIpv4HeaderBytesMin : kIpv6HeaderBytes;
}

// Writes Ethernet and IP headers. Returns their length, or 0 if they do not fit or cannot say so.
size_t EmitEthernetAndIp(const MacAddress& source_mac, const MacAddress& destination_mac,
                         const IpSpec& ip, std::span<uint8_t> out) {
  const bool is_v4 = ip.source.is_v4();
  if (ip.destination.is_v4() != is_v4) return 0;
  const size_t ip_header_bytes = IpHeaderBytes(ip.source);
  // The IPv4 length counts its own header, the IPv6 length does not.
  const size_t ip_length = ip.l4_bytes + (is_v4 ? ip_header_bytes : 0);
  if (ip_length > kIpLengthMax) return 0;
  if (out.size() < kEthernetHeaderBytes + ip_header_bytes) return 0;
  EmitEthernet({.destination = destination_mac,
                .source = source_mac,
                .ether_type = is_v4 ? kEtherTypeIpv4 : kEtherTypeIpv6},
               out);
  const std::span<uint8_t> ip_out = out.subspan(kEthernetHeaderBytes);
  if (is_v4) {
    EmitIpv4({.traffic_class = ip.traffic_class,
              .total_bytes = static_cast<uint16_t>(ip_length),
              .identification = ip.identification,
              .dont_fragment = ip.dont_fragment,
              .ttl = ip.ttl,
              .protocol = ip.protocol,
              .source = ip.source,
              .destination = ip.destination},
             ip_out);
  } else {
    EmitIpv6({.traffic_class = ip.traffic_class,
              .flow_label = ip.flow_label,
              .payload_bytes = static_cast<uint16_t>(ip_length),
              .next_header = ip.protocol,
              .hop_limit = ip.ttl,
              .source = ip.source,
              .destination = ip.destination},
             ip_out);
  }
  return kEthernetHeaderBytes + ip_header_bytes;
}

// The value of the checksum field of the TCP header in `tcp`, whose field is still zero.
uint16_t TcpChecksumField(const TcpFrameSpec& spec, std::span<const uint8_t> tcp) {
  const uint32_t pseudo_sum =
      PseudoHeaderSum(spec.flow.local, spec.flow.remote, kIpProtocolTcp,
                      static_cast<uint32_t>(tcp.size()) + spec.payload_bytes);
  if (spec.checksum == TcpChecksum::kPseudoHeaderOnly) return Fold(pseudo_sum);
  return ChecksumField(PartialSum(tcp, pseudo_sum + Fold(spec.payload_sum)));
}

// A request of either family as the echo reply needs it.
struct EchoRequest {
  uint8_t reply_type;
  uint32_t pseudo_sum;  // 0 for IPv4, whose ICMP has no pseudo-header.
};

// An answer goes to one machine or to nobody (RFC 1122 section 3.2.1.3).
bool IsOneMachine(const IpAddress& address) {
  return !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
}

std::optional<EchoRequest> ReadEchoRequest(const FrameHeaders& request, uint8_t type,
                                           size_t icmp_bytes) {
  if (request.kind == FrameKind::kIcmp && type == kIcmpEchoRequest) {
    return EchoRequest{.reply_type = kIcmpEchoReply, .pseudo_sum = 0};
  }
  if (request.kind == FrameKind::kIcmpV6 && type == kIcmpV6EchoRequest) {
    // The sum is the same in both directions: it does not see the order of the addresses.
    return EchoRequest{
        .reply_type = kIcmpV6EchoReply,
        .pseudo_sum = PseudoHeaderSumV6(request.flow.remote, request.flow.local, kIpProtocolIcmpV6,
                                        static_cast<uint32_t>(icmp_bytes))};
  }
  return std::nullopt;
}

}  // namespace

size_t BuildTcpFrame(const TcpFrameSpec& spec, std::span<uint8_t> out) {
  // A payload that no IP length can name is refused before sums of it could overflow.
  if (spec.payload_bytes > kIpLengthMax) return 0;
  uint8_t options[kTcpOptionsBytesMax];
  const size_t options_bytes = EmitTcpOptions(spec.options, options);
  const size_t tcp_bytes = kTcpHeaderBytesMin + options_bytes;
  const size_t l4_offset = EmitEthernetAndIp(spec.source_mac, spec.destination_mac,
                                             {.source = spec.flow.local,
                                              .destination = spec.flow.remote,
                                              .protocol = kIpProtocolTcp,
                                              .traffic_class = spec.ecn,
                                              .flow_label = spec.flow_label,
                                              .ttl = spec.ttl,
                                              .identification = spec.identification,
                                              .dont_fragment = spec.dont_fragment,
                                              .l4_bytes = tcp_bytes + spec.payload_bytes},
                                             out);
  if (l4_offset == 0 || out.size() < l4_offset + tcp_bytes) return 0;
  const std::span<uint8_t> tcp = out.subspan(l4_offset, tcp_bytes);
  EmitTcp({.source_port = spec.flow.local_port,
           .destination_port = spec.flow.remote_port,
           .seq = spec.seq,
           .ack = spec.ack,
           .flags = spec.flags,
           .window = spec.window,
           .urgent_pointer = spec.urgent_pointer,
           .options = std::span(options).first(options_bytes)},
          tcp);
  StoreBe16(&tcp[kTcpChecksumOffset], TcpChecksumField(spec, tcp));
  return l4_offset + tcp_bytes;
}

size_t BuildArpRequest(const MacAddress& our_mac, const IpAddress& our_ip,
                       const IpAddress& target_ip, std::span<uint8_t> out) {
  if (out.size() < kEthernetHeaderBytes + kArpPacketBytes) return 0;
  const size_t ethernet_bytes = EmitEthernet(
      {.destination = MacAddress::Broadcast(), .source = our_mac, .ether_type = kEtherTypeArp},
      out);
  return ethernet_bytes + EmitArp({.operation = kArpRequest,
                                   .sender_mac = our_mac,
                                   .sender_ip = our_ip,
                                   .target_mac = MacAddress(),
                                   .target_ip = target_ip},
                                  out.subspan(ethernet_bytes));
}

size_t BuildArpReply(std::span<const uint8_t> request_frame, const MacAddress& our_mac,
                     std::span<uint8_t> out) {
  if (out.size() < kEthernetHeaderBytes + kArpPacketBytes) return 0;
  const std::optional<EthernetHeader> ethernet = EthernetHeader::Parse(request_frame);
  if (!ethernet || ethernet->ether_type() != kEtherTypeArp) return 0;
  const std::optional<ArpPacket> request =
      ArpPacket::Parse(request_frame.subspan(kEthernetHeaderBytes));
  if (!request || request->operation() != kArpRequest) return 0;
  const size_t ethernet_bytes = EmitEthernet(
      {.destination = request->sender_mac(), .source = our_mac, .ether_type = kEtherTypeArp}, out);
  return ethernet_bytes + EmitArp({.operation = kArpReply,
                                   .sender_mac = our_mac,
                                   .sender_ip = request->target_ip(),
                                   .target_mac = request->sender_mac(),
                                   .target_ip = request->sender_ip()},
                                  out.subspan(ethernet_bytes));
}

size_t BuildNeighbourMessage(const MacAddress& our_mac, const MacAddress& to_mac,
                             const IpAddress& source, const IpAddress& destination,
                             const NeighbourFields& fields, std::span<uint8_t> out) {
  constexpr size_t kMessageBytes = kNeighbourMessageBytes + kLinkAddressOptionBytes;
  const size_t l4_offset = EmitEthernetAndIp(our_mac, to_mac,
                                             {.source = source,
                                              .destination = destination,
                                              .protocol = kIpProtocolIcmpV6,
                                              .ttl = kNeighbourHopLimit,
                                              .l4_bytes = kMessageBytes},
                                             out);
  if (l4_offset == 0 || source.is_v4() || out.size() < l4_offset + kMessageBytes) return 0;
  const std::span<uint8_t> message = out.subspan(l4_offset, kMessageBytes);
  EmitNeighbourMessage(fields, message);
  const uint32_t pseudo_sum =
      PseudoHeaderSumV6(source, destination, kIpProtocolIcmpV6, kMessageBytes);
  StoreBe16(&message[kIcmpChecksumOffset], ChecksumField(PartialSum(message, pseudo_sum)));
  return l4_offset + kMessageBytes;
}

size_t BuildNeighbourSolicitation(const MacAddress& our_mac, const IpAddress& our_ip,
                                  const IpAddress& target_ip, std::span<uint8_t> out) {
  const IpAddress group = SolicitedNodeGroup(target_ip);
  return BuildNeighbourMessage(
      our_mac, MacAddress::ForIpv6Group(group), our_ip, group,
      {.type = kIcmpV6NeighbourSolicitation, .target = target_ip, .link_address = our_mac}, out);
}

size_t BuildNeighbourAdvertisement(const NeighbourMessage& solicitation,
                                   const MacAddress& asker_mac, const MacAddress& our_mac,
                                   std::span<uint8_t> out) {
  const bool has_asker = !solicitation.source.is_unspecified();
  const MacAddress to_mac = has_asker ? asker_mac : MacAddress::ForIpv6Group(kIpv6AllNodes);
  return BuildNeighbourMessage(our_mac, to_mac, solicitation.target,
                               has_asker ? solicitation.source : kIpv6AllNodes,
                               {.type = kIcmpV6NeighbourAdvertisement,
                                .solicited = has_asker,
                                .overrides = true,
                                .target = solicitation.target,
                                .link_address = our_mac},
                               out);
}

size_t BuildIcmpEchoReply(std::span<const uint8_t> request_frame, const FrameHeaders& request,
                          const MacAddress& our_mac, std::span<uint8_t> out) {
  const std::span<const uint8_t> message = CheckedIcmpMessage(request_frame, request);
  const size_t icmp_bytes = message.size();
  const std::optional<IcmpHeader> icmp = IcmpHeader::Parse(message);
  if (!icmp || icmp->code() != 0 || !IsOneMachine(request.flow.remote)) return 0;
  const std::optional<EchoRequest> echo = ReadEchoRequest(request, icmp->type(), icmp_bytes);
  if (!echo) return 0;

  const size_t l4_offset =
      EmitEthernetAndIp(our_mac, EthernetHeader::Parse(request_frame)->source(),
                        {.source = request.flow.local,
                         .destination = request.flow.remote,
                         .protocol = request.ip_protocol,
                         .l4_bytes = icmp_bytes},
                        out);
  if (l4_offset == 0 || out.size() < l4_offset + icmp_bytes) return 0;
  const std::span<uint8_t> reply = out.subspan(l4_offset, icmp_bytes);
  std::copy(icmp->body().begin(), icmp->body().end(), reply.begin() + kIcmpHeaderBytes);
  EmitIcmpEcho(
      {.type = echo->reply_type, .identifier = icmp->identifier(), .sequence = icmp->sequence()},
      reply);
  StoreBe16(&reply[kIcmpChecksumOffset], ChecksumField(PartialSum(reply, echo->pseudo_sum)));
  return l4_offset + icmp_bytes;
}

}  // namespace devmem
