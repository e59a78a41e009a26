// SPDX-License-Identifier: Apache-2.0
//
// The model's books, and what it checks after each operation. What it checks on the wire is in
// walk_model_wire.cc.

#include "selftests/model/walk_model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace devmem::testing {
namespace {

// No timer waits longer (RFC 6298 (2.5)), nobody gives up on a silent peer earlier (RFC 9293
// section 3.8.3, R2).
constexpr Nanos kWaitMax = kRtoMax + kSecond;
constexpr Nanos kPatienceMin = 100 * kSecond;

uint32_t NumbersBetween(SeqNum from, SeqNum to) { return to.value() - from.value(); }

}  // namespace

WalkModel::Watch& WalkModel::WatchOf(uint32_t side, const TcpConnection& connection) {
  Watch& watch = watches_[side][sides_[side]->engine->IdOf(connection).index];
  if (watch.generation != connection.generation) {
    watch = Watch();
    watch.generation = connection.generation;
    watch.slot = WalkSlotOf(side, connection.flow);
    watch.quiet_since = watch.heard_at = now_;
  }
  if (!watch.started && connection.state != TcpState::kSynSent &&
      connection.state != TcpState::kClosed) {
    watch.started = true;
    watch.irs = connection.irs;
    watch.read_nxt = watch.rcv_nxt = connection.irs + 1;
    watch.right_edge = connection.receiver.right_edge();
    watch.snd_una = connection.sender.snd_una();
  }
  return watch;
}

const WalkModel::Watch* WalkModel::FindWatch(uint32_t side, const TcpConnection& connection) const {
  const auto found = watches_[side].find(sides_[side]->engine->IdOf(connection).index);
  if (found == watches_[side].end()) return nullptr;
  return found->second.generation == connection.generation ? &found->second : nullptr;
}

// A closed one that its user still holds does not count.
const TcpConnection* WalkModel::Live(uint32_t side, const FlowKey& flow) const {
  const TcpConnection* live = nullptr;
  sides_[side]->engine->VisitConnections([&](const TcpConnection& connection) {
    if (connection.flow == flow && connection.state != TcpState::kClosed) live = &connection;
  });
  return live;
}

const TcpConnection* WalkModel::PeerOf(uint32_t side, const TcpConnection& connection) const {
  const TcpConnection* peer = nullptr;
  const FlowKey& flow = connection.flow;
  const FlowKey other{flow.remote, flow.local, flow.remote_port, flow.local_port};
  sides_[1 - side]->engine->VisitConnections([&](const TcpConnection& candidate) {
    if (!(candidate.flow == other) || candidate.state == TcpState::kSynSent) return;
    if (candidate.irs == connection.sender.iss() && connection.irs == candidate.sender.iss()) {
      peer = &candidate;
    }
  });
  return peer;
}

WalkModel::Stream& WalkModel::StreamOf(uint32_t side, const TcpConnection& connection) {
  const uint32_t slot = WalkSlotOf(side, connection.flow);
  return streams_[StampOf(side, slot, connection.sender.iss())];
}

uint32_t WalkModel::PeerStamp(uint32_t side, const TcpConnection& connection) const {
  return StampOf(1 - side, WalkSlotOf(side, connection.flow), connection.irs);
}

SeqNum* WalkModel::ReadNext(uint32_t side, const TcpConnection& connection) {
  return &WatchOf(side, connection).read_nxt;
}

void WalkModel::OnQueued(uint32_t side, const TcpConnection& connection, size_t bytes) {
  StreamOf(side, connection).queued += bytes;
}

void WalkModel::OnEnded(uint32_t side, const TcpConnection& connection) {
  StreamOf(side, connection).ended = true;
}

void WalkModel::OnRead(uint32_t side, const TcpConnection& connection, uint64_t bytes) {
  WatchOf(side, connection).read += bytes;
  progress_ += bytes;
}

void WalkModel::OnCleared(uint32_t side, const TcpConnection& connection) {
  WatchOf(side, connection).cleared = true;
}

void WalkModel::OnDelivered(uint32_t side, const FlowKey& flow, Nanos now) {
  if (const TcpConnection* live = Live(side, flow)) WatchOf(side, *live).heard_at = now;
}

bool WalkModel::Complete(uint32_t side, const TcpConnection& connection) const {
  const TcpConnection* peer = PeerOf(side, connection);
  const Watch* watch = FindWatch(side, connection);
  if (peer == nullptr || watch == nullptr || !watch->started || watch->cleared) return true;
  if (peer->state == TcpState::kClosed || connection.state == TcpState::kClosed) return true;
  const auto stream = streams_.find(PeerStamp(side, connection));
  return stream != streams_.end() && stream->second.queued == watch->read;
}

