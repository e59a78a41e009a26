// SPDX-License-Identifier: Apache-2.0
//
// Resets: what is sent for a segment that belongs to nobody (RFC 9293 sections 3.5.2 and 3.10.7.1),
// and which received ones are believed (RFC 5961 sections 3 and 4: only one exactly at rcv_nxt;
// anything else in the window gets a challenge ACK, which a genuine peer answers with a right one).

#include "netmem/tcp/engine.h"

namespace devmem {

void TcpEngine::InputNoConnection(const Segment& segment) {
  const Listener* listener = ListenerFor(segment.flow);
  if (listener != nullptr) {
    InputListen(*FindListener(listener->id), segment);
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
  ++stats_.resets_out;
  ++stats_.segments_out;
  sink_->Emit(out);
}

void TcpEngine::OnReset(TcpConnection& connection, const Segment& segment) {
  if (segment.seq != connection.receiver.rcv_nxt()) {
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

void TcpEngine::ChallengeAck(TcpConnection& connection) {
  const Nanos second = now_ / kSecond;
  if (second != challenge_second_) {
    challenge_second_ = second;
    challenge_count_ = 0;
  }
  if (challenge_count_ >= kChallengeAcksPerSecondMax) {
    ++stats_.challenge_acks_limited;
    return;
  }
  ++challenge_count_;
  connection.ack_now = true;
  MarkFlush(connection);
}

}  // namespace devmem
