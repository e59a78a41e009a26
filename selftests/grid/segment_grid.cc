// SPDX-License-Identifier: Apache-2.0
//
// The path, the sender, and both receivers.

#include "selftests/grid/segment_grid.h"

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_format.h"
#include "netmem/nic/impairment.h"
#include "selftests/testing/engine_harness.h"

namespace devmem::testing {
namespace {

// Ethernet, IP and TCP headers, preamble and gap: what each segment costs the line.
constexpr uint64_t kLineOverheadBytes = 14 + 40 + 12 + 24;
constexpr uint16_t kPort = 5201;
constexpr Nanos kTimeMax = 3600 * kSecond;

// Whoever takes segments and answers.
class Receiving {
 public:
  virtual ~Receiving() = default;
  virtual void Input(const SeenSegment& seen, uint16_t segment_count, Nanos now) = 0;
  // The end of a batch: acknowledgments leave.
  virtual void Flush(Nanos now, std::vector<SeenSegment>* out) = 0;
  virtual Nanos NextDeadline() const = 0;
  virtual uint64_t bytes() const = 0;
  virtual std::string fault() const { return ""; }
};

Segment ToSegment(const SeenSegment& seen, uint16_t segment_count) {
  Segment segment{.seq = seen.seq, .ack = seen.ack, .flags = seen.flags, .window = seen.window};
  segment.flow = {seen.flow.remote, seen.flow.local, seen.flow.remote_port, seen.flow.local_port};
  segment.options = seen.options;
  segment.segment_count = segment_count;
  return segment;
}

// Our engine, with 1 MiB of device memory. Its user takes and returns everything at once.
class EngineReceiver final : public Receiving {
 public:
  explicit EngineReceiver(const SegmentCell& cell) : harness_(Setup(cell)) {
    listener_ = *harness_.engine->Listen(IpAddress::FromV4(0), kPort, 8, true);
  }
  void Input(const SeenSegment& seen, uint16_t segment_count, Nanos now) override {
    harness_.now = now;
    Segment segment = ToSegment(seen, segment_count);
    const uint32_t bytes = static_cast<uint32_t>(seen.payload.size());
    if (bytes != 0) harness_.AddPayload(&segment, bytes, true);
    harness_.Input(segment);
  }
  void Flush(Nanos now, std::vector<SeenSegment>* out) override {
    harness_.now = now;
    harness_.engine->Expire(now);
    Use();
    harness_.Flush();
    for (SeenSegment& seen : harness_.sink.segments) out->push_back(std::move(seen));
    harness_.sink.segments.clear();
  }
  Nanos NextDeadline() const override { return harness_.engine->NextDeadline(); }
  uint64_t bytes() const override { return bytes_; }
  std::string fault() const override { return harness_.CheckAccount(false); }

 private:
  static HarnessSetup Setup(const SegmentCell& cell) {
    HarnessSetup setup;
    setup.tcp.mtu_bytes = cell.mtu_bytes;
    setup.piece_count = 2 * 256 * kPiecesPerNetIov;  // As for a binding of 1 MiB.
    return setup;
  }
  void Use() {
    if (id_.generation == 0) {
      const std::optional<ConnectionId> id = harness_.engine->Accept(listener_);
      if (!id.has_value()) return;
      id_ = *id;
      next_ = harness_.engine->Find(id_)->irs + 1;
    }
    TcpConnection* connection = harness_.engine->Find(id_);
    bytes_ += harness_.Read(*connection, &next_);
    harness_.Release();
  }