void WalkModel::Check(Nanos now, std::array<bool, 2> flushed, bool audit) {
  now_ = now;
  for (uint32_t side = 0; side < 2 && ok(); ++side) {
    EngineHarness& h = *sides_[side];
    // One that is gone has a reason; its user, if it had any, would have kept it.
    std::erase_if(watches_[side], [&](const auto& entry) {
      bool gone = true;
      h.engine->VisitConnections([&](const TcpConnection& connection) {
        gone &= connection.generation != entry.second.generation ||
                h.engine->IdOf(connection).index != entry.first;
      });
      if (gone) Excuse(entry.second.slot);
      return gone;
    });
    h.engine->VisitConnections([&](const TcpConnection& connection) {
      if (ok()) CheckConnection(side, connection, flushed[side]);
    });
    // A cookie remembers nothing: data that overtakes the last ACK of its handshake finds a
    // listener that has never heard of it.
    if (h.engine->stats().cookies_sent.value() != 0) ExcuseAll();
    const uint64_t given_up = h.engine->stats().drop(TcpDrop::kSackedGivenUp);
    if (given_up != given_up_[side] && !starving_[side]) {
      Fail("sack: out-of-order data was given up though memory and entries were there");
    }
    given_up_[side] = given_up;
    if (!h.fault.empty()) Fail("stream: " + h.fault);
    for (const bool bound : {false, true}) {
      if (h.engine->promised_bytes(bound) != h.OutstandingBytes(bound)) {
        Fail("account: the ledger does not know what is promised");
      }
    }
    if (!audit) continue;
    const std::string wrong = h.CheckAccount(false);
    if (!wrong.empty()) Fail("account: " + wrong);
  }
}

void WalkModel::CheckConnection(uint32_t side, const TcpConnection& connection, bool flushed) {
  Watch& watch = WatchOf(side, connection);
  if (connection.state != watch.state) {
    ++progress_;
    if (connection.state == TcpState::kClosed) CheckEnd(connection, watch);
    if (connection.state == TcpState::kTimeWait) Excuse(watch.slot);
    watch.state = connection.state;
  }
  if (flushed && connection.state != TcpState::kClosed) CheckTimers(side, connection);
  if (!watch.started) return;
  CheckEdges(connection, watch);
  if (!watch.cleared) CheckStream(side, connection, watch);
  CheckSacked(side, connection, watch);
}

void WalkModel::CheckStream(uint32_t side, const TcpConnection& connection, const Watch& watch) {
  const uint64_t there = connection.receiver.in_order().bytes();
  const uint64_t taken_up = NumbersBetween(watch.irs + 1, watch.rcv_nxt);
  const bool fin = HasReceivedFin(connection.state);
  const bool may_be_fin = fin || connection.state == TcpState::kClosed;
  const uint64_t bytes = watch.read + there;
  if (bytes + (fin ? 1 : 0) != taken_up && !(may_be_fin && bytes + 1 == taken_up)) {
    return Fail(absl::StrCat("lost: ", taken_up, " numbers lie below rcv_nxt, and ", watch.read,
                             " bytes read with ", there, " to be read are ", bytes));
  }
  const auto found = streams_.find(PeerStamp(side, connection));
  if (found == streams_.end()) return Fail("stream: nobody ever sent this connection's SYN");
  const Stream& stream = found->second;
  if (bytes > stream.queued) {
    return Fail(absl::StrCat("stream: ", bytes, " bytes came of ", stream.queued));
  }
  if (fin && (!stream.ended || bytes != stream.queued)) {
    return Fail(absl::StrCat("stream: it ended after ", bytes, " of ", stream.queued, " bytes"));
  }
  const TcpConnection* peer = PeerOf(side, connection);
  if (peer == nullptr || peer->state == TcpState::kSynReceived) return;
  if (peer->sender.snd_una() > connection.receiver.rcv_nxt()) {
    Fail("lost: the peer was told that more arrived than did");
  }
}

