// SPDX-License-Identifier: Apache-2.0
//
// The user's calls of RFC 9293 section 3.10 (OPEN, SEND, RECEIVE, CLOSE, ABORT), and the slots and
// lists that connections live in.

#include "netmem/tcp/engine.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

absl::Status CheckConfig(const TcpEngine::Config& config) {
  if (config.connections_max == 0 || config.connections_max > kConnectionsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "engine of ", config.connections_max, " connections; choose from 1 to ", kConnectionsMax));
  }
  if (config.mtu_bytes < kMssBytesMin + 40 || config.mtu_bytes > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "MTU is ", config.mtu_bytes, " bytes; choose from ", kMssBytesMin + 40, " to 65535"));
  }
  // Right-sizing doubles it: nothing stays nothing, and the peer would never send.
  if (config.window_bytes_start == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the window starts with 0 bytes; choose from 1 to ", config.window_bytes_max, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TcpEngine::NotBound() {
  return absl::FailedPreconditionError(
      "the queue has no binding for payload; bind a region to it first, or open the connection "
      "without a binding");
}

absl::StatusOr<std::unique_ptr<TcpEngine>> TcpEngine::Create(const Config& config,
                                                             PieceStore* store, SegmentSink* sink) {
  absl::Status checked = CheckConfig(config);
  if (!checked.ok()) return checked;
  absl::StatusOr<uint8_t> scale = WindowScaleFor(config.window_bytes_max);
  if (!scale.ok()) return scale.status();
  absl::StatusOr<SendBuffer> send_buffer = SendBuffer::Create(config.send_buffer_bytes);
  if (!send_buffer.ok()) return send_buffer.status();
  absl::StatusOr<ConnectionTable> table =
      ConnectionTable::Create(config.connections_max, config.secret.low ^ config.secret.high);
  if (!table.ok()) return table.status();
  absl::StatusOr<TimerWheel> wheel = TimerWheel::Create(config.connections_max);
  if (!wheel.ok()) return wheel.status();
  const uint64_t host_bytes = store->host().capacity_bytes();
  const uint64_t host_reserve = std::min<uint64_t>(kFramePayloadBytesMax, host_bytes / 2);
  absl::StatusOr<WindowLedger> ledger =
      WindowLedger::Create(WindowLedger::Config{host_bytes, host_reserve, config.window_bytes_max});
  if (!ledger.ok()) return ledger.status();
  std::unique_ptr<TcpEngine> engine(
      new TcpEngine(config, store, sink, *std::move(table), *std::move(wheel), *std::move(ledger)));
  engine->window_scale_ = *scale;
  engine->host_reserve_bytes_ = host_reserve;
  if (!engine->slots_.ok() || !engine->ranges_.ok() || !engine->flush_list_.ok() ||
      !engine->changed_list_.ok() || !engine->credit_ring_.ok() || !engine->time_wait_ring_.ok()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no address space for ", config.connections_max, " connections; choose fewer"));
  }
  return engine;
}

TcpEngine::TcpEngine(const Config& config, PieceStore* store, SegmentSink* sink,
                     ConnectionTable table, TimerWheel wheel, WindowLedger host_ledger)
    : config_(config),
      store_(store),
      sink_(sink),
      table_(std::move(table)),
      wheel_(std::move(wheel)),
      ranges_(std::max(config.connections_max, 2 * kReassemblyRangesMax)),
      host_ledger_(std::move(host_ledger)),
      slots_(config.connections_max),
      flush_list_(config.connections_max),
      changed_list_(config.connections_max),
      credit_ring_(config.connections_max),
      time_wait_ring_(config.connections_max) {}

TcpEngine::~TcpEngine() {
  for (uint32_t index = 0; index < fresh_; ++index) {
    if (slots_[index].constructed != 0) Free(at(index));
  }
}

absl::Status TcpEngine::AttachDevice(uint64_t reserve_bytes) {
  absl::StatusOr<WindowLedger> ledger = WindowLedger::Create(WindowLedger::Config{
      store_->device()->capacity_bytes(), reserve_bytes, config_.window_bytes_max});
  if (!ledger.ok()) return ledger.status();
  device_ledger_ = *std::move(ledger);
  device_reserve_bytes_ = reserve_bytes;
  return absl::OkStatus();
}

