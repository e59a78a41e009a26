// SPDX-License-Identifier: Apache-2.0
// The frame parser: one function per layer, each of which records what it learnt and either refuses
// the frame or hands the rest to the next. Runs on the polling thread, once per frame.
#include "netmem/wire/frame.h"

#include <algorithm>
#include <cstddef>
#include <optional>

#include "netmem/wire/arp.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "netmem/wire/ipv6_extensions.h"
#include "netmem/wire/plain_frame.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

using Bytes = std::span<const uint8_t>;

void Refuse(FrameHeaders& frame, FrameError error) {
  frame.kind = FrameKind::kMalformed;
  frame.error = error;
}

// Where layer 4 begins and where the IP length says that it ends.
struct L4Extent {
  size_t offset;
  size_t bytes;
};

void ParseTcp(Bytes available, L4Extent l4, FrameHeaders& frame) {
  if (l4.bytes < kTcpHeaderBytesMin) return Refuse(frame, FrameError::kBadIpLength);
  const Bytes rest = available.subspan(l4.offset);
  if (rest.size() < kTcpHeaderBytesMin) return Refuse(frame, FrameError::kTruncated);
  const std::optional<TcpHeader> tcp =
      TcpHeader::Parse(rest.first(std::min(rest.size(), l4.bytes)));
  if (!tcp) [[unlikely]] {
    // The header may also be legal and reach beyond the bytes at hand.
    const size_t header_bytes = 4u * (rest[12] >> 4);
    const bool lies = header_bytes < kTcpHeaderBytesMin || header_bytes > l4.bytes;
    return Refuse(frame, lies ? FrameError::kBadTcpOffset : FrameError::kTruncated);
  }
  frame.kind = FrameKind::kTcp;
  frame.flow.SetPorts(LoadBe32(rest.data()));
  frame.header_bytes = static_cast<uint16_t>(l4.offset + tcp->header_bytes());
  frame.payload_bytes = static_cast<uint32_t>(l4.bytes - tcp->header_bytes());
}

bool IsNeighbourDiscovery(uint8_t type) {
  return type == kIcmpV6NeighbourSolicitation || type == kIcmpV6NeighbourAdvertisement;
}

void ParseIcmp(Bytes available, L4Extent l4, FrameKind kind, FrameHeaders& frame) {
  if (l4.bytes < kIcmpHeaderBytes) return Refuse(frame, FrameError::kBadIpLength);
  if (available.size() < l4.offset + kIcmpHeaderBytes) return Refuse(frame, FrameError::kTruncated);
  const bool is_all_header = frame.is_v6 && l4.bytes <= kNeighbourHeaderBytesMax &&
                             IsNeighbourDiscovery(available[l4.offset]);
  const size_t header_bytes = is_all_header ? l4.bytes : kIcmpHeaderBytes;
  if (available.size() < l4.offset + header_bytes) return Refuse(frame, FrameError::kTruncated);
  frame.kind = kind;
  frame.header_bytes = static_cast<uint16_t>(l4.offset + header_bytes);
  frame.payload_bytes = static_cast<uint32_t>(l4.bytes - header_bytes);
}

void ParseL4(Bytes available, L4Extent l4, FrameHeaders& frame) {
  frame.l4_offset = static_cast<uint16_t>(l4.offset);
  if (!frame.is_fragment) {
    if (frame.ip_protocol == kIpProtocolTcp) return ParseTcp(available, l4, frame);
    if (frame.ip_protocol == kIpProtocolIcmp && !frame.is_v6) {
      return ParseIcmp(available, l4, FrameKind::kIcmp, frame);
    }
    if (frame.ip_protocol == kIpProtocolIcmpV6 && frame.is_v6) {
      return ParseIcmp(available, l4, FrameKind::kIcmpV6, frame);
    }
  }
  frame.kind = FrameKind::kOther;
  frame.header_bytes = frame.l4_offset;
  frame.payload_bytes = static_cast<uint32_t>(l4.bytes);
}

