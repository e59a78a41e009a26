// SPDX-License-Identifier: Apache-2.0
//
// Opening a connection from either side: RFC 9293 sections 3.5 and 3.10.7.2-3, options by RFC 7323
// (scaling, timestamps) and RFC 2018 (SACK), initial sequence numbers by RFC 6528.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "netmem/tcp/engine.h"

namespace devmem {

// The largest payload that fits a packet of the device's MTU, headers without options (RFC 6691).
uint16_t TcpEngine::OurMss(const FlowKey& flow) const {
  const uint32_t headers = flow.local.is_v4() ? 20 + 20 : 40 + 20;
  return static_cast<uint16_t>(config_.mtu_bytes - headers);
}

void TcpEngine::InputListen(Listener& listener, const Segment& segment) {
  if (segment.has(kTcpAck) && !segment.has(kTcpRst)) {
    InputCookie(listener, segment);
    return;
  }
  // A SYN that also ends what it begins is nobody's; as Linux.
  if (!segment.has(kTcpSyn) || segment.has(kTcpRst) || segment.has(kTcpFin)) {
    Drop(segment, TcpDrop::kNoConnection);
    return;
  }
  // Payload on a SYN may wait for the connection; we let the peer send it again instead.
  if (segment.payload_bytes != 0 || segment.cut) ++stats_.drop(TcpDrop::kSynPayload);
  store_->Put(segment.pieces);
  const bool full = HalfOpenFull(listener);
  if (full && config_.syn_cookies == SynCookies::kOff) {
    ++stats_.drop(TcpDrop::kBacklogFull);
    return;
  }
  // Who cannot be accepted need not try now; its SYN comes again.
  if (AcceptQueueFull(listener)) {
    ++stats_.drop(TcpDrop::kAcceptQueueFull);
    return;
  }
  if (full || config_.syn_cookies == SynCookies::kAlways) {
    SendCookie(listener, segment);
    return;
  }
  TcpConnection* connection =
      NewHalfOpen(listener, segment, InitialSequence(segment.flow, config_.secret, now_));
  if (connection == nullptr) {
    ++stats_.drop(TcpDrop::kNoSlot);
    return;
  }
  TakeSynOptions(*connection, segment);
  SendSyn(*connection);
}

// What the peer's SYN says: for LISTEN, SYN-SENT and the simultaneous open.
void TcpEngine::TakeSynOptions(TcpConnection& connection, const Segment& segment) {
  const TcpOptions& options = segment.options;
  connection.irs = segment.seq;
  connection.window_scaling = options.window_scale.has_value();
  connection.snd_scale =
      connection.window_scaling ? std::min(*options.window_scale, kWindowScaleMax) : uint8_t{0};
  connection.rcv_scale =
      connection.window_scaling ? WindowScaleOf(*connection.options) : uint8_t{0};
  connection.sack_permitted = options.sack_permitted && config_.sack;
  connection.sender.set_sack(connection.sack_permitted);
  if (options.timestamps.has_value() && config_.timestamps) {
    connection.timestamps.Enable(options.timestamps->value, now_);
  }
  connection.timestamps.offset = TimestampOffset(connection.flow, config_.secret);
  AgreeOnEcn(connection, segment);
  const uint32_t peer_mss =
      std::max<uint32_t>(options.mss.value_or(kMssBytesDefault), kMssBytesMin);
  uint32_t mss = std::min<uint32_t>(peer_mss, MssOf(connection.flow, *connection.options));
  if (connection.timestamps.enabled) mss -= 12;  // RFC 6691: options come out of the segment.
  connection.sender.OnHandshake(segment, mss, connection.snd_scale);
  connection.ack_policy = AckPolicy(MssOf(connection.flow, *connection.options), config_.ack);
  // An active SYN has promised a window already: the right edge does not move left of it.
  connection.receiver.Start(segment.seq, connection.receiver.outstanding_bytes());
  connection.announced_edge = connection.receiver.right_edge();
  connection.sizing_seq = connection.receiver.rcv_nxt();
  connection.sizing_ms = static_cast<uint32_t>(now_ / kMillisecond);
}

// RFC 3168 section 6.1.1. In SYN-SENT `enabled` says that our last SYN asked for it.
void TcpEngine::AgreeOnEcn(TcpConnection& connection, const Segment& segment) {
  if (connection.state != TcpState::kSynSent) {
    connection.ecn.enabled =
        config_.ecn != EcnMode::kOff && EcnState::IsOffer(segment.flags, segment.ecn);
    return;
  }
  const bool agrees = segment.has(kTcpAck) ? EcnState::IsAgreement(segment.flags)
                                           : EcnState::IsOffer(segment.flags, segment.ecn);
  connection.ecn.enabled = connection.ecn.enabled && agrees;
}

void TcpEngine::SendSyn(TcpConnection& connection) {
  OutSegment out;
  out.seq = connection.sender.iss();
  out.flags = kTcpSyn;
  out.options.mss = MssOf(connection.flow, *connection.options);
  const bool answer = connection.state == TcpState::kSynReceived;
  if (!answer || connection.window_scaling)
    out.options.window_scale = WindowScaleOf(*connection.options);
  out.options.sack_permitted = answer ? connection.sack_permitted : config_.sack;
  if (answer ? connection.timestamps.enabled : config_.timestamps) {
    out.options.timestamps = TcpTimestamps{connection.timestamps.TsValue(now_),
                                           answer ? connection.timestamps.ts_recent : 0};
  }
  if (answer) {
    out.flags |= kTcpAck;
    if (connection.ecn.enabled) out.flags |= kTcpEce;
  } else {
    // A SYN that was lost goes again without: some paths drop the offer (section 6.1.1.1).
    connection.ecn.enabled = config_.ecn == EcnMode::kOffer && connection.retries == 0;
    if (connection.ecn.enabled) out.flags |= kTcpEce | kTcpCwr;
  }
  connection.sender.OnSynSent(now_);
  EmitSegment(connection, out);
  SetTimer(connection, kTimerRetransmit, now_ + connection.sender.rto().rto());
}

absl::StatusOr<ConnectionId> TcpEngine::Connect(const FlowKey& flow, bool bound, Nanos now,
                                                const SocketOptionsRef& options) {
  now_ = now;
  if (InUse(flow)) {
    return absl::AlreadyExistsError(
        absl::StrCat("a connection from ", flow.local.ToString(), " port ", flow.local_port, " to ",
                     flow.remote.ToString(), " port ", flow.remote_port,
                     " is open already; leave the local port to be chosen, or choose another"));
  }
  if (bound && !device_ledger_.has_value()) return NotBound();
  TcpConnection* connection = NewConnection(flow, bound);
  if (connection == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all ", config_.connections_max, " connection slots are in use; close some"));
  }
  ++stats_.opened_active;
  connection->attached = true;
  TakeOptions(*connection, options);
  connection->state = TcpState::kSynSent;
  connection->timestamps.offset = TimestampOffset(flow, config_.secret);
  connection->sender.Start(InitialSequence(flow, config_.secret, now),
                           *SendBuffer::Create(config_.send_buffer_bytes));
  SendSyn(*connection);
  return IdOf(*connection);
}

// RFC 9293 section 3.10.7.3, in its order: ACK, RST, SYN.
void TcpEngine::InputSynSent(TcpConnection& connection, const Segment& segment) {
  const bool acks = segment.has(kTcpAck);
  if (acks &&
      (segment.ack <= connection.sender.iss() || segment.ack > connection.sender.snd_max())) {
    Drop(segment, TcpDrop::kBadAck);
    if (!segment.has(kTcpRst)) SendResetFor(segment);
    return;
  }
  if (segment.payload_bytes != 0) ++stats_.drop(TcpDrop::kSynPayload);
  store_->Put(segment.pieces);
  if (segment.has(kTcpRst)) {
    // RFC 5961 section 3.2: only a reset that acknowledges our SYN is believed.
    if (!acks) {
      ++stats_.drop(TcpDrop::kBadReset);
      return;
    }
    ++stats_.resets_in;
    CloseNow(connection, CloseReason::kRefused);
    return;
  }
  if (!segment.has(kTcpSyn)) {
    ++stats_.drop(TcpDrop::kNoAckFlag);
    return;
  }
  TakeSynOptions(connection, segment);
  connection.last_heard_at = now_;
  connection.state = AfterSyn(TcpState::kSynSent, acks);
  if (!acks) {
    SendSyn(connection);  // Both sides opened at once: section 3.5, figure 7.
    return;
  }
  (void)connection.sender.OnAck(segment, connection.snd_scale, connection.timestamps, now_);
  connection.retries = 0;
  RestartRetransmit(connection);
  connection.ack_now = true;
  MarkFlush(connection);
  MarkChanged(connection);
}

// The ACK of our SYN arrived in SYN-RECEIVED.
void TcpEngine::OnSynAcked(TcpConnection& connection) {
  connection.state = AfterOurSynAcked(connection.state);
  // The user has closed meanwhile: its FIN waited for this (section 3.10.4).
  if (connection.sender.fin_queued()) connection.state = AfterClose(connection.state);
  MarkChanged(connection);
  if (connection.backlog_place == BacklogPlace::kHalfOpen) PutInAcceptQueue(connection);
}

// Every slot is in use: the connection that has been in TIME-WAIT the longest gives its own up.
bool TcpEngine::RecycleTimeWait() {
  while (time_wait_count_ != 0) {
    const ConnectionId id = time_wait_ring_[time_wait_first_];
    time_wait_first_ = (time_wait_first_ + 1) % config_.connections_max;
    --time_wait_count_;
    if (!IsListedInTimeWait(id)) continue;
    CloseNow(at(id.index), CloseReason::kNone);
    return true;
  }
  return false;
}

}  // namespace devmem
