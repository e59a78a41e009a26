// SPDX-License-Identifier: Apache-2.0
// The frame that nearly all received ones are: TCP over IPv4 without IP options (RFC 791, RFC
// 9293), whole, and with lengths that agree. ParseFrame() asks this first; a NIC that wants the
// common case inline in its poll asks it itself. Called once per frame, on the thread that polls
// the queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {

// Whether an IPv4 header of 20 bytes has a right checksum. The sum is the same in any byte order
// (RFC 1071 section 2), so that the words are added as they lie.
inline bool PlainIpv4SumIsRight(const uint8_t* ip) {
  uint64_t first = 0, second = 0;
  uint32_t third = 0;
  std::memcpy(&first, ip, sizeof(first));
  std::memcpy(&second, ip + 8, sizeof(second));
  std::memcpy(&third, ip + 16, sizeof(third));
  return Ipv4SumIsRight((first & 0xffffffff) + (first >> 32) + (second & 0xffffffff) +
                        (second >> 32) + third);
}

// Says whether `bytes`, of which the first `available_bytes` may be read, begin such a frame of
// `frame_bytes_total` >= `available_bytes` bytes; if so, fills in all of `frame`, as ParseFrame()
// would. If not, `frame` is untouched.
inline bool ParsePlainFrame(const uint8_t* bytes, size_t available_bytes,
                            uint32_t frame_bytes_total, FrameHeaders* frame) {
  constexpr size_t kL4Offset = kEthernetHeaderBytes + kIpv4HeaderBytesMin;
  constexpr uint16_t kFragmentBits = 0x3fff;
  if (available_bytes < kL4Offset + kTcpHeaderBytesMin) return false;
  const uint8_t* const ip = bytes + kEthernetHeaderBytes;
  const uint8_t* const tcp = bytes + kL4Offset;
  const uint32_t ip_bytes = LoadBe16(ip + 2);
  const uint32_t tcp_bytes = uint32_t{tcp[12]} >> 2 & 0x3cu;
  if (LoadBe16(bytes + 12) != kEtherTypeIpv4 || ip[0] != 0x45 || ip[9] != kIpProtocolTcp ||
      (LoadBe16(ip + 6) & kFragmentBits) != 0 || tcp_bytes < kTcpHeaderBytesMin ||
      kIpv4HeaderBytesMin + tcp_bytes > ip_bytes || kL4Offset + tcp_bytes > available_bytes ||
      kEthernetHeaderBytes + ip_bytes > frame_bytes_total || !PlainIpv4SumIsRight(ip)) {
    return false;
  }
  frame->kind = FrameKind::kTcp;
  frame->error = FrameError::kNone;
  frame->is_v6 = false;
  frame->is_fragment = false;
  frame->ecn = ip[1] & 3;
  frame->ttl = ip[8];
  frame->ip_protocol = kIpProtocolTcp;
  frame->l3_offset = kEthernetHeaderBytes;
  frame->l4_offset = kL4Offset;
  frame->header_bytes = static_cast<uint16_t>(kL4Offset + tcp_bytes);
  frame->payload_bytes = ip_bytes - static_cast<uint32_t>(kIpv4HeaderBytesMin) - tcp_bytes;
  frame->frame_bytes_expected = static_cast<uint32_t>(kEthernetHeaderBytes) + ip_bytes;
  frame->flow.local = IpAddress::FromV4(LoadBe32(ip + 16));
  frame->flow.remote = IpAddress::FromV4(LoadBe32(ip + 12));
  frame->flow.SetPorts(LoadBe32(tcp));
  return true;
}

}  // namespace devmem
