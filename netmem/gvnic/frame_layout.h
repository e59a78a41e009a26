// SPDX-License-Identifier: Apache-2.0
//
// Where the parts of a frame lie, as a virtual gVNIC's offloads need to know it: netmem/wire's
// parser, and on top of it the ports of every transport that flow rules can name and the packet
// type of the gVNIC format. Called once per packet and direction on the thread of the device.

#pragma once

#include <cstdint>
#include <span>

#include "netmem/wire/flow_key.h"

namespace devmem {

// The values are the device's: gve_adminq.h, enum gve_l3_type and gve_l4_type.
enum class L3Kind : uint8_t { kUnknown = 0, kOther = 1, kIpv4 = 2, kIpv6 = 3 };
enum class L4Kind : uint8_t {
  kUnknown = 0,
  kOther = 1,
  kTcp = 2,
  kUdp = 3,
  kIcmp = 4,
  kSctp = 5,
};

// The 10-bit packet type that completions carry. Which number means what is the device's choice,
// told to the driver by GET_PTYPE_MAP: three bits of layer 4 below two bits of layer 3.
constexpr uint16_t PacketType(L3Kind l3, L4Kind l4) {
  return static_cast<uint16_t>(static_cast<uint16_t>(l3) << 3 | static_cast<uint16_t>(l4));
}
// The entry `packet_type` of GET_PTYPE_MAP; unknown for numbers that no completion carries.
struct PacketTypeEntry {
  L3Kind l3 = L3Kind::kUnknown;
  L4Kind l4 = L4Kind::kUnknown;
};
constexpr PacketTypeEntry PacketTypeMeaning(uint16_t packet_type) {
  const uint16_t l3 = static_cast<uint16_t>(packet_type >> 3);
  const uint16_t l4 = packet_type & 7;
  if (l3 > static_cast<uint16_t>(L3Kind::kIpv6) || l4 > static_cast<uint16_t>(L4Kind::kSctp)) {
    return {};
  }
  return {static_cast<L3Kind>(l3), static_cast<L4Kind>(l4)};
}

// Offsets count from the first byte of the frame. What is no sound IP packet has kinds unknown and
// only frame_bytes set; a fragment has layer 4 unknown.
struct FrameLayout {
  L3Kind l3 = L3Kind::kUnknown;
  L4Kind l4 = L4Kind::kUnknown;
  bool is_fragment = false;
  bool has_extensions = false;  // IPv6 extension headers stand before layer 4.
  uint8_t protocol = 0;         // Of layer 4.
  uint8_t traffic_class = 0;
  uint32_t l4_offset = 0;
  uint32_t header_bytes = 0;  // Through the end of a TCP or UDP header; 0 for all else.
  uint32_t frame_bytes = 0;   // Without the padding behind the IP packet.
  // `local` is the destination. The ports of TCP, UDP and SCTP; the SPI of AH and ESP is in both,
  // its high half in the remote port.
  FlowKey flow = {};

  constexpr bool is_tcp() const { return l4 == L4Kind::kTcp; }
  constexpr bool is_udp() const { return l4 == L4Kind::kUdp; }
  uint16_t packet_type() const { return PacketType(l3, l4); }
};

// Reads the headers of a whole frame.
FrameLayout ReadFrameLayout(std::span<const uint8_t> frame);

}  // namespace devmem
