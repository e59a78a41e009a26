// SPDX-License-Identifier: Apache-2.0
//
// Frames that netmem/wire's builder does not make, for tests of the gVNIC's offloads: UDP, and IPv6
// extension headers put into a frame. Bytes only, on the test's thread.

#pragma once

#include <cstdint>
#include <vector>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "selftests/testing/test_frames.h"

namespace devmem::testing {

// A UDP datagram of the flow, as its receiver sees it; the checksum is right.
inline std::vector<uint8_t> UdpFrame(const FlowKey& flow, const std::vector<uint8_t>& payload) {
  const bool is_v4 = flow.local.is_v4();
  const uint16_t udp_bytes = static_cast<uint16_t>(8 + payload.size());
  std::vector<uint8_t> frame(14 + (is_v4 ? 20u : 40u));
  EmitEthernet({.destination = MacAddress({2, 0, 0, 0, 0, 1}),
                .source = MacAddress({2, 0, 0, 0, 0, 2}),
                .ether_type = is_v4 ? kEtherTypeIpv4 : kEtherTypeIpv6},
               frame);
  if (is_v4) {
    EmitIpv4({.total_bytes = static_cast<uint16_t>(20 + udp_bytes),
              .identification = 7,
              .protocol = kIpProtocolUdp,
              .source = flow.remote,
              .destination = flow.local},
             std::span(frame).subspan(14));
  } else {
    EmitIpv6({.payload_bytes = udp_bytes,
              .next_header = kIpProtocolUdp,
              .source = flow.remote,
              .destination = flow.local},
             std::span(frame).subspan(14));
  }
  std::vector<uint8_t> udp(8);
  StoreBe16(&udp[0], flow.remote_port);
  StoreBe16(&udp[2], flow.local_port);
  StoreBe16(&udp[4], udp_bytes);
  udp.insert(udp.end(), payload.begin(), payload.end());
  const uint32_t pseudo = PseudoHeaderSum(flow.remote, flow.local, kIpProtocolUdp, udp_bytes);
  StoreBe16(&udp[6], ChecksumField(PartialSum(udp, pseudo)));
  frame.insert(frame.end(), udp.begin(), udp.end());
  return frame;
}

// An IPv6 frame with a destination-options header of `extension_bytes` (a multiple of 8) before
// layer 4, all padding. The layer-4 checksum does not change by it.
inline std::vector<uint8_t> WithExtension(std::vector<uint8_t> frame, uint8_t extension_bytes) {
  std::vector<uint8_t> extension(extension_bytes, 0);  // Pad1 options.
  extension[0] = frame[20];
  extension[1] = static_cast<uint8_t>(extension_bytes / 8 - 1);
  frame[20] = 60;
  StoreBe16(&frame[18], static_cast<uint16_t>(LoadBe16(&frame[18]) + extension_bytes));
  frame.insert(frame.begin() + 54, extension.begin(), extension.end());
  return frame;
}

}  // namespace devmem::testing
