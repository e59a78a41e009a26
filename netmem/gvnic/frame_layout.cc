// SPDX-License-Identifier: Apache-2.0
//
// From netmem/wire's reading of a frame to what the device needs of it.

#include "netmem/gvnic/frame_layout.h"

#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"

namespace devmem {
namespace {

constexpr uint8_t kIpProtocolEsp = 50;
constexpr uint8_t kIpProtocolAh = 51;
constexpr uint8_t kIpProtocolSctp = 132;
constexpr uint32_t kUdpHeaderBytes = 8;  // RFC 768.
constexpr uint32_t kSpiOffsetAh = 4;     // RFC 4302 section 2.

L4Kind KindOf(uint8_t protocol) {
  switch (protocol) {
    case kIpProtocolTcp: return L4Kind::kTcp;
    case kIpProtocolUdp: return L4Kind::kUdp;
    case kIpProtocolIcmp:
    case kIpProtocolIcmpV6: return L4Kind::kIcmp;
    case kIpProtocolSctp: return L4Kind::kSctp;
    default: return L4Kind::kOther;
  }
}

// The word of layer 4 that flow rules look at: both ports, or the SPI.
void ReadPorts(std::span<const uint8_t> l4, FrameLayout& layout) {
  const uint8_t protocol = layout.protocol;
  const bool has_ports = protocol == kIpProtocolUdp || protocol == kIpProtocolSctp;
  if (!has_ports && protocol != kIpProtocolEsp && protocol != kIpProtocolAh) return;
  const uint32_t offset = protocol == kIpProtocolAh ? kSpiOffsetAh : 0;
  if (l4.size() < offset + 4) return;
  layout.flow.remote_port = LoadBe16(&l4[offset]);
  layout.flow.local_port = LoadBe16(&l4[offset + 2]);
}

}  // namespace

FrameLayout ReadFrameLayout(std::span<const uint8_t> frame) {
  FrameLayout layout;
  layout.frame_bytes = static_cast<uint32_t>(frame.size());
  const FrameHeaders headers = ParseFrame(frame, layout.frame_bytes);
  const bool is_ip = headers.kind != FrameKind::kArp && headers.kind != FrameKind::kMalformed &&
                     headers.frame_bytes_expected != 0;
  if (!is_ip) return layout;
  layout.l3 = headers.is_v6 ? L3Kind::kIpv6 : L3Kind::kIpv4;
  layout.frame_bytes = headers.frame_bytes_expected;
  layout.flow = headers.flow;
  layout.protocol = headers.ip_protocol;
  layout.is_fragment = headers.is_fragment;
  layout.l4_offset = headers.l4_offset;
  layout.has_extensions =
      headers.is_v6 && headers.l4_offset != kEthernetHeaderBytes + kIpv6HeaderBytes;
  const uint8_t* const ip = frame.data() + headers.l3_offset;
  layout.traffic_class = headers.is_v6 ? static_cast<uint8_t>(LoadBe16(ip) >> 4) : ip[1];
  if (layout.is_fragment) return layout;

  layout.l4 = KindOf(layout.protocol);
  const std::span<const uint8_t> l4 =
      frame.subspan(layout.l4_offset, layout.frame_bytes - layout.l4_offset);
  ReadPorts(l4, layout);
  if (layout.is_tcp()) layout.header_bytes = headers.header_bytes;
  if (layout.is_udp()) {
    // A header that does not fit leaves nothing that an offload could work on.
    if (l4.size() < kUdpHeaderBytes) {
      layout.l4 = L4Kind::kOther;
    } else {
      layout.header_bytes = layout.l4_offset + kUdpHeaderBytes;
    }
  }
  return layout;
}

}  // namespace devmem
