// SPDX-License-Identifier: Apache-2.0
//
// The end of a connection: FIN both ways and every closing state (RFC 9293 section 3.6), TIME-WAIT
// with the cautions of RFC 1337 and the early reuse of RFC 6191, and giving up.

#include "netmem/tcp/engine.h"

namespace devmem {

// rcv_nxt moved over the peer's FIN.
void TcpEngine::OnPeerFin(TcpConnection& connection) {
  connection.state = AfterFin(connection.state);
  // Who has asked for nothing waits for no answer, nor who was told to be silent.
  connection.ack_policy.OnFin(connection.state == TcpState::kCloseWait &&
                              connection.payload_bytes_received != 0 &&
                              connection.receiver.outstanding_bytes() != 0);
  LeaveLedger(connection);  // Nothing more will come: what it was promised is free for others.
  MarkChanged(connection);
  MarkFlush(connection);
  if (connection.state == TcpState::kTimeWait) EnterTimeWait(connection);
}

void TcpEngine::OnOurFinAcked(TcpConnection& connection) {
  connection.state = AfterOurFinAcked(connection.state);
  MarkChanged(connection);
  switch (connection.state) {
    case TcpState::kTimeWait: EnterTimeWait(connection); return;
    case TcpState::kClosed: CloseNow(connection, CloseReason::kNone); return;
    case TcpState::kFinWait2:
      // Nobody waits for the peer's data: it gets as long as TIME-WAIT to close its side.
      if (!connection.attached)
        SetTimer(connection, kTimerLifetime, now_ + connection.options->fin_wait_2_max);
      return;
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck: return;
  }
}

void TcpEngine::EnterTimeWait(TcpConnection& connection) {
  StopTimer(connection, kTimerRetransmit);
  StopTimer(connection, kTimerPersist);
  StopTimer(connection, kTimerKeepalive);
  connection.sender.ReleaseStream();
  RestartTimeWait(connection);
  if (!connection.attached) ListInTimeWait(connection);
}

// Starts the 2 MSL, or starts them again for a FIN that came again.
void TcpEngine::RestartTimeWait(TcpConnection& connection) {
  SetTimer(connection, kTimerLifetime, now_ + kTimeWaitPeriod);
}

// From now on the connection may be recycled. Each is listed once, so a ring of as many entries as
// there are slots is full only if some of them are stale, and those are the oldest as a rule.
void TcpEngine::ListInTimeWait(const TcpConnection& connection) {
  while (time_wait_count_ != 0 && (time_wait_count_ == config_.connections_max ||
                                   !IsListedInTimeWait(time_wait_ring_[time_wait_first_]))) {
    time_wait_first_ = (time_wait_first_ + 1) % config_.connections_max;
    --time_wait_count_;
  }
  time_wait_ring_[(time_wait_first_ + time_wait_count_) % config_.connections_max] =
      IdOf(connection);
  ++time_wait_count_;
}

// Whether an entry of the ring still names what was listed.
bool TcpEngine::IsListedInTimeWait(ConnectionId id) const {
  const Slot& slot = slots_[id.index];
  return slot.constructed != 0 && slot.generation == id.generation &&
         slot.connection().state == TcpState::kTimeWait;
}

// A SYN for a 4-tuple in TIME-WAIT opens a new connection when it cannot be an old duplicate: its
// timestamp is newer (RFC 6191 section 2), or its sequence number is (RFC 9293 section 3.6.1).
bool TcpEngine::MayReuseTimeWait(const TcpConnection& connection, const Segment& segment) const {
  if (!segment.has(kTcpSyn) || segment.has(kTcpAck) || segment.has(kTcpRst)) return false;
  if (ListenerFor(segment.flow) == nullptr) return false;
  if (connection.timestamps.enabled && segment.options.timestamps.has_value()) {
    const uint32_t age = segment.options.timestamps->value - connection.timestamps.ts_recent;
    if (age != 0) return age < uint32_t{1} << 31;
  }
  return segment.seq > connection.receiver.rcv_nxt();
}

void TcpEngine::LeaveLedger(TcpConnection& connection) {
  LeaveHalfOpen(connection);
  EndFirstPromise(connection);
  if (!connection.joined_ledger) return;
  connection.joined_ledger = false;
  LedgerOf(connection).Leave(connection.receiver.outstanding_bytes());
}

// To CLOSED, for whatever reason. What was received in order stays readable until the user
// detaches; what lies behind a hole never will be.
void TcpEngine::CloseNow(TcpConnection& connection, CloseReason reason) {
  const bool taken = connection.attached;
  connection.state = TcpState::kClosed;
  connection.close_reason = reason;
  ++stats_.closed;
  LeaveLedger(connection);
  MarkChanged(connection);
  if (!taken) {
    Free(connection);
    return;
  }
  connection.receiver.ClearOutOfOrder(MemoryOf());
  memory_came_back_ = true;
  for (uint8_t kind = 0; kind < kTimerKinds; ++kind) {
    StopTimer(connection, static_cast<TimerKind>(kind));
  }
  // The 4-tuple is free for a new connection at once.
  EraseFromTable(connection);
  last_index_ = kNoConnectionIndex;
}

void TcpEngine::CloseAll(CloseReason reason, Nanos now) {
  now_ = now;
  for (uint32_t index = 0; index < fresh_; ++index) {
    if (slots_[index].constructed == 0 || at(index).state == TcpState::kClosed) continue;
    CloseNow(at(index), reason);
  }
}

}  // namespace devmem