FrameError WhyNotIpv4(Bytes bytes) {
  if (bytes.empty()) return FrameError::kTruncated;
  if (bytes[0] >> 4 != 4) return FrameError::kBadIpVersion;
  const size_t header_bytes = 4u * (bytes[0] & 0xfu);
  if (header_bytes < kIpv4HeaderBytesMin) return FrameError::kBadIpLength;
  return bytes.size() < header_bytes ? FrameError::kTruncated : FrameError::kBadIpLength;
}

void ParseIpv4(Bytes available, uint32_t frame_bytes_total, FrameHeaders& frame) {
  const Bytes bytes = available.subspan(kEthernetHeaderBytes);
  const std::optional<Ipv4Header> ip = Ipv4Header::Parse(bytes);
  if (!ip) [[unlikely]] {
    return Refuse(frame, WhyNotIpv4(bytes));
  }
  if (!ip->ChecksumIsRight()) return Refuse(frame, FrameError::kBadIpChecksum);
  frame.is_fragment = ip->is_fragment();
  frame.ecn = ip->ecn();
  frame.ttl = ip->ttl();
  frame.ip_protocol = ip->protocol();
  frame.flow.local = ip->destination();
  frame.flow.remote = ip->source();
  frame.frame_bytes_expected = static_cast<uint32_t>(kEthernetHeaderBytes + ip->total_bytes());
  if (frame_bytes_total < frame.frame_bytes_expected) return Refuse(frame, FrameError::kTruncated);
  ParseL4(available,
          {.offset = kEthernetHeaderBytes + ip->header_bytes(),
           .bytes = ip->total_bytes() - ip->header_bytes()},
          frame);
}

// Finds the transport header behind `payload_bytes` bytes' worth of extension headers.
void ParseIpv6Payload(Bytes available, uint32_t payload_bytes, FrameHeaders& frame) {
  constexpr size_t kOffset = kEthernetHeaderBytes + kIpv6HeaderBytes;
  const Bytes at_hand = available.subspan(kOffset);
  const bool all_at_hand = at_hand.size() >= payload_bytes;
  const Ipv6Walk walk =
      WalkIpv6Extensions(all_at_hand ? at_hand.first(payload_bytes) : at_hand, frame.ip_protocol);
  frame.ip_protocol = walk.protocol;
  switch (walk.result) {
    case Ipv6WalkResult::kTruncated:
      return Refuse(frame, all_at_hand ? FrameError::kBadIpLength : FrameError::kTruncated);
    case Ipv6WalkResult::kUnsupported: return Refuse(frame, FrameError::kUnsupportedExtension);
    case Ipv6WalkResult::kFragment: frame.is_fragment = true; break;
    case Ipv6WalkResult::kTransport: break;
  }
  ParseL4(available, {.offset = kOffset + walk.bytes, .bytes = payload_bytes - walk.bytes}, frame);
}

void ParseIpv6(Bytes available, uint32_t frame_bytes_total, FrameHeaders& frame) {
  const Bytes bytes = available.subspan(kEthernetHeaderBytes);
  const std::optional<Ipv6Header> ip = Ipv6Header::Parse(bytes);
  if (!ip) [[unlikely]] {
    const bool wrong_version = !bytes.empty() && bytes[0] >> 4 != 6;
    return Refuse(frame, wrong_version ? FrameError::kBadIpVersion : FrameError::kTruncated);
  }
  frame.is_v6 = true;
  frame.ecn = ip->ecn();
  frame.ttl = ip->hop_limit();
  frame.ip_protocol = ip->next_header();
  frame.flow.local = ip->destination();
  frame.flow.remote = ip->source();
  frame.frame_bytes_expected =
      static_cast<uint32_t>(kEthernetHeaderBytes + kIpv6HeaderBytes + ip->payload_bytes());
  // Taken at its word, such a frame would pass for IPv4 traffic in every flow table and rule.
  if (frame.flow.local.is_v4() || frame.flow.remote.is_v4()) {
    return Refuse(frame, FrameError::kBadIpAddress);
  }
  if (frame_bytes_total < frame.frame_bytes_expected) return Refuse(frame, FrameError::kTruncated);
  ParseIpv6Payload(available, ip->payload_bytes(), frame);
}

