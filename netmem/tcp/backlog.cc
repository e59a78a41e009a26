// SPDX-License-Identifier: Apache-2.0
//
// The backlog of a listener: its half-open connections (Linux's SYN queue), those that wait to be
// accepted, and SYN cookies (RFC 4987 section 3.6) for when the first are as many as they may be.
// Half-open connections cost bounded memory: a flood of SYNs keeps nothing from the others.

#include <algorithm>

#include "netmem/tcp/engine.h"

namespace devmem {

// A listener may have as many as its backlog; all together may take a part of the slots.
bool TcpEngine::HalfOpenFull(const Listener& listener) const {
  return listener.half_open >= listener.backlog ||
         half_open_count_ >= std::max(config_.connections_max / kHalfOpenSlotsDivisor, 1u);
}

// A connection in SYN-RECEIVED with our initial sequence number `iss`, or nullptr when no slot is
// left.
TcpConnection* TcpEngine::NewHalfOpen(Listener& listener, const Segment& segment, SeqNum iss) {
  TcpConnection* connection = NewConnection(segment.flow, listener.bound);
  if (connection == nullptr) return nullptr;
  ++stats_.opened_passive;
  ++listener.half_open;
  ++half_open_count_;
  connection->listener = listener.id;
  TakeOptions(*connection, listener.options);
  connection->backlog_place = BacklogPlace::kHalfOpen;
  connection->state = AfterSyn(TcpState::kListen, false);
  connection->sender.Start(iss, *SendBuffer::Create(config_.send_buffer_bytes));
  return connection;
}

// As Linux: the last ACK of a handshake is not heard while the accept queue is full. Our SYN-ACK
// goes again, and so does the peer's answer.
bool TcpEngine::MayComplete(const TcpConnection& connection) {
  return connection.backlog_place != BacklogPlace::kHalfOpen ||
         !AcceptQueueFull(*FindListener(connection.listener));
}

// The handshake is complete: the connection waits for Accept().
void TcpEngine::PutInAcceptQueue(TcpConnection& connection) {
  --half_open_count_;
  connection.backlog_place = BacklogPlace::kQueued;
  Listener* listener = FindListener(connection.listener);
  --listener->half_open;
  listener->queue.PushBack(IndexOf(connection), LinksInQueue());
}

// Ends before its handshake did.
void TcpEngine::LeaveHalfOpen(TcpConnection& connection) {
  if (connection.backlog_place != BacklogPlace::kHalfOpen) return;
  connection.backlog_place = BacklogPlace::kNone;
  --half_open_count_;
  --FindListener(connection.listener)->half_open;
}

// Answers a SYN and keeps nothing. The window that it announces is promised when the ACK comes.
void TcpEngine::SendCookie(Listener& listener, const Segment& segment) {
  const bool ecn = config_.ecn != EcnMode::kOff && EcnState::IsOffer(segment.flags, segment.ecn);
  TcpOptions offered = segment.options;
  if (!config_.timestamps) offered.timestamps.reset();
  offered.sack_permitted = offered.sack_permitted && config_.sack;
  const CookieOptions options = CookieOptionsFor(offered, ecn);
  OutSegment out;
  out.flow = segment.flow;
  out.seq = MakeSynCookie(segment.flow, config_.secret, segment.seq, options, now_);
  out.ack = segment.seq + 1;
  out.flags = kTcpSyn | kTcpAck;
  if (options.ecn) out.flags |= kTcpEce;
  out.options.mss = MssOf(segment.flow, *listener.options);
  out.options.sack_permitted = options.sack_permitted;
  if (options.window_scale.has_value()) {
    out.options.window_scale = WindowScaleOf(*listener.options);
  }
  if (options.timestamps) {
    const TimestampState clock{.offset = TimestampOffset(segment.flow, config_.secret)};
    out.options.timestamps =
        TcpTimestamps{CookieTimestamp(clock.TsValue(now_), options), offered.timestamps->value};
  }
  out.window = static_cast<uint16_t>(CookieWindow(segment.flow, listener.bound, *listener.options));
  listener.cookie_at = now_;
  ++stats_.cookies_sent;
  ++stats_.segments_out;
  sink_->Emit(out);
}

// Whoever sends no cookies checks none: a flood of ACKs costs no hash then.
std::optional<CookieOptions> TcpEngine::CookieOf(const Listener& listener,
                                                 const Segment& segment) const {
  constexpr uint8_t kLooked = kTcpSyn | kTcpRst | kTcpAck;
  if ((segment.flags & kLooked) != kTcpAck || listener.cookie_at == kNever ||
      now_ - listener.cookie_at > 2 * kSynCookiePeriod) {
    return std::nullopt;
  }
  std::optional<uint32_t> echo;
  if (segment.options.timestamps.has_value()) echo = segment.options.timestamps->echo;
  return CheckSynCookie(segment.flow, config_.secret, segment.seq - 1u, segment.ack - 1u, echo,
                        now_);
}

// An ACK for a listener (RFC 9293 section 3.10.7.2, second step): the end of a handshake that the
// cookie has kept, or a reset.
void TcpEngine::InputCookie(Listener& listener, const Segment& segment) {
  const std::optional<CookieOptions> options = CookieOf(listener, segment);
  if (!options.has_value()) {
    const bool awaited = listener.cookie_at != kNever;
    Drop(segment, awaited ? TcpDrop::kBadCookie : TcpDrop::kNoConnection);
    SendResetFor(segment);
    return;
  }
  if (AcceptQueueFull(listener)) {
    Drop(segment, TcpDrop::kAcceptQueueFull);
    return;
  }
  TcpConnection* connection = NewHalfOpen(listener, segment, segment.ack - 1u);
  if (connection == nullptr) {
    Drop(segment, TcpDrop::kNoSlot);
    return;
  }
  ++stats_.cookies_valid;
  // The peer's SYN once more, as far as it is known.
  Segment syn{.flow = segment.flow, .seq = segment.seq - 1u, .window = segment.window};
  syn.flags = options->ecn ? kTcpSyn | kTcpEce | kTcpCwr : kTcpSyn;
  syn.options.mss = options->mss_bytes;
  syn.options.window_scale = options->window_scale;
  syn.options.sack_permitted = options->sack_permitted;
  if (options->timestamps) syn.options.timestamps = segment.options.timestamps;
  TakeSynOptions(*connection, syn);
  connection->sender.OnSynSentUnseen(now_);
  // What our SYN-ACK acknowledged: timestamps of later segments are not echoed before this one's.
  connection->last_ack_sent = segment.seq;
  connection->receiver.Extend(CookieWindow(segment.flow, listener.bound, *listener.options));
  LedgerOf(*connection).OnFirstPromise(connection->receiver.outstanding_bytes());
  connection->first_promise = true;
  InputSynchronized(*connection, segment);
}

}  // namespace devmem