void WalkModel::CheckEdges(const TcpConnection& connection, Watch& watch) {
  const Receiver& receiver = connection.receiver;
  const Sender& sender = connection.sender;
  if (receiver.rcv_nxt() < watch.rcv_nxt) Fail("edge: rcv_nxt moved left");
  if (receiver.right_edge() < watch.right_edge) Fail("edge: the right edge moved left");
  if (receiver.right_edge() < receiver.rcv_nxt()) Fail("edge: rcv_nxt passed the right edge");
  if (sender.snd_una() < watch.snd_una) Fail("edge: snd_una moved left");
  if (sender.snd_una() > sender.snd_nxt() || sender.snd_nxt() > sender.snd_max()) {
    Fail("edge: the sender's numbers are out of order");
  }
  if (sender.snd_una() != watch.snd_una || sender.all_acked()) watch.quiet_since = now_;
  progress_ += NumbersBetween(watch.rcv_nxt, receiver.rcv_nxt()) +
               NumbersBetween(watch.snd_una, sender.snd_una());
  watch.rcv_nxt = receiver.rcv_nxt();
  watch.right_edge = receiver.right_edge();
  watch.snd_una = sender.snd_una();
}

bool WalkModel::Holds(const TcpEngine& engine, const TcpConnection& connection, SeqRange range) {
  // A FIN behind a hole is held like a byte, by itself or at the end of a range.
  if (connection.receiver.FinWaitsAt(range.right - 1u)) range.right = range.right - 1u;
  bool holds = range.right <= connection.receiver.rcv_nxt() || range.empty();
  const SeqNum left = std::max(range.left, connection.receiver.rcv_nxt());
  connection.receiver.reassembly().VisitRanges(
      engine.ranges(), [&](SeqNum from, SeqNum to) { holds |= from <= left && range.right <= to; });
  return holds;
}

// RFC 2018 section 8 allows to forget what was SACKed; we do so for want of memory only.
void WalkModel::CheckSacked(uint32_t side, const TcpConnection& connection, Watch& watch) {
  if (connection.state == TcpState::kClosed) return;
  const uint64_t given_up = sides_[side]->engine->stats().drop(TcpDrop::kSackedGivenUp);
  for (size_t i = watch.sacked.size(); i-- > 0;) {
    const SeqRange range = watch.sacked[i];
    const bool passed = range.right <= connection.receiver.rcv_nxt();
    const bool held = passed || Holds(*sides_[side]->engine, connection, range);
    if (!held && given_up == given_up_[side]) {
      Fail(absl::StrCat("sack: ", range.left.value(), "-", range.right.value(),
                        " was SACKed and is not held any more"));
    }
    if (passed || !held) watch.sacked.erase(watch.sacked.begin() + static_cast<ptrdiff_t>(i));
  }
}

void WalkModel::CheckTimers(uint32_t side, const TcpConnection& connection) {
  const Sender& sender = connection.sender;
  const auto needs = [&](TimerKind kind, bool needed, absl::string_view why) {
    if (!needed) return;
    if (connection.deadline(kind) == kNever) Fail(absl::StrCat("timer: none runs for ", why));
    if (connection.deadline(kind) > now_ + kWaitMax) {
      Fail(absl::StrCat("timer: too late for ", why));
    }
  };
  needs(kTimerRetransmit, !sender.all_acked(), "what is unacknowledged");
  needs(kTimerPersist, sender.NeedsPersist(), "a shut window");
  needs(kTimerLifetime, connection.state == TcpState::kTimeWait, "TIME-WAIT");
  needs(kTimerLifetime, connection.state == TcpState::kFinWait2 && !connection.attached,
        "FIN-WAIT-2 without a user");
  if (IsSynchronized(connection.state)) {
    const AckDecision decision = connection.ack_policy.Decide();
    needs(kTimerDelayedAck, decision == AckDecision::kDelayed, "a delayed ACK");
    if (decision == AckDecision::kNow || connection.ack_now) {
      Fail("timer: an acknowledgment was due and did not leave");
    }
  }
  const Nanos first = connection.first_deadline();
  if (first == kNever) return;
  if (sides_[side]->engine->NextDeadline() > std::max(first, now_) + kClockTick) {
    Fail("timer: the wheel does not know of a deadline");
  }
}

void WalkModel::CheckEnd(const TcpConnection& connection, const Watch& watch) {
  const bool waited = now_ - watch.quiet_since >= kPatienceMin ||
                      now_ - watch.heard_at >= kPatienceMin || !connection.attached;
  if (connection.close_reason == CloseReason::kTimedOut && !waited) {
    Fail("reset: a connection gave up too early");
  }
  const bool early = connection.close_reason != CloseReason::kNone &&
                     connection.close_reason != CloseReason::kTimedOut;
  if (early && !excused_[watch.slot]) {
    Fail(absl::StrCat("reset: a connection ended without a cause: ",
                      ToString(connection.close_reason)));
  }
  Excuse(watch.slot);
}

}  // namespace devmem::testing