// What lies behind a hole can never be read, now that nothing fills the hole (RFC 2018 section 8
// lets us give up what was only reported by SACK). What nobody has accepted would never be taken.
void TcpEngine::StopDevice(Nanos now) {
  now_ = now;
  CloseListenersOfDevice(now);
  for (uint32_t index = 0; index < fresh_; ++index) {
    if (slots_[index].constructed == 0 || !at(index).bound) continue;
    while (at(index).receiver.GiveUpFarthest(MemoryOf())) {
    }
  }
}

void TcpEngine::DetachDevice(Nanos now, CloseReason reason) {
  now_ = now;
  CloseListenersOfDevice(now);
  for (uint32_t index = 0; index < fresh_; ++index) {
    if (slots_[index].constructed == 0 || !at(index).bound) continue;
    TcpConnection& connection = at(index);
    if (connection.state != TcpState::kClosed) {
      SendReset(connection);
      CloseNow(connection, reason);
    }
    if (slots_[index].constructed == 0) continue;
    // One that had closed in order loses what was not read, and must not look as if it had ended.
    const bool loses =
        reason == CloseReason::kMemoryGone || !connection.receiver.in_order().empty();
    if (loses && connection.close_reason == CloseReason::kNone) connection.close_reason = reason;
    // What the user has not taken goes with the binding; the handle stays, to say why.
    connection.receiver.Clear(MemoryOf());
    connection.bound = false;
  }
  device_ledger_.reset();
}

uint64_t TcpEngine::promised_bytes(bool bound) const {
  if (!bound) return host_ledger_.promised_bytes();
  return device_ledger_.has_value() ? device_ledger_->promised_bytes() : 0;
}

TcpConnection* TcpEngine::NewConnection(const FlowKey& flow, bool bound) {
  if (free_plus_one_ == 0 && fresh_ == slots_.size() && !RecycleTimeWait()) return nullptr;
  uint32_t index = 0;
  if (free_plus_one_ != 0) {
    index = free_plus_one_ - 1;
    free_plus_one_ = slots_[index].next_free_plus_one;
  } else {
    index = fresh_++;
  }
  if (!table_.Insert(table_.Hash(flow), index)) {
    slots_[index].next_free_plus_one = free_plus_one_;
    free_plus_one_ = index + 1;
    return nullptr;
  }
  Slot& slot = slots_[index];
  TcpConnection* connection = new (slot.memory.data()) TcpConnection();
  slot.constructed = 1;
  connection->generation = ++slot.generation;
  connection->flow = flow;
  connection->bound = bound;
  connection->last_heard_at = now_;
  ++in_use_;
  connection->window_target_bytes =
      static_cast<uint32_t>(std::min(config_.window_bytes_start, config_.window_bytes_max));
  return connection;
}

void TcpEngine::Free(TcpConnection& connection) {
  const uint32_t index = IndexOf(connection);
  LeaveLedger(connection);
  LeaveListener(connection);
  connection.receiver.Clear(MemoryOf());
  memory_came_back_ = true;
  wheel_.Cancel(index);
  EraseFromTable(connection);
  connection.~TcpConnection();
  Slot& slot = slots_[index];
  slot.constructed = 0;
  slot.next_free_plus_one = free_plus_one_;
  free_plus_one_ = index + 1;
  --in_use_;
  if (last_index_ == index) last_index_ = kNoConnectionIndex;
}

// A closed connection that its user still holds has left the table already, and a new one may have
// its 4-tuple.
void TcpEngine::EraseFromTable(const TcpConnection& connection) {
  (void)table_.Erase(table_.Hash(connection.flow), IndexOf(connection));
}

void TcpEngine::Mark(const TcpConnection& connection, uint8_t flag) {
  const uint32_t index = IndexOf(connection);
  uint8_t& flags = slots_[index].list_flags;
  if ((flags & flag) != 0) return;
  flags = static_cast<uint8_t>(flags | flag);
  if (flag == kInFlush) {
    flush_list_[flush_count_++] = index;
  } else if (flag == kInChanged) {
    changed_list_[changed_count_++] = index;
  } else {
    const uint32_t end = credit_first_ + credit_count_++;
    credit_ring_[end < config_.connections_max ? end : end - config_.connections_max] = index;
  }
}

void TcpEngine::VisitConnections(absl::FunctionRef<void(const TcpConnection&)> visit) const {
  for (uint32_t index = 0; index < fresh_; ++index) {
    if (slots_[index].constructed != 0) visit(slots_[index].connection());
  }
}

void TcpEngine::ClearChanged() {
  for (uint32_t i = 0; i < changed_count_; ++i) {
    uint8_t& flags = slots_[changed_list_[i]].list_flags;
    flags = static_cast<uint8_t>(flags & ~kInChanged);
  }
  changed_count_ = 0;
}

