// SPDX-License-Identifier: Apache-2.0
//
// TCP frames for tests: a template in which a test names only what differs. Used wherever a frame
// is injected into a NIC or sent over a wire link.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "netmem/nic/netdev.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/tcp_header.h"

namespace devmem::testing {

// The flow of the template as its receiver sees it: from 192.0.2.2:40000 to 192.0.2.1:5201.
inline FlowKey TestFlow() {
  return {.local = IpAddress::FromV4(0xc0000201),
          .remote = IpAddress::FromV4(0xc0000202),
          .local_port = 5201,
          .remote_port = 40000};
}

// 2001:db8::`last`.
inline IpAddress TestAddressV6(uint8_t last) {
  std::array<uint8_t, IpAddress::kBytes> bytes = {0x20, 0x01, 0x0d, 0xb8};
  bytes.back() = last;
  return IpAddress::FromV6(bytes);
}

inline FlowKey TestFlowV6() {
  return {.local = TestAddressV6(1),
          .remote = TestAddressV6(2),
          .local_port = 5201,
          .remote_port = 40000};
}

// Bytes that differ from place to place and from one `start` to the next.
inline std::vector<uint8_t> TestPayload(size_t bytes, uint32_t start = 0) {
  std::vector<uint8_t> payload(bytes);
  uint32_t word = start * 2654435761u + 1;
  for (uint8_t& byte : payload) {
    word = word * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(word >> 24);
  }
  return payload;
}

struct TestFrame {
  FlowKey flow = TestFlow();  // As the receiver sees it.
  SeqNum seq = SeqNum(0xfffffff0);
  SeqNum ack = SeqNum(1);
  uint8_t flags = kTcpAck;
  std::vector<uint8_t> payload = {};
  // Not 0: a super-frame of segments of this size, with the pseudo-header sum only.
  uint16_t gso_segment_bytes = 0;

  std::vector<uint8_t> Header() const {
    std::vector<uint8_t> header(kTcpFrameHeaderBytesMax);
    TcpFrameSpec spec;
    spec.source_mac = MacAddress({2, 0, 0, 0, 0, 2});
    spec.destination_mac = MacAddress({2, 0, 0, 0, 0, 1});
    spec.flow = {.local = flow.remote,
                 .remote = flow.local,
                 .local_port = flow.remote_port,
                 .remote_port = flow.local_port};
    spec.seq = seq;
    spec.ack = ack;
    spec.flags = flags;
    spec.window = 0x1000;
    spec.payload_bytes = static_cast<uint32_t>(payload.size());
    spec.payload_sum = PartialSum(payload);
    spec.checksum = gso_segment_bytes == 0 ? TcpChecksum::kFull : TcpChecksum::kPseudoHeaderOnly;
    header.resize(BuildTcpFrame(spec, header));
    return header;
  }

  std::vector<uint8_t> Bytes() const {
    std::vector<uint8_t> bytes = Header();
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return bytes;
  }

  // Sends it on `queue`. Returns what Transmit() returned.
  bool SendOn(RxQueue& queue) const {
    const std::vector<uint8_t> header = Header();
    const uint16_t l4_offset = flow.local.is_v4() ? 34 : 54;
    return queue.Transmit({.header = header,
                           .payload = payload,
                           .gso_segment_bytes = gso_segment_bytes,
                           .l4_offset = l4_offset});
  }
};

}  // namespace devmem::testing
