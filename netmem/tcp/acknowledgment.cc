// SPDX-License-Identifier: Apache-2.0
//
// What our segments say of what was received: the bare acknowledgment, which is sent most, and the
// windows, that is, what a handshake promises, how far a connection's right edge moves then, and
// who is told when memory comes back (RFC 9293 section 3.8.6; the ledger decides how far all
// windows together may reach).

#include <algorithm>
#include <array>

#include "netmem/tcp/engine.h"

namespace devmem {
namespace {

// The most that a SYN can say and a scaled segment, too, which may say it before the SYN goes
// again.
uint64_t FirstWindowMax(uint8_t scale) { return uint64_t{65535} >> scale << scale; }

uint64_t WholeSegments(uint64_t window_bytes, uint32_t mss_bytes) {
  return window_bytes > mss_bytes ? window_bytes - window_bytes % mss_bytes : window_bytes;
}

// What new promises may count on: the pool's memory, and nothing while hardly an entry for pieces
// is left. Without entries a segment finds no place in the emptiest pool.
uint64_t CreditBytes(const PagePool& pool, const PieceArray& array) {
  const uint32_t entries_min = std::clamp(array.capacity() / 8, 1u, kPostedRunsMax);
  return array.free_count() >= entries_min ? pool.writable_bytes() : 0;
}

}  // namespace

// Moves the right edge as far as it may go. Data that waits to be read counts against the
// connection's cap, so that one user who does not read cannot fill the pool.
inline void TcpEngine::Grant(TcpConnection& connection, bool memory_may_have_come) {
  const uint64_t unread = connection.receiver.in_order().bytes();
  const uint64_t cap = WindowBytesMax(*connection.options);
  // Rounding adds to the promise with every acknowledgment, however small its segment. A peer that
  // lives on that, while the user does not read, gets the bound once more, and not the pool.
  if (unread >= 2 * cap) [[unlikely]]
    connection.receiver.set_full(true);  // See ReceivePayload().
  const uint64_t wanted =
      std::min<uint64_t>(connection.window_target_bytes, cap > unread ? cap - unread : 0);
  const uint32_t outstanding = connection.receiver.outstanding_bytes();
  const uint32_t mss = OurMss(connection.flow);
  WindowLedger& ledger = LedgerOf(connection);
  // A window that is all but full is left alone, so that not every acknowledgment asks the ledger.
  const uint64_t within_reach =
      memory_may_have_come
          ? wanted
          : ledger.WithinReach(wanted, connection.receiver.reassembly().bytes(), mss);
  if (outstanding + within_reach / kWindowStepDivisor > within_reach) [[likely]] {
    connection.receiver.Extend(ledger.Keep(outstanding, connection.rcv_scale));
  } else {
    AskLedger(connection, wanted, mss);
  }
}

void TcpEngine::AskLedger(TcpConnection& connection, uint64_t wanted, uint32_t mss) {
  WindowLedger::GrantRequest request;
  request.outstanding_bytes = connection.receiver.outstanding_bytes();
  request.ahead_bytes = connection.receiver.reassembly().bytes();
  request.wanted_bytes = wanted;
  request.available_bytes = CreditBytes(PoolOf(connection), store_->array());
  request.mss_bytes = mss;
  request.window_scale = connection.rcv_scale;
  const WindowLedger::GrantResult grant = LedgerOf(connection).Grant(request);
  connection.receiver.Extend(grant.window_bytes);
  // Who has a window left asks again as it is used up; only who has not even its floor needs to be
  // woken.
  if (grant.limited && grant.window_bytes < uint64_t{kWindowFloorSegments} * mss) {
    Mark(connection, kInCredit);
  }
}

// All of the promise: what a peer was told once is never taken back (RFC 9293 section 3.8.6). Where
// the memory for it went to others, its bytes are dropped unacknowledged, and come again.
inline uint16_t TcpEngine::WindowToAnnounce(TcpConnection& connection, bool with_syn) {
  // In a segment with SYN, and in no other, the window is unscaled (RFC 7323 section 2.2).
  const uint8_t scale = with_syn ? uint8_t{0} : connection.rcv_scale;
  if (CanReceiveData(connection.state) || !IsSynchronized(connection.state)) {
    if (connection.joined_ledger) [[likely]] {
      Grant(connection, false);
    } else {
      GrantFirst(connection, scale);
    }
  }
  const uint16_t field = EncodeWindow(connection.receiver.outstanding_bytes(), scale);
  connection.announced_edge = connection.receiver.rcv_nxt() + DecodeWindow(field, scale);
  return field;
}

inline void TcpEngine::OnAckLeaves(TcpConnection& connection) {
  connection.last_ack_sent = connection.receiver.rcv_nxt();
  connection.ack_policy.OnAckSent();
  connection.ack_now = false;
  StopTimer(connection, kTimerDelayedAck);
}

// What EmitSegment() does, for a segment without data.
void TcpEngine::SendAck(TcpConnection& connection) {
  AckFields ack;
  ack.flow = &connection.flow;
  ack.flags = connection.ecn.echo ? uint8_t{kTcpAck | kTcpEce} : kTcpAck;
  // Not snd_nxt, which falls back after a timeout: the peer would take the segment for an old one.
  ack.seq = connection.sender.snd_max();
  ack.window = WindowToAnnounce(connection, false);
  ack.ack = connection.receiver.rcv_nxt();
  ack.has_timestamps = connection.timestamps.enabled;
  if (ack.has_timestamps) {
    ack.timestamps.value = connection.timestamps.TsValue(now_);
    ack.timestamps.echo = connection.timestamps.ts_recent;
  }
  std::array<SackBlock, kSackBlocksMax> blocks;
  SackGenerator& sack = connection.receiver.sack();
  if (!sack.empty() && connection.sack_permitted) [[unlikely]] {
    const size_t room = ack.has_timestamps ? kSackBlocksMax - 1 : kSackBlocksMax;
    ack.sacks = std::span(blocks).first(sack.Fill(std::span(blocks).first(room)));
  }
  if (ack.window == 0) [[unlikely]]
    ++stats_.zero_windows_sent;
  OnAckLeaves(connection);
  ++stats_.acks_out;
  ++stats_.segments_out;
  sink_->EmitAck(ack);
}

// Fills in what every segment of a connection carries. Any segment with ACK acknowledges
// everything.
void TcpEngine::EmitSegment(TcpConnection& connection, OutSegment& out) {
  out.flow = connection.flow;
  out.window = WindowToAnnounce(connection, (out.flags & kTcpSyn) != 0);
  if (out.window == 0) ++stats_.zero_windows_sent;
  SackGenerator& sack = connection.receiver.sack();
  const bool tells_holes = connection.sack_permitted && !sack.empty();
  const size_t room = tells_holes ? SackRoom(connection, out.payload.size()) : 0;
  if ((out.flags & kTcpAck) != 0) {
    out.ack = connection.receiver.rcv_nxt();
    connection.last_ack_sent = out.ack;
    // What finds no room beside payload is told by a bare ACK, if one is due.
    if (!tells_holes || room != 0) OnAckLeaves(connection);
  }
  if ((out.flags & kTcpSyn) == 0) {
    if (connection.ecn.echo) out.flags |= kTcpEce;
    if (connection.timestamps.enabled) {
      out.options.timestamps =
          TcpTimestamps{connection.timestamps.TsValue(now_), connection.timestamps.ts_recent};
    }
    if (room != 0) {
      out.options.sack_block_count =
          static_cast<uint8_t>(sack.Fill(std::span(out.options.sack_blocks).first(room)));
    }
  }
  ++stats_.segments_out;
  sink_->Emit(out);
}

// How many SACK blocks fit into a segment: every ACK tells of the holes (RFC 2018 section 4),
// beside payload as far as that leaves room.
size_t TcpEngine::SackRoom(const TcpConnection& connection, size_t payload_bytes) const {
  constexpr size_t kHeadBytes = 4, kBlockBytes = 8;
  const size_t most = connection.timestamps.enabled ? kSackBlocksMax - 1 : kSackBlocksMax;
  if (payload_bytes == 0) return most;
  const size_t left = connection.sender.mss_bytes() -
                      std::min<size_t>(payload_bytes, connection.sender.mss_bytes());
  return left < kHeadBytes ? 0 : std::min(most, (left - kHeadBytes) / kBlockBytes);
}

// What a connection may be promised until its first payload: what a SYN can say, or the memory that
// there is, and as in Linux whole segments.
uint64_t TcpEngine::FirstWindow(const FlowKey& flow, bool bound, bool timestamps,
                                const SocketOptions& options) const {
  const PagePool& pool = bound ? *store_->device() : store_->host();
  const WindowLedger& ledger = bound ? *device_ledger_ : host_ledger_;
  const uint32_t mss = MssOf(flow, options) - (timestamps ? 12u : 0u);
  const uint64_t available = CreditBytes(pool, store_->array());
  const uint64_t window_bytes = ledger.FirstPromise(
      std::min({WindowBytesMax(options), FirstWindowMax(WindowScaleOf(options)), available}),
      available, mss);
  return WholeSegments(window_bytes, mss);
}

// What a SYN cookie says. Nothing remembers it until the connection comes, which then has promised
// it: so it depends on nothing that may change until then, neither on the memory that is free nor
// on options that the peer's ACK may lack. While there is memory it is no more than FirstWindow()
// would say, which the same SYN may be answered with when it comes again.
uint64_t TcpEngine::CookieWindow(const FlowKey& flow, bool bound,
                                 const SocketOptions& options) const {
  const PagePool& pool = bound ? *store_->device() : store_->host();
  const uint32_t mss = MssOf(flow, options);
  const uint64_t window_bytes = std::min(
      {WindowBytesMax(options), FirstWindowMax(WindowScaleOf(options)), pool.capacity_bytes()});
  return std::min(WholeSegments(window_bytes, mss), WholeSegments(window_bytes, mss - 12));
}

// The first promise. It is made once, and then only rounded up to the unit, since it was made
// unscaled: its right edge does not move left.
void TcpEngine::GrantFirst(TcpConnection& connection, uint8_t scale) {
  const uint64_t unit = uint64_t{1} << scale;
  const uint64_t outstanding = connection.receiver.outstanding_bytes();
  // A promise of nothing, for want of memory, is made again: without it the peer would probe a shut
  // window for ever. A SYN goes before the options are agreed on; Linux reckons without them.
  const bool made = connection.first_promise && outstanding != 0;
  const uint64_t first = made ? 0
                              : FirstWindow(connection.flow, connection.bound,
                                            connection.timestamps.enabled, *connection.options);
  const uint64_t window_bytes = (std::max(first, outstanding) + unit - 1) & ~(unit - 1);
  connection.receiver.Extend(window_bytes);
  LedgerOf(connection).OnFirstPromise(window_bytes - (connection.first_promise ? outstanding : 0));
  connection.first_promise = true;
  if (window_bytes == 0) Mark(connection, kInCredit);
}

// Dynamic right-sizing: a user who takes half of the target within a round may be kept from more by
// the window alone, so it doubles; one who needs several rounds for it is not. A peer in slow start
// doubles what it sends each round trip, and this keeps a window ahead of it.
void TcpEngine::RightSize(TcpConnection& connection, uint32_t consumed_bytes) {
  constexpr uint32_t kRoundMs = static_cast<uint32_t>(kRightSizingRound / kMillisecond);
  const uint32_t now_ms = static_cast<uint32_t>(now_ / kMillisecond);
  const uint32_t elapsed_ms = now_ms - connection.sizing_ms;
  const uint64_t start = std::min(config_.window_bytes_start, config_.window_bytes_max);
  uint64_t target = connection.window_target_bytes;
  if (elapsed_ms <= kRoundMs) {
    target = std::min(2 * target, WindowBytesMax(*connection.options));
  } else if (elapsed_ms >= 4 * kRoundMs) {
    target = std::max(target / 2, start);
  }
  connection.window_target_bytes = static_cast<uint32_t>(target);
  connection.sizing_seq += consumed_bytes;
  connection.sizing_ms = now_ms;
}

// Extends the window (by no small step: the ledger sees to the receiver's part of RFC 9293 section
// 3.8.6.2.2), and announces it once it is twice what the peer has heard of: true. Anything less
// goes with the next acknowledgment.
bool TcpEngine::OpenWindow(TcpConnection& connection) {
  // Until its first payload a connection has its first promise, which may have been of nothing.
  if (connection.joined_ledger) {
    Grant(connection, true);
  } else {
    GrantFirst(connection, connection.rcv_scale);
  }
  const Receiver& receiver = connection.receiver;
  const SeqNum heard = std::max(connection.announced_edge, receiver.rcv_nxt());
  const uint32_t known = heard.value() - receiver.rcv_nxt().value();
  const uint64_t outstanding = receiver.outstanding_bytes();
  if (outstanding <= known || outstanding < 2 * uint64_t{known}) return false;
  connection.ack_policy.OnWindowOpened();
  MarkFlush(connection);
  return true;
}

// Memory came back while connections waited for credit. Those that still want more go to the end of
// the ring. However many wait, one call looks at a bounded number; the next turn goes on while that
// helps anybody.
void TcpEngine::GrantWaiting(Nanos now) {
  now_ = now;
  bool helped = false;
  const uint32_t turn = std::min(credit_count_, kCreditGrantsPerCall);
  for (uint32_t i = 0; i < turn; ++i) {
    Slot& slot = slots_[credit_ring_[credit_first_]];
    credit_first_ = credit_first_ + 1 < config_.connections_max ? credit_first_ + 1 : 0;
    --credit_count_;
    slot.list_flags = static_cast<uint8_t>(slot.list_flags & ~kInCredit);
    if (slot.constructed == 0 || !CanReceiveData(slot.connection().state)) continue;
    helped |= OpenWindow(slot.connection());
  }
  credit_goes_on_ = helped && credit_count_ != 0;
}

}  // namespace devmem
