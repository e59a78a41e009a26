// SPDX-License-Identifier: Apache-2.0
//
// The receive path of a batch: what its frames will touch is fetched ahead, frames that continue
// each other are handed to TCP as one (software GRO), and acknowledgments leave by a short way.
// Everything out of the ordinary goes through Handle().

#include <algorithm>
#include <array>

#include "netmem/stack/worker.h"
#include "netmem/wire/ack_frame.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

constexpr uint32_t kNopNopTimestamp = 0x0101080a;  // RFC 7323 appendix A.
constexpr size_t kTimestampOffset = kTcpHeaderBytesMin + 4;

// Header length in words and the eight flags, without PSH: ACK alone, and no option or room for a
// timestamp.
constexpr uint16_t kPlainMask = 0xffff & ~kTcpPsh;
constexpr uint16_t kPlainNoOptions = 5u << 12 | kTcpAck;
constexpr uint16_t kPlainTimestamp = 8u << 12 | kTcpAck;

const uint8_t* TcpOf(const RxDescriptor& frame) {
  return frame.header.data() + frame.headers.l4_offset;
}

}  // namespace

// Two rounds over the batch: where each lookup begins, then the connections that they lead to, so
// that the misses of all frames are under way together.
void Worker::Prefetch(uint32_t frames) {
  flows_.Clear();
  for (uint32_t i = 0; i < frames; ++i) {
    const uint64_t hash = engine_->HashOf(batch_->frames[i].headers.flow);
    if (flows_.Add(i, hash)) engine_->PrefetchLookup(hash);
  }
  for (uint32_t i = 0; i < frames; ++i) {
    if (!flows_.follows(i)) engine_->PrefetchConnection(flows_.hash(i));
  }
}

// Whether the frame may begin a run; if so, it is in run_. Reads the header only: that a connection
// wants it is for the engine to say.
bool Worker::StartRun(const RxDescriptor& frame) {
  const FrameHeaders& headers = frame.headers;
  if (headers.kind != FrameKind::kTcp || frame.rx_class == RxClass::kElsewhere ||
      headers.payload_bytes == 0 || frame.placed_bytes != headers.payload_bytes ||
      headers.ecn == kEcnCongestion) {
    return false;
  }
  const uint8_t* const tcp = TcpOf(frame);
  const uint16_t shape = LoadBe16(tcp + 12) & kPlainMask;
  run_.has_timestamp = shape == kPlainTimestamp;
  if (run_.has_timestamp) {
    if (LoadBe32(tcp + kTcpHeaderBytesMin) != kNopNopTimestamp) return false;
    run_.timestamp = LoadBe32(tcp + kTimestampOffset);
  } else if (shape != kPlainNoOptions) {
    return false;
  }
  run_.seq = SeqNum(LoadBe32(tcp + 4));
  run_.ack = SeqNum(LoadBe32(tcp + 8));
  run_.window = LoadBe16(tcp + 14);
  run_.payload_bytes = frame.placed_bytes;
  run_.segment_count = frame.segment_count;
  run_.frame_count = 1;
  run_.pieces = batch_->PiecesOf(frame);
  return true;
}

// Whether `frame`, the next one of its flow in the batch, continues the run that `first`
// began; if so, it is part of it now. As with any NIC's GRO, a run is no longer than one frame may
// be.
bool Worker::ExtendRun(const RxDescriptor& first, const RxDescriptor& frame) {
  const FrameHeaders& headers = frame.headers;
  const uint8_t* const tcp = TcpOf(frame);
  if (headers.kind != FrameKind::kTcp || frame.rx_class != first.rx_class ||
      headers.payload_bytes == 0 || frame.placed_bytes != headers.payload_bytes ||
      headers.header_bytes != first.headers.header_bytes || headers.ecn != first.headers.ecn ||
      run_.payload_bytes + frame.placed_bytes > kFramePayloadBytesMax ||
      SeqNum(LoadBe32(tcp + 4)) != run_.seq + run_.payload_bytes ||
      SeqNum(LoadBe32(tcp + 8)) != run_.ack || LoadBe16(tcp + 14) != run_.window ||
      ((LoadBe16(tcp + 12) ^ LoadBe16(TcpOf(first) + 12)) & kPlainMask) != 0 ||
      !(headers.flow == first.headers.flow)) {
    return false;
  }
  if (run_.has_timestamp) {
    if (LoadBe32(tcp + kTcpHeaderBytesMin) != kNopNopTimestamp) return false;
    // An older one may be an old segment's (PAWS), and is looked at by itself.
    const uint32_t newer_by = LoadBe32(tcp + kTimestampOffset) - run_.timestamp;
    if (static_cast<int32_t>(newer_by) < 0) return false;
  }
  run_.payload_bytes += frame.placed_bytes;
  run_.segment_count = static_cast<uint16_t>(run_.segment_count + frame.segment_count);
  ++run_.frame_count;
  AddPieces(batch_->PiecesOf(frame));
  return true;
}