  EngineHarness harness_;
  ListenerId listener_ = 0;
  ConnectionId id_;
  SeqNum next_;
  uint64_t bytes_ = 0;
};

// All the memory there is, and no work: what has arrived is a set of ranges, the window is the
// largest there can be. When and what it acknowledges is decided as in the engine: with the
// same policy, duplicates told of (RFC 2883), timers on the same ticks.
class IdealReceiver final : public Receiving {
 public:
  explicit IdealReceiver(const SegmentCell& cell) : policy_(cell.mtu_bytes - 40) {
    mss_ = static_cast<uint16_t>(cell.mtu_bytes - 40);
  }
  void Input(const SeenSegment& seen, uint16_t segment_count, Nanos now) override {
    if ((seen.flags & kTcpSyn) != 0) return OnSyn(seen);
    if (seen.payload.empty()) return;
    const SeqNum end = seen.seq + static_cast<uint32_t>(seen.payload.size());
    const SeqNum before = nxt_;
    // RFC 7323 section 5.3, R1 to R3: an older timestamp is not acceptable, and what lies wholly
    // left of the window is not, nor does it tell the time.
    const bool older = seen.options.timestamps->value - timestamp_ > UINT32_MAX / 2;
    if (older || end <= nxt_) {
      if (seen.seq < nxt_) sack_.OnDuplicate(seen.seq, std::min(end, nxt_));
      ack_now_ = true;
      return;
    }
    if (seen.seq <= acked_) timestamp_ = seen.options.timestamps->value;
    if (const SeqRange twice = PartTwice(seen.seq, end); twice.left < twice.right) {
      sack_.OnDuplicate(twice.left, twice.right);
      policy_.OnDuplicate();
    }
    if (seen.seq > nxt_) policy_.OnOutOfOrder();
    Add(std::max(seen.seq, nxt_), end);
    if (nxt_ != before) {
      policy_.OnInOrder(nxt_.value() - before.value(), segment_count);
      if (nxt_ != end || !ranges_.empty()) policy_.OnHoleFilled();
    }
    if (policy_.batch_full()) answers_.push_back(Acknowledgment(now));
  }
  void Flush(Nanos now, std::vector<SeenSegment>* out) override {
    out->insert(out->end(), answers_.begin(), answers_.end());
    answers_.clear();
    const AckDecision decision = answers_syn_ || ack_now_ ? AckDecision::kNow : policy_.Decide();
    if (decision == AckDecision::kDelayed && delayed_ == kNever) {
      delayed_ = (now + kDelayedAckMax + kClockTick - 1) / kClockTick * kClockTick;
    }
    if (decision != AckDecision::kNow && now < delayed_) return;
    out->push_back(Acknowledgment(now));
  }
  Nanos NextDeadline() const override { return delayed_; }
  uint64_t bytes() const override { return nxt_.value() - first_.value(); }

 private:
  SeenSegment Acknowledgment(Nanos now) {
    SeenSegment ack;
    ack.flow = flow_;
    ack.seq = answers_syn_ ? SeqNum(1000) : SeqNum(1001);
    ack.ack = acked_ = nxt_;
    ack.flags = static_cast<uint8_t>(kTcpAck | (answers_syn_ ? kTcpSyn : 0));
    ack.window = 65535;
    ack.options.timestamps = TcpTimestamps{static_cast<uint32_t>(now / kMillisecond), timestamp_};
    if (answers_syn_) {
      ack.options.mss = mss_;
      ack.options.window_scale = kWindowScaleMax;
      ack.options.sack_permitted = true;
    } else {
      ack.options.sack_block_count =
          static_cast<uint8_t>(sack_.Fill(std::span(ack.options.sack_blocks).first(3)));
    }
    answers_syn_ = false;
    ack_now_ = false;
    policy_.OnAckSent();
    delayed_ = kNever;
    return ack;
  }
  void OnSyn(const SeenSegment& seen) {
    flow_ = {seen.flow.remote, seen.flow.local, seen.flow.remote_port, seen.flow.local_port};
    first_ = nxt_ = acked_ = seen.seq + 1;
    timestamp_ = seen.options.timestamps->value;
    answers_syn_ = true;
  }
  // The first part of it that is here already (RFC 2883 section 4.2.3).
  SeqRange PartTwice(SeqNum from, SeqNum to) const {
    if (from < nxt_) return {from, nxt_};
    SeqRange first{to, to};
    for (const SeqRange& range : ranges_) {
      const SeqRange part{std::max(from, range.left), std::min(to, range.right)};
      if (part.left < part.right && part.left < first.left) first = part;
    }
    return first;
  }
  // Ranges in order, none of which touch.
  void Add(SeqNum from, SeqNum to) {
    SeqRange all{from, to};
    std::vector<SeqRange> kept;
    for (const SeqRange& range : ranges_) {
      if (range.right < all.left || all.right < range.left) {
        kept.push_back(range);
      } else {
        all = {std::min(all.left, range.left), std::max(all.right, range.right)};
      }
    }
    ranges_ = std::move(kept);
    if (all.left <= nxt_) {
      nxt_ = all.right;
      sack_.OnAdvance(nxt_);
      return;
    }
    ranges_.push_back(all);
    sack_.OnOutOfOrder(all.left, all.right);
  }

