// SPDX-License-Identifier: Apache-2.0
//
// A segment arrives for a connection: RFC 9293 section 3.10.7.4 in its order (sequence number, RST,
// SYN, ACK, URG, payload, FIN), with PAWS in front (RFC 7323 section 5.3) and the blind-attack
// rules of RFC 5961. The short path in fast_path.cc takes what nearly every segment of a transfer
// is.

#include <algorithm>

#include "netmem/tcp/engine.h"

namespace devmem {
namespace {

// Dynamic right-sizing (see RightSize) behind a hole, where the user cannot take anything: a peer
// that has filled half of the target there may be kept from more by the window alone. It must be
// able to go on: a segment that is lost at the very edge has nothing behind it that would tell, and
// costs a timeout.
void GrowBehindHole(TcpConnection& connection, uint64_t window_bytes_max) {
  const Receiver& receiver = connection.receiver;
  const uint64_t ahead = receiver.reassembly().bytes();
  const uint64_t target = connection.window_target_bytes;
  if (ahead < target / 2 || receiver.in_order().bytes() > ahead) return;
  connection.window_target_bytes = static_cast<uint32_t>(std::min(2 * target, window_bytes_max));
}

}  // namespace

void TcpEngine::Input(const Segment& segment, Nanos now) {
  now_ = now;
  ++stats_.segments_in;
  uint32_t index = last_index_;
  if (index == kNoConnectionIndex || !(at(index).flow == segment.flow)) {
    const uint32_t found = IndexOf(segment.flow);
    if (found == ConnectionTable::kNone) {
      InputNoConnection(segment);
      return;
    }
    index = last_index_ = found;
  }
  if (IsPlain(segment) && ShortPath(index, RunOf(segment))) return;
  TcpConnection& connection = at(index);
  // A closed connection is not in the table.
  if (connection.state == TcpState::kSynSent) {
    InputSynSent(connection, segment);
  } else {
    InputSynchronized(connection, segment);
  }
}

void TcpEngine::Drop(const Segment& segment, TcpDrop reason) {
  ++stats_.drop(reason);
  store_->Put(segment.pieces);
}

void TcpEngine::InputSynchronized(TcpConnection& connection, const Segment& segment) {
  if (connection.state == TcpState::kTimeWait && MayReuseTimeWait(connection, segment)) {
    CloseNow(connection, CloseReason::kNone);
    InputNoConnection(segment);
    return;
  }
  if (OutdatedByPaws(connection, segment)) return;
  // First: the sequence number.
  if (!connection.receiver.Acceptable(segment.seq, segment.length())) {
    NotAcceptable(connection, segment);
    return;
  }
  if (segment.payload_bytes == 0) connection.ack_policy.OnHeardNoData(connection.last_heard_at);
  connection.last_heard_at = now_;
  if (segment.has(kTcpRst)) {
    store_->Put(segment.pieces);
    OnReset(connection, segment);
    return;
  }
  if (segment.has(kTcpSyn)) {
    Drop(segment, TcpDrop::kUnexpectedSyn);
    ChallengeAck(connection);
    return;
  }
  if (!segment.has(kTcpAck)) {
    Drop(segment, TcpDrop::kNoAckFlag);
    return;
  }
  CountNonsense(connection, segment);
  if (!AcceptAck(connection, segment)) return;  // Its pieces went back.
  if (connection.timestamps.enabled && segment.options.timestamps.has_value()) {
    connection.timestamps.Update(segment.options.timestamps->value, segment.seq,
                                 connection.last_ack_sent, now_);
  }
  // RFC 9293 section 3.8.5 asks applications not to use urgent data; the octets count as any
  // others.
  if (segment.has(kTcpUrg)) ++stats_.drop(TcpDrop::kUrgent);
  ReceivePayload(connection, segment);
}

// RFC 7323 section 5.3, R1. A segment without the option is let through, as Linux does: some
// middleboxes strip it, and the sequence number is still checked.
bool TcpEngine::OutdatedByPaws(TcpConnection& connection, const Segment& segment) {
  if (!connection.timestamps.enabled || !segment.options.timestamps.has_value() ||
      segment.has(kTcpRst) ||
      connection.timestamps.CheckPaws(segment.options.timestamps->value, now_) ==
          PawsVerdict::kAccept) {
    return false;
  }
  // An ACK that was overtaken says nothing new, and asks for nothing; as Linux.
  const bool overtaken = segment.length() == 0 && !segment.cut &&
                         segment.seq == connection.receiver.rcv_nxt() &&
                         segment.ack == connection.sender.snd_una();
  if (!overtaken) AnswerInvalid(connection, segment);
  Drop(segment, TcpDrop::kPaws);
  return true;
}

// What options say that cannot be is not believed, and harms nobody; who sends it is worth knowing.
void TcpEngine::CountNonsense(const TcpConnection& connection, const Segment& segment) {
  const TcpOptions& options = segment.options;
  if (options.malformed) ++stats_.drop(TcpDrop::kBadOptions);
  const SeqNum sent = connection.sender.snd_max();
  const std::span<const SackBlock> sacks = options.sacks();
  if (std::any_of(sacks.begin(), sacks.end(), [&](const SackBlock& block) {
        return block.right <= block.left || block.right > sent;
      })) {
    ++stats_.drop(TcpDrop::kBadSack);
  }
  if (!connection.timestamps.enabled || !options.timestamps.has_value()) return;
  const uint32_t ahead = options.timestamps->echo - connection.timestamps.TsValue(now_);
  if (ahead != 0 && ahead < uint32_t{1} << 31) ++stats_.drop(TcpDrop::kBadEcho);
}

void TcpEngine::NotAcceptable(TcpConnection& connection, const Segment& segment) {
  if (segment.has(kTcpRst)) {
    // The peer may not have heard that we have its FIN; as Linux.
    const bool before_fin = HasReceivedFin(connection.state) &&
                            connection.state != TcpState::kTimeWait &&
                            segment.seq == connection.receiver.rcv_nxt() - 1u;
    if (before_fin) {
      store_->Put(segment.pieces);
      OnReset(connection, segment);
    } else {
      Drop(segment, TcpDrop::kBadReset);
    }
    return;
  }
  if (connection.state == TcpState::kSynReceived && segment.has(kTcpSyn) &&
      segment.seq == connection.irs) {
    store_->Put(segment.pieces);
    if (segment.has(kTcpAck)) {
      // Both sides opened at once (section 3.5, figure 8), and this is the answer to our SYN: but
      // for its own SYN, which we have, it is an acknowledgment.
      Segment acknowledgment = segment;
      ++acknowledgment.seq;
      acknowledgment.flags = kTcpAck;
      // The window of a segment with SYN is not scaled (RFC 7323 section 2.2).
      acknowledgment.window = static_cast<uint16_t>(segment.window >> connection.snd_scale);
      acknowledgment.payload_bytes = 0;
      acknowledgment.pieces = {};
      if (!AcceptAck(connection, acknowledgment)) return;
      connection.ack_now = true;
    } else if (MayAnswerInvalid(connection)) {
      SendSyn(connection);  // Our SYN-ACK was lost.
    }
    return;
  }
  // The peer's FIN came again: it did not hear our last ACK (section 3.10.7.4, eighth step).
  if (connection.state == TcpState::kTimeWait && segment.fin()) RestartTimeWait(connection);
  if (segment.has(kTcpSyn)) {
    Drop(segment, TcpDrop::kUnexpectedSyn);
    ChallengeAck(connection);
    return;
  }
  AnswerInvalid(connection, segment);
  Drop(segment, TcpDrop::kOutsideWindow);
}

// Fifth step. False: the segment is done with and its pieces were put back.
bool TcpEngine::AcceptAck(TcpConnection& connection, const Segment& segment) {
  if (connection.state == TcpState::kSynReceived &&
      (segment.ack <= connection.sender.snd_una() || segment.ack > connection.sender.snd_max())) {
    Drop(segment, TcpDrop::kBadAck);
    SendResetFor(segment);
    return false;
  }
  if (!connection.sender.AckAcceptable(segment.ack)) {
    Drop(segment, TcpDrop::kBadAck);
    ChallengeAck(connection);
    return false;
  }
  const bool opens = connection.state == TcpState::kSynReceived;
  if (opens) {
    if (!MayComplete(connection)) {
      Drop(segment, TcpDrop::kAcceptQueueFull);
      return false;
    }
    OnSynAcked(connection);
  }
  const bool waited_for_fin = HasSentFin(connection.state);
  const AckOutcome outcome =
      connection.sender.OnAck(segment, connection.snd_scale, connection.timestamps, now_);
  // Whoever answers is alive, also if its window stays shut.
  const Sender& sender = connection.sender;
  if (outcome.advanced || sender.all_acked() || sender.peer_window_bytes() == 0) {
    connection.retries = 0;
  }
  if (connection.ecn.enabled) {
    // RFC 3168 section 6.1.2: an echo counts as a loss, once per window; and whatever reduced the
    // window, the peer's receiver is told.
    const bool reduced = segment.has(kTcpEce) && connection.sender.OnEcnEcho();
    if (reduced) ++stats_.ecn_reductions;
    if (reduced || outcome.reduced) connection.ecn.cwr_pending = true;
  }
  if (outcome.bogus_sacks != 0) stats_.sack_blocks_ignored.Add(outcome.bogus_sacks);
  if (outcome.duplicate_reported) ++stats_.duplicates_reported;
  if (outcome.advanced) MarkChanged(connection);
  if (outcome.advanced || outcome.window_opened) StopTimer(connection, kTimerPersist);
  if (outcome.restart_timer) RestartRetransmit(connection);
  if (opens) DisarmIfIdle(connection);
  if (outcome.retransmit) {
    if (const std::optional<SendPlan> plan = connection.sender.FirstUnacked()) {
      SendPlanned(connection, *plan);
    }
  }
  MarkFlush(connection);
  if (waited_for_fin && outcome.fin_acked) {
    const bool last = connection.state == TcpState::kLastAck;
    if (last) store_->Put(segment.pieces);
    OnOurFinAcked(connection);
    return !last;
  }
  return true;
}

// Seventh and eighth step.
// Twice what the user may leave unread lies unread: more is dropped, though it was promised, until
// he reads. Only a peer that lives on the rounding of its window comes so far; see Grant().
bool TcpEngine::RefuseUntilRead(TcpConnection& connection, const Segment& segment) {
  const uint64_t bound = 2 * WindowBytesMax(*connection.options);
  const bool full = connection.receiver.in_order().bytes() >= bound;
  connection.receiver.set_full(full);
  if (!full || segment.payload_bytes == 0) return false;
  Drop(segment, TcpDrop::kNoMemory);
  connection.ack_now = true;
  MarkFlush(connection);
  return true;
}

void TcpEngine::ReceivePayload(TcpConnection& connection, const Segment& segment) {
  if (!CanReceiveData(connection.state)) {
    if (segment.payload_bytes != 0) ++stats_.drop(TcpDrop::kAfterClose);
    store_->Put(segment.pieces);
    if (segment.length() != 0) connection.ack_now = true;
    return;
  }
  if (segment.payload_bytes != 0 && !connection.attached && connection.listener == 0) {
    // RFC 9293 section 3.6.1: nobody will read this any more, so the peer is told.
    Drop(segment, TcpDrop::kAfterClose);
    SendResetFor(segment);
    CloseNow(connection, CloseReason::kAborted);
    return;
  }
  if (segment.cut) {
    ++stats_.drop(TcpDrop::kNoMemory);
    if (segment.seq == connection.receiver.rcv_nxt()) MakeRoomAtEdge(&connection);
    connection.ack_now = true;
  }
  if (segment.length() == 0) return;
  if (connection.receiver.full() && RefuseUntilRead(connection, segment)) return;
  if (segment.payload_bytes != 0) {
    if (segment.ecn == kEcnCongestion) ++stats_.segments_marked;
    if (connection.ecn.OnPayload(segment.flags, segment.ecn)) connection.ack_now = true;
  }
  JoinLedger(connection);
  const uint32_t outstanding = connection.receiver.outstanding_bytes();
  const ReceiveResult result = connection.receiver.Receive(MemoryOf(), segment);
  const uint32_t left = connection.receiver.outstanding_bytes();
  LedgerOf(connection).OnArrived(outstanding - left);
  stats_.payload_bytes_in.Add(result.advanced_bytes);
  connection.payload_bytes_received += result.advanced_bytes;
  CountReceived(connection, result);
  if (result.advanced_bytes != 0) {
    connection.ack_policy.OnInOrder(result.advanced_bytes, segment.segment_count);
    MarkChanged(connection);
  }
  if (result.fin_reached) OnPeerFin(connection);
  MarkFlush(connection);
  if (connection.ack_policy.batch_full()) Output(connection);
}

// What a segment was besides in order: for the counters, and because the peer must hear of it at
// once.
void TcpEngine::CountReceived(TcpConnection& connection, const ReceiveResult& result) {
  if (result.duplicate_bytes != 0) {
    connection.ack_policy.OnDuplicate();
    stats_.duplicate_bytes.Add(result.duplicate_bytes);
  }
  if (result.beyond_window) {
    // Also the one byte that probes a window of zero (RFC 9293 section 3.8.6.1).
    ++stats_.drop(TcpDrop::kBeyondWindow);
    connection.ack_now = true;
  }
  if (result.gave_up_sacked) ++stats_.drop(TcpDrop::kSackedGivenUp);
  if (result.reserve_bytes != 0) ++stats_.drop(TcpDrop::kMemoryReserve);
  if (result.forgotten_bytes != 0) {
    ++stats_.drop(TcpDrop::kPieceArray);
    connection.ack_now = true;
    if (!result.out_of_order) MakeRoomAtEdge(nullptr);
  }
  if (result.out_of_order) {
    ++stats_.out_of_order_segments;
    connection.ack_policy.OnOutOfOrder();
    GrowBehindHole(connection, WindowBytesMax(*connection.options));
  }
  if (result.hole_filled) connection.ack_policy.OnHoleFilled();
}

// Data at rcv_nxt found no memory, or no piece entry, while out-of-order data holds some: one range
// of that must go, or neither could ever move. The search goes round all connections, so that each
// gives in its turn; `like` limits it to those that use the same pool.
void TcpEngine::MakeRoomAtEdge(const TcpConnection* like) {
  if (ranges_.in_use() == 0) return;
  for (uint32_t n = 0; n < std::min(fresh_, kRoomScanMax); ++n) {
    room_scan_ = room_scan_ + 1 < fresh_ ? room_scan_ + 1 : 0;
    if (slots_[room_scan_].constructed == 0) continue;
    TcpConnection& connection = at(room_scan_);
    if (like != nullptr && connection.bound != like->bound) continue;
    if (!connection.receiver.GiveUpFarthest(MemoryOf())) continue;
    ++stats_.drop(TcpDrop::kSackedGivenUp);
    return;
  }
}

}  // namespace devmem
