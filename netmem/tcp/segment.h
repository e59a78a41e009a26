// SPDX-License-Identifier: Apache-2.0
//
// A TCP segment as the engine sees it: values read once from the header, and the payload as
// references. The stack makes a Segment from what the NIC delivered and turns an OutSegment into a
// frame.

#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "netmem/netmem_ref.h"
#include "netmem/wire/ack_frame.h"
#include "netmem/wire/flow_key.h"
#include "netmem/wire/seq_num.h"
#include "netmem/wire/tcp_header.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

// Received. SEG.SEQ, SEG.ACK, SEG.LEN, SEG.WND of RFC 9293 section 3.3.1.
struct Segment {
  FlowKey flow = {};  // `local` is ours.
  SeqNum seq = {};
  SeqNum ack = {};
  uint8_t flags = 0;
  uint16_t window = 0;         // As sent: not yet scaled.
  uint8_t ecn = 0;             // Of the IP header (RFC 3168 section 5): 1 ECT(1), 2 ECT(0), 3 CE.
  uint16_t segment_count = 1;  // MTU-sized segments that it stands for.
  // Payload bytes that are in `pieces`. When `cut` is set the segment carried more, for which there
  // was no memory: the rest, and a FIN behind it, count as never received.
  uint32_t payload_bytes = 0;
  bool cut = false;
  std::span<const Piece> pieces = {};  // The engine takes over their references.
  TcpOptions options = {};

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
  bool fin() const { return has(kTcpFin) && !cut; }
  // Sequence numbers that it takes up: payload, SYN and FIN.
  uint32_t length() const { return payload_bytes + (has(kTcpSyn) ? 1u : 0u) + (fin() ? 1u : 0u); }
  SeqNum end() const { return seq + length(); }
};

// What nearly every received segment is, or several that follow each other: payload in order, an
// ACK flag and perhaps PSH, and no option but a timestamp. Neighbours of a batch that agree in
// everything but their place in the stream are one run (software GRO).
struct SegmentRun {
  SeqNum seq = {};
  SeqNum ack = {};
  uint32_t payload_bytes = 0;
  uint16_t window = 0;         // As sent: not yet scaled.
  uint16_t segment_count = 1;  // MTU-sized segments that it stands for.
  uint16_t frame_count = 1;
  bool has_timestamp = false;
  uint32_t timestamp = 0;              // TSval of the first; the others' are not older.
  std::span<const Piece> pieces = {};  // All the payload. The engine takes over their references.
};

// To be sent. Refers to memory of the engine: valid during SegmentSink::Emit().
struct OutSegment {
  FlowKey flow;  // `local` is ours, the source.
  SeqNum seq;
  SeqNum ack;
  uint8_t flags = 0;
  uint8_t ecn = 0;      // For the IP header.
  uint16_t window = 0;  // Scaled, as it goes into the header.
  TcpOptions options;
  std::span<const uint8_t> payload;
  uint16_t gso_segment_bytes = 0;  // Not 0: the NIC cuts the payload into segments of this size.
};

// Where the engine's segments go. The stack implements it; tests collect.
class SegmentSink {
 public:
  virtual ~SegmentSink() = default;
  virtual void Emit(const OutSegment& segment) = 0;
  // The same for the segment that is sent most, an acknowledgment without payload; whoever has a
  // short way for it overrides this.
  virtual void EmitAck(const AckFields& ack) {
    OutSegment segment;
    segment.flow = *ack.flow;
    segment.seq = ack.seq;
    segment.ack = ack.ack;
    segment.flags = ack.flags;
    segment.window = ack.window;
    if (ack.has_timestamps) segment.options.timestamps = ack.timestamps;
    segment.options.sack_block_count = static_cast<uint8_t>(ack.sacks.size());
    std::copy(ack.sacks.begin(), ack.sacks.end(), segment.options.sack_blocks.begin());
    Emit(segment);
  }
  // Segments of the connection go unanswered for long: the way to its peer may be another by now.
  virtual void OnUnanswered(const FlowKey& /*flow*/) {}
};

}  // namespace devmem