  AckPolicy policy_;
  SackGenerator sack_;
  FlowKey flow_;
  uint16_t mss_ = 0;
  SeqNum first_, nxt_, acked_;
  uint32_t timestamp_ = 0;
  bool answers_syn_ = false;
  bool ack_now_ = false;
  std::vector<SeenSegment> answers_;
  Nanos delayed_ = kNever;
  std::vector<SeqRange> ranges_;
};

class Transfer {
 public:
  Transfer(const SegmentCell& cell, uint64_t seed, Receiving* receiver)
      : cell_(cell),
        sender_(SenderSetup(cell)),
        receiver_(receiver),
        to_receiver_(Path(cell, cell.loss_per_mille / 1000.0), seed, 0),
        to_sender_(
            Path(cell, std::max(cell.loss_per_mille / 1000.0, cell.ack_loss_percent / 100.0)), seed,
            1) {}

  SegmentOutcome Run() {
    const FlowKey flow{IpAddress::FromV4(1), IpAddress::FromV4(2), 40000, kPort};
    id_ = *sender_.engine->Connect(flow, false, now_);
    Turn();
    Nanos begin = 0;
    while (now_ < kTimeMax && receiver_->bytes() < cell_.stream_bytes()) {
      if (begin == 0 && Established()) begin = now_;
      Next();
      Turn();
    }
    SegmentOutcome outcome;
    outcome.complete = receiver_->bytes() == cell_.stream_bytes();
    outcome.fault = receiver_->fault();
    outcome.packets = packets_;
    const double seconds = static_cast<double>(now_ - begin) / kSecond;
    outcome.mbit_per_s = cell_.stream_bytes() * 8 / 1e6 / seconds;
    return outcome;
  }

 private:
  struct Packet {
    bool to_receiver = false;
    SeenSegment seen;
    uint16_t segment_count = 1;
  };

  static HarnessSetup SenderSetup(const SegmentCell& cell) {
    HarnessSetup setup;
    setup.tcp.mtu_bytes = cell.mtu_bytes;
    setup.tcp.gso_bytes_max = cell.gso ? 60'000 : 0;
    setup.tcp.send_buffer_bytes = 1u << 20;
    return setup;
  }
  static ImpairmentConfig Path(const SegmentCell& cell, double loss) {
    ImpairmentConfig path;
    path.bandwidth_bits_per_s = 1'000'000'000;
    path.delay_ns = kMillisecond;
    path.loss = loss;
    path.reorder = cell.reorder_percent / 100.0;
    path.duplication = cell.duplication_percent / 100.0;
    return path;
  }

  bool Established() { return sender_.engine->Find(id_)->state == TcpState::kEstablished; }

  // Both sides say what they have to say.
  void Turn() {
    TcpConnection* connection = sender_.engine->Find(id_);
    while (queued_ < cell_.stream_bytes()) {
      const size_t want = std::min<size_t>(cell_.stream_bytes() - queued_, chunk_.size());
      const size_t taken = sender_.engine->Send(*connection, std::span(chunk_).first(want), now_);
      queued_ += static_cast<uint32_t>(taken);
      if (taken < want) break;
    }
    sender_.now = now_;
    sender_.Flush();
    for (const SeenSegment& seen : sender_.sink.segments) Cut(seen);
    sender_.sink.segments.clear();
    answers_.clear();
    receiver_->Flush(now_, &answers_);
    for (const SeenSegment& seen : answers_) Put(to_sender_, Packet{false, seen, 1}, 1);
  }

