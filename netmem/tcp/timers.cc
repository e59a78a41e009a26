// SPDX-License-Identifier: Apache-2.0
//
// What happens when time passes: retransmission (RFC 6298), loss probes (RFC 8985), zero-window
// probes (RFC 9293 section
// 3.8.6.1), delayed ACKs (3.8.6.3), keepalive (3.8.4), and the end of TIME-WAIT. A connection has
// one entry in the wheel, armed at its earliest deadline or before it; an entry that fires early,
// because its deadline was put off meanwhile, is armed again.

#include <algorithm>
#include <array>

#include "netmem/tcp/engine.h"

namespace devmem {

void TcpEngine::SetTimer(TcpConnection& connection, TimerKind kind, Nanos deadline) {
  connection.set_deadline(kind, deadline);
  if (deadline >= connection.armed_at) return;
  connection.armed_at = deadline;
  wheel_.Arm(IndexOf(connection), deadline);
}

// The handshake is over: without this, each of a million connections opened in one second would
// take a turn of the wheel a second later, for nothing.
void TcpEngine::DisarmIfIdle(TcpConnection& connection) {
  if (connection.first_deadline() != kNever) return;
  connection.armed_at = kNever;
  wheel_.Cancel(IndexOf(connection));
}

void TcpEngine::Expire(Nanos now) {
  now_ = now;
  std::array<uint32_t, 64> due;
  // What is due beyond the bound stays due, and the next turn goes on with it at once.
  for (uint32_t turn = 0; turn < kTimersPerTurn; turn += due.size()) {
    const size_t count = wheel_.Expire(now, due);
    if (count == 0) break;
    for (size_t i = 0; i < count; ++i) {
      if (slots_[due[i]].constructed == 0) continue;
      at(due[i]).armed_at = kNever;
      OnTimer(at(due[i]));
    }
  }
}

void TcpEngine::OnTimer(TcpConnection& connection) {
  const uint32_t index = IndexOf(connection);
  const uint32_t generation = connection.generation;
  for (uint8_t number = 0; number < kTimerKinds; ++number) {
    const TimerKind kind = static_cast<TimerKind>(number);
    if (connection.deadline(kind) > now_) continue;
    connection.set_deadline(kind, kNever);
    switch (kind) {
      case kTimerRetransmit: OnRetransmitTimer(connection); break;
      case kTimerPersist: OnPersistTimer(connection); break;
      case kTimerDelayedAck:
        connection.ack_policy.OnDelayOver();
        MarkFlush(connection);
        break;
      case kTimerLifetime: CloseNow(connection, CloseReason::kNone); break;
      case kTimerKeepalive: OnKeepaliveTimer(connection); break;
      case kTimerKinds: break;
    }
    // A timer may have ended the connection, and with it this object.
    if (slots_[index].constructed == 0 || connection.generation != generation) return;
  }
  const Nanos next = connection.first_deadline();
  if (next < connection.armed_at) {
    connection.armed_at = next;
    wheel_.Arm(index, next);
  }
}

bool TcpEngine::WaitedTooLong(const TcpConnection& connection) {
  const Nanos patience = connection.options->user_timeout;
  return patience != 0 && connection.sender.rto().waited() >= patience;
}

// RFC 8985 section 7.3. What has told of a loss since leaves it to the timeout.
void TcpEngine::OnProbeTimer(TcpConnection& connection) {
  Sender& sender = connection.sender;
  const std::optional<SendPlan> plan = sender.LossProbe();
  if (!plan.has_value()) {
    SetTimer(connection, kTimerRetransmit, std::max(sender.timeout_at(), now_));
    return;
  }
  ++stats_.loss_probes;
  SendPlanned(connection, *plan);
  RestartRetransmit(connection);
}

void TcpEngine::DoubtTheWay(const TcpConnection& connection) {
  if (connection.retries >= kRetriesBeforeDoubt) sink_->OnUnanswered(connection.flow);
}

void TcpEngine::OnRetransmitTimer(TcpConnection& connection) {
  if (connection.sender.TakeProbe()) {
    OnProbeTimer(connection);
    return;
  }
  ++stats_.timeouts;
  const bool handshake = !connection.sender.syn_acked();
  const bool answering = connection.backlog_place == BacklogPlace::kHalfOpen;
  const SocketOptions& options = *connection.options;
  const uint32_t retries_max = !handshake  ? options.data_retries_max
                               : answering ? kSynAckRetriesMax
                                           : options.syn_retries_max;
  if (connection.retries >= retries_max || WaitedTooLong(connection)) {
    GiveUp(connection);
    return;
  }
  ++connection.retries;
  DoubtTheWay(connection);
  if (handshake) {
    ++stats_.retransmits;
    connection.sender.OnSynTimeout();
    SendSyn(connection);
    return;
  }
  connection.sender.OnTimeout();
  if (connection.ecn.enabled) connection.ecn.cwr_pending = true;
  if (const std::optional<SendPlan> plan = connection.sender.FirstUnacked()) {
    SendPlanned(connection, *plan);
  }
  RestartRetransmit(connection);
  // The last wait ends when the user's patience does.
  if (const Nanos patience = connection.options->user_timeout; patience != 0) {
    const Nanos waited = connection.sender.rto().waited() - connection.sender.rto().rto();
    SetTimer(connection, kTimerRetransmit,
             std::min(connection.deadline(kTimerRetransmit),
                      now_ + std::max<Nanos>(patience - waited, 0)));
  }
}

// The probe of a shut window is a segment left of it without data, as Linux sends it: it costs the
// peer no buffer, and its answer tells the window. RFC 9293 would have one byte of new data. A
// window that is open but too small to be used is used now.
void TcpEngine::OnPersistTimer(TcpConnection& connection) {
  Sender& sender = connection.sender;
  if (!sender.NeedsPersist()) return;
  // A peer may keep its window shut for as long as it answers, but not against nobody.
  const bool orphan_waited_enough =
      !connection.attached && sender.rto().backoff_count() >= kDataRetriesMax;
  if (connection.retries >= connection.options->data_retries_max || orphan_waited_enough ||
      WaitedTooLong(connection)) {
    GiveUp(connection);
    return;
  }
  if (const std::optional<SendPlan> plan = sender.Forced()) {
    SendPlanned(connection, *plan);
    return;
  }
  ++connection.retries;
  DoubtTheWay(connection);
  sender.rto().Backoff();
  SendProbe(connection);
  SetTimer(connection, kTimerPersist, now_ + sender.rto().rto());
}

void TcpEngine::OnKeepaliveTimer(TcpConnection& connection) {
  if (connection.options->keepalive_idle == kNever) return;
  const SocketOptions& options = *connection.options;
  // No shorter than a tick, or the timer would be due again at once, for ever.
  const Nanos idle = std::max(options.keepalive_idle, kClockTick);
  const Nanos interval = std::max(options.keepalive_interval, kClockTick);
  // The handshake has a timer of its own.
  const Nanos silent = IsSynchronized(connection.state) ? now_ - connection.last_heard_at : 0;
  // Data on its way is probe enough, and has timers of its own.
  const bool busy = !connection.sender.all_acked() || !connection.sender.buffer().empty();
  if (silent < idle) {
    if (!busy) connection.retries = 0;  // Whatever probe went before was answered.
    SetTimer(connection, kTimerKeepalive, now_ + idle - silent);
    return;
  }
  if (busy) {
    SetTimer(connection, kTimerKeepalive, now_ + idle);
    return;
  }
  // Probes are counted: who was late to look at the clock has not asked the peer yet.
  const bool unanswered = options.user_timeout == 0
                              ? connection.retries >= options.keepalive_probes_max
                              : connection.retries != 0 && silent >= options.user_timeout;
  if (unanswered) {
    // Unlike a peer that owes acknowledgments, this one may be there and hear it.
    SendReset(connection);
    GiveUp(connection);
    return;
  }
  if (connection.retries != UINT8_MAX) ++connection.retries;
  DoubtTheWay(connection);
  SendProbe(connection);
  SetTimer(connection, kTimerKeepalive, now_ + interval);
}

// Not acceptable to the peer, so that it answers (RFC 9293 section 3.8.4).
void TcpEngine::SendProbe(TcpConnection& connection) {
  OutSegment out;
  out.seq = connection.sender.snd_una() - 1u;
  out.flags = kTcpAck;
  EmitSegment(connection, out);
}

void TcpEngine::GiveUp(TcpConnection& connection) { CloseNow(connection, CloseReason::kTimedOut); }

}  // namespace devmem