bool TcpEngine::Knows(const Segment& segment) const {
  if (last_index_ != kNoConnectionIndex && slots_[last_index_].connection().flow == segment.flow) {
    return true;
  }
  if (InUse(segment.flow)) return true;
  const Listener* listener = ListenerFor(segment.flow);
  if (listener == nullptr) return false;
  return segment.has(kTcpSyn) || CookieOf(*listener, segment).has_value();
}

const TcpConnection* TcpEngine::Lookup(const FlowKey& flow) const {
  const uint32_t index = IndexOf(flow);
  return index == ConnectionTable::kNone ? nullptr : &slots_[index].connection();
}

TcpConnection* TcpEngine::Find(ConnectionId id) {
  if (id.index >= fresh_ || slots_[id.index].constructed == 0) return nullptr;
  TcpConnection& connection = at(id.index);
  return connection.generation == id.generation && connection.attached ? &connection : nullptr;
}

bool TcpEngine::TakePiece(TcpConnection& connection, Piece* piece) {
  if (connection.receiver.in_order().empty()) return false;
  *piece = store_->PopFront(connection.receiver.in_order());
  return true;
}

// Cheap while the peer has a window to go on with, half of what it may have or two largest frames:
// the next acknowledgment tells the rest.
void TcpEngine::OnConsumed(TcpConnection& connection, Nanos now) {
  if (connection.ack_policy.waits_for_answers()) [[unlikely]] {
    if (connection.receiver.in_order().empty()) connection.ack_policy.OnAllRead();
    MarkFlush(connection);
  }
  if (!CanReceiveData(connection.state)) return;
  const uint64_t outstanding = connection.receiver.outstanding_bytes();
  const uint64_t unread = connection.receiver.in_order().bytes();
  const uint32_t consumed = connection.receiver.rcv_nxt().value() - connection.sizing_seq.value() -
                            static_cast<uint32_t>(unread);
  if (consumed >= connection.window_target_bytes / 2) {
    now_ = now;
    RightSize(connection, consumed);
  }
  if (outstanding >= kWindowQuietBytes) [[likely]]
    return;
  const uint64_t most = WindowBytesMax(*connection.options);
  const uint64_t room = most > unread ? most - unread : 0;
  if (outstanding * 2 > room) return;
  now_ = now;
  OpenWindow(connection);
}

size_t TcpEngine::Send(TcpConnection& connection, std::span<const uint8_t> bytes, Nanos now) {
  if (connection.sender.fin_queued() || connection.state == TcpState::kClosed) return 0;
  now_ = now;
  const size_t queued = connection.sender.Queue(bytes);
  MarkFlush(connection);
  return queued;
}

void TcpEngine::Shutdown(TcpConnection& connection, Nanos now) {
  now_ = now;
  if (HasSentFin(connection.state) || connection.state == TcpState::kClosed) return;
  if (connection.state == TcpState::kSynReceived) {
    connection.sender.QueueFin();  // Both sides open at once; OnSynAcked() goes on.
    return;
  }
  connection.state = AfterClose(connection.state);
  if (connection.state == TcpState::kClosed) {
    CloseNow(connection, CloseReason::kNone);  // SYN-SENT: nothing was agreed on yet.
    return;
  }
  connection.sender.QueueFin();
  MarkFlush(connection);
}

void TcpEngine::Abort(TcpConnection& connection, Nanos now) {
  now_ = now;
  if (connection.state == TcpState::kClosed) return;
  SendReset(connection);
  connection.receiver.Clear(MemoryOf());
  CloseNow(connection, CloseReason::kAborted);
}

void TcpEngine::Detach(TcpConnection& connection, Nanos now) {
  now_ = now;
  const bool unread = !connection.receiver.in_order().empty();
  if (unread && connection.state != TcpState::kClosed) {
    Abort(connection, now);
  } else {
    Shutdown(connection, now);
  }
  connection.attached = false;
  if (connection.state == TcpState::kClosed) {
    Free(connection);
    return;
  }
  if (connection.state == TcpState::kTimeWait) ListInTimeWait(connection);
  if (connection.state == TcpState::kFinWait2) {
    SetTimer(connection, kTimerLifetime, now + connection.options->fin_wait_2_max);
  }
}

void TcpEngine::SetKeepalive(TcpConnection& connection, Nanos idle, Nanos now) {
  SocketOptions options = *connection.options;
  options.keepalive_idle = idle;
  SetOptions(connection, SocketOptionsRef(options), now);
}

}  // namespace devmem
