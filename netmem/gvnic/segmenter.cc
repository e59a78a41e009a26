// SPDX-License-Identifier: Apache-2.0
//
// One frame after another: the headers copied, then what differs from frame to frame put right.

#include "netmem/gvnic/segmenter.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/frame_layout.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

constexpr size_t kUdpLengthOffset = 4;  // RFC 768.

// One frame's place in its super-frame.
struct Segment {
  uint32_t number = 0;
  uint32_t payload_offset = 0;
  bool is_last = false;
};

// The length, for IPv4 also the identification, which goes on from frame to frame, and the sum.
void SetIpFields(std::span<uint8_t> frame, bool is_v6, uint32_t number) {
  uint8_t* const ip = &frame[kEthernetHeaderBytes];
  const size_t ip_bytes = frame.size() - kEthernetHeaderBytes;
  if (is_v6) {
    StoreBe16(ip + 4, static_cast<uint16_t>(ip_bytes - kIpv6HeaderBytes));
    return;
  }
  StoreBe16(ip + 2, static_cast<uint16_t>(ip_bytes));
  StoreBe16(ip + 4, static_cast<uint16_t>(LoadBe16(ip + 4) + number));
  FinishIpv4Checksum(frame);
}

// FIN and PSH speak of the end of the data, CWR of the moment when it was sent.
void SetTcpFields(uint8_t* tcp, const Segment& segment) {
  StoreBe32(tcp + 4, LoadBe32(tcp + 4) + segment.payload_offset);
  uint8_t& flags = tcp[13];
  if (!segment.is_last) flags = static_cast<uint8_t>(flags & ~(kTcpFin | kTcpPsh));
  if (segment.number != 0) flags = static_cast<uint8_t>(flags & ~kTcpCwr);
}

Packet MakeFrame(const Packet& whole, const FrameLayout& layout, const Segment& segment) {
  const size_t begin = whole.header_bytes + segment.payload_offset;
  const size_t end = segment.is_last ? layout.frame_bytes : begin + whole.segment_bytes;
  Packet frame;
  frame.bytes.reserve(whole.header_bytes + (end - begin));
  frame.bytes.assign(whole.bytes.begin(), whole.bytes.begin() + whole.header_bytes);
  frame.bytes.insert(frame.bytes.end(), whole.bytes.begin() + static_cast<ptrdiff_t>(begin),
                     whole.bytes.begin() + static_cast<ptrdiff_t>(end));
  SetIpFields(frame.bytes, layout.l3 == L3Kind::kIpv6, segment.number);
  uint8_t* const l4 = &frame.bytes[layout.l4_offset];
  if (layout.is_tcp()) {
    SetTcpFields(l4, segment);
  } else {
    StoreBe16(l4 + kUdpLengthOffset, static_cast<uint16_t>(frame.bytes.size() - layout.l4_offset));
  }
  frame.checksum_good = FinishL4Checksum(frame.bytes, ReadFrameLayout(frame.bytes));
  return frame;
}

}  // namespace

std::vector<Packet> CutIntoFrames(Packet packet) {
  std::vector<Packet> frames;
  if (packet.segment_bytes == 0) {
    frames.push_back(std::move(packet));
    return frames;
  }
  const FrameLayout layout = ReadFrameLayout(packet.bytes);
  const bool is_cuttable = layout.is_tcp() || layout.is_udp();
  if (!is_cuttable || layout.header_bytes != packet.header_bytes) return frames;
  const uint32_t payload_bytes = layout.frame_bytes - layout.header_bytes;
  const uint32_t count =
      std::max(1u, (payload_bytes + packet.segment_bytes - 1) / packet.segment_bytes);
  frames.reserve(count);
  for (uint32_t number = 0; number < count; ++number) {
    const Segment segment{.number = number,
                          .payload_offset = number * packet.segment_bytes,
                          .is_last = number + 1 == count};
    frames.push_back(MakeFrame(packet, layout, segment));
  }
  return frames;
}

}  // namespace devmem