void ParseArp(Bytes available, FrameHeaders& frame) {
  frame.frame_bytes_expected = kEthernetHeaderBytes + kArpPacketBytes;
  if (available.size() < frame.frame_bytes_expected) return Refuse(frame, FrameError::kTruncated);
  if (!ArpPacket::Parse(available.subspan(kEthernetHeaderBytes))) {
    return Refuse(frame, FrameError::kBadArp);
  }
  frame.kind = FrameKind::kArp;
  frame.header_bytes = kEthernetHeaderBytes + kArpPacketBytes;
}

}  // namespace

absl::string_view FrameErrorName(FrameError error) {
  switch (error) {
    case FrameError::kNone: return "none";
    case FrameError::kTruncated: return "truncated";
    case FrameError::kBadIpVersion: return "bad_ip_version";
    case FrameError::kBadIpLength: return "bad_ip_length";
    case FrameError::kBadIpChecksum: return "bad_ip_checksum";
    case FrameError::kBadIpAddress: return "bad_ip_address";
    case FrameError::kBadTcpOffset: return "bad_tcp_offset";
    case FrameError::kBadArp: return "bad_arp";
    case FrameError::kUnsupportedExtension: return "unsupported_extension";
  }
  return "unknown";
}

FrameHeaders ParseFrame(std::span<const uint8_t> available, uint32_t frame_bytes_total) {
  FrameHeaders frame;
  // Room behind the frame's end in the caller's buffer is none of the frame.
  if (available.size() > frame_bytes_total) available = available.first(frame_bytes_total);
  if (ParsePlainFrame(available.data(), available.size(), frame_bytes_total, &frame)) [[likely]]
    return frame;
  const std::optional<EthernetHeader> ethernet = EthernetHeader::Parse(available);
  if (!ethernet) [[unlikely]] {
    Refuse(frame, FrameError::kTruncated);
    return frame;
  }
  frame.l3_offset = kEthernetHeaderBytes;
  switch (ethernet->ether_type()) {
    case kEtherTypeIpv4: ParseIpv4(available, frame_bytes_total, frame); break;
    case kEtherTypeIpv6: ParseIpv6(available, frame_bytes_total, frame); break;
    case kEtherTypeArp: ParseArp(available, frame); break;
    default:
      frame.kind = FrameKind::kOther;
      frame.header_bytes = kEthernetHeaderBytes;
      break;
  }
  return frame;
}

bool VerifyTcpChecksum(std::span<const uint8_t> headers, const FrameHeaders& frame,
                       uint32_t payload_sum) {
  if (frame.kind != FrameKind::kTcp || headers.size() < frame.header_bytes) return false;
  const uint32_t tcp_header_bytes = uint32_t{frame.header_bytes} - frame.l4_offset;
  // A TCP header has an even length, so the payload sum fits on without a swap.
  const uint32_t sum = PseudoHeaderSum(frame.flow.remote, frame.flow.local, kIpProtocolTcp,
                                       tcp_header_bytes + frame.payload_bytes) +
                       Fold(payload_sum);
  return Fold(PartialSum(headers.subspan(frame.l4_offset, tcp_header_bytes), sum)) == 0xffff;
}

std::span<const uint8_t> CheckedIcmpMessage(std::span<const uint8_t> whole,
                                            const FrameHeaders& frame) {
  if (frame.kind != FrameKind::kIcmp && frame.kind != FrameKind::kIcmpV6) return {};
  if (whole.size() < frame.frame_bytes_expected) return {};
  const uint32_t icmp_bytes = frame.frame_bytes_expected - frame.l4_offset;
  const Bytes message = whole.subspan(frame.l4_offset, icmp_bytes);
  // ICMP for IPv4 has no pseudo-header.
  const uint32_t pseudo_sum = frame.is_v6 ? PseudoHeaderSumV6(frame.flow.remote, frame.flow.local,
                                                              kIpProtocolIcmpV6, icmp_bytes)
                                          : 0;
  if (Fold(PartialSum(message, pseudo_sum)) != 0xffff) return {};
  return message;
}

}  // namespace devmem
