// SPDX-License-Identifier: Apache-2.0
//
// See flood_frames.h.

#include "bench/flood_frames.h"

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/tcp_header.h"

namespace devmem::bench {
namespace {

constexpr uint32_t kFullSegmentBytes = 1448;
constexpr size_t kL4Offset = kEthernetHeaderBytes + kIpv4HeaderBytesMin;
constexpr size_t kTcpOptionBytesMax = 40;

uint32_t Random32(SeededRandom& random) { return static_cast<uint32_t>(random.Next() >> 32); }

// An address of 10.0.0.0/8 and a port that nobody has been seen with.
void MakeUpSource(TcpFrameSpec& spec, SeededRandom& random) {
  spec.flow.local = IpAddress::FromV4(0x0a000000 | (Random32(random) & 0xffffff));
  spec.flow.local_port = static_cast<uint16_t>(1024 + random.Below(60'000));
  spec.seq = SeqNum(Random32(random));
  spec.ack = SeqNum(Random32(random));
}

// A place around one of the edges of the window, near enough to overlap it or to touch it.
SeqNum NearAnEdge(const FloodTarget& target, SeededRandom& random) {
  const SeqNum edge = random.Below(2) == 0 ? target.rcv_nxt : target.rcv_nxt + target.window_bytes;
  return edge - kFullSegmentBytes - 2 + static_cast<uint32_t>(random.Below(kFullSegmentBytes + 4));
}

TcpFrameSpec SpecOf(FloodKind kind, const FloodTarget& target, SeededRandom& random) {
  TcpFrameSpec spec;
  spec.source_mac = target.peer_mac;
  spec.destination_mac = target.our_mac;
  spec.flow = target.flow;
  spec.flags = kTcpAck;
  spec.window = 0xffff;
  spec.seq = target.rcv_nxt;
  spec.ack = target.peer_ack;
  const uint32_t in_window = static_cast<uint32_t>(1 + random.Below(target.window_bytes - 1));
  switch (kind) {
    case FloodKind::kSyn:
      MakeUpSource(spec, random);
      spec.flags = kTcpSyn;
      spec.options = {.mss = 1460, .window_scale = 7, .sack_permitted = true};
      break;
    case FloodKind::kRst:
      spec.flags = kTcpRst;
      spec.seq = target.rcv_nxt + in_window;
      break;
    case FloodKind::kAck: MakeUpSource(spec, random); break;
    case FloodKind::kFin:
      spec.flags = kTcpAck | kTcpFin;
      spec.seq = target.rcv_nxt + in_window;
      spec.ack = SeqNum(Random32(random));
      break;
    case FloodKind::kFragment:
      MakeUpSource(spec, random);
      spec.dont_fragment = false;
      spec.payload_bytes = kFullSegmentBytes;
      break;
    case FloodKind::kOptionSoup: spec.ack = SeqNum(Random32(random)); break;
    case FloodKind::kTinySegment:
      spec.seq = target.rcv_nxt + 1 + 2 * static_cast<uint32_t>(random.Below(4096));
      spec.payload_bytes = 1;
      break;
    case FloodKind::kWindowEdge:
      spec.seq = NearAnEdge(target, random);
      spec.payload_bytes = kFullSegmentBytes;
      break;
  }
  return spec;
}

// Renews the checksum of the IPv4 header.
void SumIpHeader(FloodFrame& frame) {
  const std::span<uint8_t> ip =
      std::span(frame.bytes).subspan(kEthernetHeaderBytes, kIpv4HeaderBytesMin);
  StoreBe16(&ip[10], 0);
  StoreBe16(&ip[10], ChecksumField(PartialSum(ip)));
}

// Puts 40 random bytes where options belong. A third of them is NOP, so that parsing gets far.
void AddOptionSoup(FloodFrame& frame, SeededRandom& random) {
  for (size_t i = 0; i < kTcpOptionBytesMax; ++i) {
    const uint64_t draw = random.Next();
    frame.bytes[frame.header_bytes + i] =
        draw % 3 == 0 ? uint8_t{1} : static_cast<uint8_t>(draw >> 32);
  }
  frame.bytes[kL4Offset + 12] = 15 << 4;  // The data offset: 60 bytes.
  frame.header_bytes += kTcpOptionBytesMax;
  StoreBe16(&frame.bytes[kEthernetHeaderBytes + 2],
            static_cast<uint16_t>(frame.header_bytes - kEthernetHeaderBytes));
  SumIpHeader(frame);
}

}  // namespace

FloodFrame MakeFloodFrame(FloodKind kind, const FloodTarget& target, SeededRandom& random) {
  FloodFrame frame;
  const TcpFrameSpec spec = SpecOf(kind, target, random);
  frame.payload_bytes = spec.payload_bytes;
  frame.header_bytes = static_cast<uint32_t>(BuildTcpFrame(spec, frame.bytes));
  if (kind == FloodKind::kOptionSoup) AddOptionSoup(frame, random);
  if (kind == FloodKind::kFragment) {
    // The first part of something larger. What follows the IP header is all payload.
    StoreBe16(&frame.bytes[kEthernetHeaderBytes + 6], 0x2000);
    SumIpHeader(frame);
    frame.payload_bytes += frame.header_bytes - static_cast<uint32_t>(kL4Offset);
    frame.header_bytes = kL4Offset;
  }
  return frame;
}

}  // namespace devmem::bench
