// SPDX-License-Identifier: Apache-2.0
//
// Resets: what is sent for a segment that belongs to nobody (RFC 9293 sections 3.5.2 and 3.10.7.1),
// and which received ones are believed (RFC 5961 sections 3 and 4: only one exactly at rcv_nxt;
// anything else in the window gets a challenge ACK, which a genuine peer answers with a right one).

#include <algorithm>

#include "netmem/tcp/engine.h"

namespace devmem {

void TcpEngine::InputNoConnection(const Segment& segment) {
  Listener* listener = listeners_.For(segment.flow.local, segment.flow.local_port);
  if (listener != nullptr) {
    InputListen(*listener, segment);
    return;
  }
  Drop(segment, TcpDrop::kNoConnection);
  if (!segment.has(kTcpRst)) SendResetFor(segment);
}

// RFC 9293 section 3.10.7.1: the sequence number is one that the peer's own checks accept.
void TcpEngine::SendResetFor(const Segment& segment) {
  OutSegment out;
  out.flow = segment.flow;
  out.flags = kTcpRst;
  if (segment.has(kTcpAck)) {
    out.seq = segment.ack;
  } else {
    out.flags |= kTcpAck;
    out.ack = segment.end();
  }
  ++stats_.resets_out;
  ++stats_.segments_out;
  sink_->Emit(out);
}

// For a connection that is given up here: behind everything that was sent, so that the peer
// believes it, or asks with a challenge ACK and gets it again.
void TcpEngine::SendReset(TcpConnection& connection) {
  if (connection.state == TcpState::kSynSent || connection.state == TcpState::kTimeWait ||
      connection.state == TcpState::kClosed) {
    return;
  }
  OutSegment out;
  out.flow = connection.flow;
  out.flags = kTcpRst | kTcpAck;
  out.seq = connection.sender.snd_max();
  out.ack = connection.receiver.rcv_nxt();
  out.window = EncodeWindow(connection.receiver.outstanding_bytes(), connection.rcv_scale);
  if (connection.timestamps.enabled) {
    // RFC 7323 section 3.2: every segment has it once it was negotiated.
    out.options.timestamps =
        TcpTimestamps{connection.timestamps.TsValue(now_), connection.timestamps.ts_recent};
  }
  ++stats_.resets_out;
  ++stats_.segments_out;
  sink_->Emit(out);
}

// RFC 5961 section 3.2, and as Linux two more: the end of the last block that our SACKs name, which
// a peer takes for rcv_nxt when it has only the SACK, and the number of a FIN that we have and the
// peer does not know of. A stranger gains two numbers of four billion.
bool TcpEngine::ResetIsBelieved(const TcpConnection& connection, SeqNum seq) const {
  if (seq == connection.receiver.rcv_nxt()) return true;
  if (HasReceivedFin(connection.state) && seq == connection.receiver.rcv_nxt() - 1u) return true;
  const std::optional<SeqNum> edge = connection.receiver.sack().right_edge();
  return connection.sack_permitted && edge.has_value() && seq == *edge;
}

void TcpEngine::OnReset(TcpConnection& connection, const Segment& segment) {
  if (!ResetIsBelieved(connection, segment.seq)) {
    ++stats_.drop(TcpDrop::kBadReset);
    ChallengeAck(connection);
    return;
  }
  ++stats_.resets_in;
  // RFC 1337 section 3, F1: TIME-WAIT ignores it.
  if (AfterReset(connection.state) != TcpState::kClosed) return;
  const bool opening = connection.state == TcpState::kSynReceived;
  CloseNow(connection, opening ? CloseReason::kRefused : CloseReason::kReset);
}

// One answer per connection in Config::invalid_answer_interval.
bool TcpEngine::MayAnswerInvalid(TcpConnection& connection) {
  const uint32_t now_ms = static_cast<uint32_t>(now_ / kMillisecond);
  const uint32_t since_ms = now_ms - connection.invalid_answered_ms;
  if (connection.invalid_answered_ms != 0 &&
      since_ms < config_.invalid_answer_interval / kMillisecond) {
    return false;
  }
  connection.invalid_answered_ms = std::max(now_ms, 1u);
  return true;
}

// A segment that is not acceptable, and no reset: an ACK tells the peer where we are (RFC 9293
// section 3.10.7.4, first step). Payload is no part of a loop of answers, so it always gets one,
// and is named as a duplicate when it is one (RFC 2883 section 4).
void TcpEngine::AnswerInvalid(TcpConnection& connection, const Segment& segment) {
  const SeqNum rcv_nxt = connection.receiver.rcv_nxt();
  if (segment.payload_bytes != 0 && segment.seq < rcv_nxt) {
    const SeqNum end = segment.seq + segment.payload_bytes;
    connection.receiver.sack().OnDuplicate(segment.seq, end < rcv_nxt ? end : rcv_nxt);
    stats_.duplicate_bytes.Add(segment.payload_bytes);
  }
  const bool limited = segment.length() == 0 && !segment.cut;
  if (limited && !MayAnswerInvalid(connection)) {
    ++stats_.invalid_answers_limited;
    return;
  }
  connection.ack_now = true;
  MarkFlush(connection);
}

void TcpEngine::ChallengeAck(TcpConnection& connection) {
  const Nanos second = now_ / kSecond;
  if (second != challenge_second_) {
    challenge_second_ = second;
    challenge_count_ = 0;
  }
  if (challenge_count_ >= kChallengeAcksPerSecondMax || !MayAnswerInvalid(connection)) {
    ++stats_.challenge_acks_limited;
    return;
  }
  ++challenge_count_;
  connection.ack_now = true;
  MarkFlush(connection);
}

}  // namespace devmem