// The pieces of frames that arrived one after the other lie so in the batch. Once others were
// between them, the run's pieces are put together elsewhere.
void Worker::AddPieces(std::span<const Piece> pieces) {
  std::span<const Piece>& all = run_.pieces;
  if (all.data() + all.size() != pieces.data()) {
    if (all.data() != run_pieces_.data()) {
      std::copy(all.begin(), all.end(), run_pieces_.begin());
    }
    std::copy(pieces.begin(), pieces.end(), &run_pieces_[all.size()]);
    all = {run_pieces_.data(), all.size() + pieces.size()};
    return;
  }
  all = {all.data(), all.size() + pieces.size()};
}

// Handles the frame of index `first`, and those of its flow that continue it. Returns the next one
// of the flow; 0: none.
uint32_t Worker::HandleRun(uint32_t first, Nanos now) {
  const RxDescriptor& frame = batch_->frames[first];
  uint32_t next = flows_.next(first);
  if (!StartRun(frame)) {
    Handle(frame, now);
    return next;
  }
  while (next != 0 && ExtendRun(frame, batch_->frames[next])) next = flows_.next(next);
  if (engine_->InputRun(frame.headers.flow, flows_.hash(first), run_, now)) [[likely]] {
    stats_.merged_frames.Add(run_.frame_count - 1);
    return next;
  }
  // A connection that has just lost something wants the frames one by one, and is mostly content
  // with the short way for each of them.
  const bool was_run = run_.frame_count > 1;
  uint32_t index = first;
  do {
    const RxDescriptor& each = batch_->frames[index];
    const bool is_done = was_run && StartRun(each) &&
                         engine_->InputRun(each.headers.flow, flows_.hash(first), run_, now);
    if (!is_done) Handle(each, now);
    index = flows_.next(index);
  } while (index != next);
  return next;
}

// Frames of one flow are handled in the order in which they arrived, and together, so that what
// another flow sent between them does not keep them apart (as in Linux's GRO). Flows come in the
// order of their first frames.
void Worker::HandleBatch(uint32_t frames, Nanos now) {
  for (uint32_t i = 0; i < frames; ++i) {
    if (flows_.follows(i)) continue;
    uint32_t next = i;
    do {
      next = HandleRun(next, now);
    } while (next != 0);
  }
}

// Built here and sent when the batch is full or the turn ends: a device that copies a frame right
// after it was written in parts waits for the parts.
void Worker::EmitAck(const AckFields& ack) {
  AckTemplate& head = ack_templates_[ack.flow->remote.low() % kAckTemplates];
  PendingAck& pending = acks_[ack_count_];
  if (head.Fits(AckEpoch(), ack)) [[likely]] {
    pending.bytes = static_cast<uint16_t>(head.Build(ack, pending.frame));
  } else if (!BuildAck(ack, pending)) {
    SegmentSink::EmitAck(ack);  // By the long way, which asks for the neighbour or the gateway.
    return;
  }
  if (++ack_count_ == acks_.size()) SendAcks();
}

// False: where the peer is reached is not known.
bool Worker::BuildAck(const AckFields& ack, PendingAck& pending) {
  const MacAddress* const mac = neighbours_.Find(ack.flow->remote);
  if (mac == nullptr) return false;
  pending.bytes = static_cast<uint16_t>(BuildAckFrame(mac_, *mac, ack, pending.frame));
  AckTemplate& head = ack_templates_[ack.flow->remote.low() % kAckTemplates];
  head.Learn(AckEpoch(), ack, pending.frame);
  return true;
}

void Worker::SendAcks() {
  for (uint32_t i = 0; i < ack_count_; ++i) {
    queue_->Transmit(TxFrame{std::span(acks_[i].frame).first(acks_[i].bytes), {}});
  }
  ack_count_ = 0;
}

}  // namespace devmem