  // The sender's NIC: segments of the cell's size, or a super-frame that stands for many of them.
  void Cut(const SeenSegment& seen) {
    const size_t bytes = seen.payload.size();
    const size_t segment = cell_.segment_bytes;
    if (bytes <= segment || cell_.gso) {
      const size_t count = std::clamp<size_t>((bytes + segment - 1) / segment, 1, 65535);
      return Put(to_receiver_, Packet{true, seen, static_cast<uint16_t>(count)}, count);
    }
    for (size_t at = 0; at < bytes; at += segment) {
      Packet packet{true, seen, 1};
      const size_t end = std::min(bytes, at + segment);
      packet.seen.payload.assign(seen.payload.begin() + static_cast<ptrdiff_t>(at),
                                 seen.payload.begin() + static_cast<ptrdiff_t>(end));
      packet.seen.seq += static_cast<uint32_t>(at);
      Put(to_receiver_, std::move(packet), 1);
    }
  }

  void Put(Impairment& path, Packet packet, uint64_t frames) {
    ++packets_;
    const FrameFate fate =
        path.Next(now_, packet.seen.payload.size() + frames * kLineOverheadBytes);
    // The handshake is not what is measured.
    if ((packet.seen.flags & kTcpSyn) != 0) {
      in_flight_.emplace(now_ + kMillisecond, std::move(packet));
      return;
    }
    if (fate.duplicated) in_flight_.emplace(fate.duplicate_due, packet);
    if (!fate.lost) in_flight_.emplace(fate.due, std::move(packet));
  }

  void Next() {
    Nanos next = std::min(sender_.engine->NextDeadline(), receiver_->NextDeadline());
    if (!in_flight_.empty()) next = std::min(next, in_flight_.begin()->first);
    now_ = std::max(now_, next == kNever ? kTimeMax : next);
    sender_.now = now_;
    sender_.engine->Expire(now_);
    while (!in_flight_.empty() && in_flight_.begin()->first <= now_) {
      const Packet packet = std::move(in_flight_.begin()->second);
      in_flight_.erase(in_flight_.begin());
      if (packet.to_receiver) {
        receiver_->Input(packet.seen, packet.segment_count, now_);
      } else {
        sender_.Input(ToSegment(packet.seen, 1));
      }
    }
  }

  const SegmentCell& cell_;
  EngineHarness sender_;
  Receiving* const receiver_;
  Impairment to_receiver_, to_sender_;
  ConnectionId id_;
  std::multimap<Nanos, Packet> in_flight_;
  std::vector<SeenSegment> answers_;
  const std::vector<uint8_t> chunk_ = std::vector<uint8_t>(16 << 10);
  uint32_t queued_ = 0;
  uint64_t packets_ = 0;
  Nanos now_ = kSecond;
};

}  // namespace

std::string SegmentCell::Text() const {
  return absl::StrFormat(
      "mtu %s, segment %4d, loss %3.1f %%, reorder %2d %%, duplication %d %%, ACK loss %2d %%",
      gso ? " gso" : absl::StrFormat("%4d", mtu_bytes), segment_bytes, loss_per_mille / 10.0,
      reorder_percent, duplication_percent, ack_loss_percent);
}

uint32_t SegmentCell::stream_bytes() const {
  if (gso && segment_bytes > 1) return 1u << 20;
  return segment_bytes == 1 ? 1'000 : segment_bytes == 100 ? 60'000 : 1u << 20;
}

SegmentOutcome TransferToEngine(const SegmentCell& cell, uint64_t seed) {
  EngineReceiver receiver(cell);
  return Transfer(cell, seed, &receiver).Run();
}

SegmentOutcome TransferToIdealReceiver(const SegmentCell& cell, uint64_t seed) {
  IdealReceiver receiver(cell);
  return Transfer(cell, seed, &receiver).Run();
}

}  // namespace devmem::testing
