// SPDX-License-Identifier: Apache-2.0
//
// The path of nearly every segment of a transfer: payload in order, no hole anywhere, and an ACK
// that says nothing new. What input.cc does in its eight steps comes down to PAWS (RFC 7323 section
// 5.3) and queueing the pieces; whatever is in any way special goes the long way instead.

#include "netmem/tcp/engine.h"
#include "netmem/wire/ipv4.h"

namespace devmem {

bool TcpEngine::IsPlain(const Segment& segment) {
  constexpr uint8_t kLooked = static_cast<uint8_t>(~kTcpPsh);
  return (segment.flags & kLooked) == kTcpAck && segment.payload_bytes != 0 && !segment.cut &&
         segment.ecn != kEcnCongestion;
}

SegmentRun TcpEngine::RunOf(const Segment& segment) {
  SegmentRun run;
  run.seq = segment.seq;
  run.ack = segment.ack;
  run.payload_bytes = segment.payload_bytes;
  run.window = segment.window;
  run.segment_count = segment.segment_count;
  run.has_timestamp = segment.options.timestamps.has_value();
  if (run.has_timestamp) run.timestamp = segment.options.timestamps->value;
  run.pieces = segment.pieces;
  return run;
}

bool TcpEngine::InputRun(const FlowKey& flow, uint64_t hash, const SegmentRun& run, Nanos now) {
  const uint32_t index = IndexOf(flow, hash);
  if (index == ConnectionTable::kNone) return false;
  now_ = now;
  // Where acknowledgments may be lost, each frame has a say in when the next one leaves.
  if (run.frame_count > 1 && at(index).ack_policy.careful()) return false;
  if (!ShortPath(index, run)) return false;
  stats_.segments_in.Add(run.frame_count);
  return true;
}

bool TcpEngine::ShortPath(uint32_t index, const SegmentRun& run) {
  TcpConnection& connection = at(index);
  if (connection.state != TcpState::kEstablished || !connection.attached ||
      !connection.receiver.InOrderOnly(run.seq, run.payload_bytes) ||
      !connection.sender.AckIsOld(run.ack, DecodeWindow(run.window, connection.snd_scale))) {
    return false;
  }
  if (connection.timestamps.enabled) {
    if (!run.has_timestamp) return false;
    if (connection.timestamps.CheckPaws(run.timestamp, now_) == PawsVerdict::kReject) return false;
    connection.timestamps.Update(run.timestamp, run.seq, connection.last_ack_sent, now_);
  }
  connection.sender.OnOldAck(run.seq);
  JoinLedger(connection);
  const uint32_t queued = connection.receiver.AppendInOrder(*store_, run.pieces, run.payload_bytes);
  if (queued != run.payload_bytes) [[unlikely]] {
    ++stats_.drop(TcpDrop::kPieceArray);
    MakeRoomAtEdge(nullptr);
    connection.ack_policy.OnOutOfOrder();
  }
  LedgerOf(connection).OnArrived(queued);
  connection.payload_bytes_received += queued;
  connection.last_heard_at = now_;
  connection.ack_policy.OnInOrder(queued, run.segment_count);
  stats_.segments_short_path.Add(run.frame_count);
  stats_.payload_bytes_in.Add(queued);
  MarkReceived(index);
  if (connection.ack_policy.batch_full()) Output(connection);
  return true;
}

}  // namespace devmem
