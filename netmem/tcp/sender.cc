// SPDX-License-Identifier: Apache-2.0
//
// The sending half of a connection.

#include "netmem/tcp/sender.h"

#include <algorithm>
#include <utility>

namespace devmem {

void Sender::Start(SeqNum iss, SendBuffer buffer) {
  iss_ = iss;
  snd_una_ = snd_nxt_ = snd_max_ = iss;
  capacity_bytes_ = static_cast<uint32_t>(buffer.capacity());
}

void Sender::OnHandshake(const Segment& segment, uint32_t mss_bytes, uint8_t peer_window_scale) {
  // The window of a segment with SYN is never scaled (RFC 7323 section 2.2).
  const uint8_t scale = segment.has(kTcpSyn) ? uint8_t{0} : peer_window_scale;
  mss_bytes_ = mss_bytes;
  if (stream_ != nullptr) stream_->congestion = FirstWindow();
  window_.Start(segment.seq, segment.ack, DecodeWindow(segment.window, scale));
}

NewReno Sender::FirstWindow() const {
  NewReno window(mss_bytes_);
  if (syn_lost_) window.OnSynLost();
  return window;
}

size_t Sender::Queue(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return 0;
  if (stream_ == nullptr) {
    stream_ = std::make_unique<Stream>(*SendBuffer::Create(capacity_bytes_), FirstWindow());
    stream_->small_end = snd_una_;
  }
  return stream_->buffer.Write(bytes);
}

void Sender::EndRecord() {
  if (stream_ == nullptr || stream_->buffer.empty()) return;
  const SeqNum end = snd_una_ + (syn_acked_ ? 0u : 1u) + end_offset();
  std::vector<SeqNum>& ends = stream_->record_ends;
  if (ends.empty() || ends.back() < end) ends.push_back(end);
}

// How far it is from `offset` to the end of its record; UINT32_MAX: it has none yet.
uint32_t Sender::RecordBytes(uint32_t offset) const {
  if (stream_ == nullptr) return UINT32_MAX;
  const SeqNum at = snd_una_ + offset;
  for (const SeqNum end : stream_->record_ends) {
    if (end > at) return end.value() - at.value();
  }
  return UINT32_MAX;
}

void Sender::OnSynSent(Nanos now) {
  timing_ = snd_nxt_ == iss_;  // Karn: a SYN that goes again is not timed.
  snd_nxt_ = iss_ + 1;
  snd_max_ = snd_nxt_;
  timed_seq_ = snd_nxt_;
  timed_at_ = now;
}

AckOutcome Sender::OnAck(const Segment& segment, uint8_t peer_window_scale,
                         const TimestampState& timestamps, Nanos now) {
  AckOutcome outcome;
  if (segment.ack < snd_una_) return outcome;  // Old: says nothing new.
  const bool was_shut = window_.bytes == 0;
  const uint32_t window_before = window_.bytes;
  if (!segment.has(kTcpSyn)) {
    window_.Update(segment.seq, segment.ack, DecodeWindow(segment.window, peer_window_scale));
  }
  outcome.window_opened = was_shut && window_.bytes != 0;
  if (segment.ack == snd_una_) {
    if (stream_ != nullptr) OnNothingNew(segment, window_.bytes != window_before, &outcome);
    // A path that was silent behind a shut window has lost nothing: no back-off is left over. What
    // the peer had no memory for goes again at once.
    if (outcome.window_opened) {
      outcome.retransmit |= !all_acked() && rto_.backoff_count() != 0;
      outcome.restart_timer |= outcome.retransmit;
      rto_.OnProgress();
    }
    return outcome;
  }
  uint32_t acked = segment.ack.value() - snd_una_.value();
  SampleRtt(segment, timestamps, now);
  outcome.advanced = true;
  outcome.restart_timer = true;
  if (!syn_acked_) {
    syn_acked_ = true;
    --acked;
    if (syn_lost_) rto_.OnSynRetransmitted();
  }
  const uint32_t data = std::min(acked, end_offset());
  outcome.fin_acked = acked > data;
  if (outcome.fin_acked) fin_acked_ = true;
  snd_una_ = segment.ack;
  if (snd_una_.value() - iss_.value() > kWindowBytesMax) acked_much_ = true;
  if (snd_nxt_ < snd_una_) snd_nxt_ = snd_una_;
  if (data == 0) return outcome;
  stream_->buffer.Consume(data);
  if (stream_->small_end < snd_una_) stream_->small_end = snd_una_;
  const uint32_t told =
      sack_ ? stream_->sacked.SackedBelow(snd_una_) : stream_->congestion.duplicate_bytes();
  stream_->sacked.OnAck(snd_una_);
  std::erase_if(stream_->record_ends, [this](SeqNum end) { return end <= snd_una_; });
  const AckResult result = stream_->congestion.OnAck(snd_una_, data, flight_bytes(), told);
  outcome.retransmit = result == AckResult::kPartial || result == AckResult::kFirstPartial;
  outcome.restart_timer = result != AckResult::kPartial;
  if (sack_) TakeSacks(segment, &outcome);
  if (outcome.sacked_bytes != 0 && OnSackNews()) outcome.retransmit = outcome.reduced = true;
  if (OnAckOfProbe(segment, outcome, data)) outcome.reduced = true;
  return outcome;
}

// An ACK of what was acknowledged before may be a duplicate that tells of a loss. With SACK it is
// one if its blocks say something new (RFC 6675 section 2). Without, if it has no data, no SYN or
// FIN, and does not move the window (RFC 5681 section 2); one whose data found no memory is none
// either.
void Sender::OnNothingNew(const Segment& segment, bool window_moved, AckOutcome* outcome) {
  if (sack_) {
    TakeSacks(segment, outcome);
    if (outcome->sacked_bytes == 0) {
      const bool duplicate = segment.length() == 0 && !window_moved;
      if (duplicate || outcome->duplicate_reported) {
        outcome->reduced = OnAckOfProbe(segment, *outcome, 0);
      }
      return;
    }
    outcome->retransmit = OnSackNews();
  } else {
    if (segment.length() != 0 || segment.cut || window_moved || all_acked()) return;
    outcome->retransmit =
        stream_->congestion.OnDuplicateAck(
            snd_una_, snd_max_, snd_max_.value() - snd_una_.value()) == DupAckResult::kRetransmit;
  }
  outcome->reduced = outcome->retransmit;
}

// RFC 6298 section 3 and RFC 7323 section 4: with timestamps every ACK of new data is a sample,
// also after a retransmission; without them one segment at a time is clocked, and only if sent
// once.
void Sender::SampleRtt(const Segment& segment, const TimestampState& timestamps, Nanos now) {
  const Nanos slack_min = patient_ ? kRtoMin : kClockTick;
  if (timestamps.enabled && segment.options.timestamps.has_value()) {
    const std::optional<Nanos> rtt = timestamps.RttFromEcho(segment.options.timestamps->echo, now);
    const uint32_t per_round_trip = flight_bytes() / (2 * mss_bytes_) + 1;
    if (rtt.has_value()) rto_.Sample(*rtt, per_round_trip, slack_min);
    return;
  }
  if (timing_ && segment.ack >= timed_seq_) {
    timing_ = false;
    rto_.Sample(now - timed_at_, 1, slack_min);
  } else if (!timing_) {
    rto_.OnProgress();
  }
}

std::optional<SendPlan> Sender::PlanAt(uint32_t offset, uint32_t bytes_max) {
  SendPlan plan;
  plan.seq = snd_una_ + offset;
  const uint32_t record = RecordBytes(offset);
  if (stream_ != nullptr) {
    plan.payload = stream_->buffer.Peek(offset, std::min(bytes_max, record));
  }
  const uint32_t bytes = static_cast<uint32_t>(plan.payload.size());
  plan.fin = fin_queued_ && offset + bytes == end_offset();
  if (bytes == 0 && !plan.fin) return std::nullopt;
  plan.pushed =
      bytes != 0 && (bytes == record || (!more_follows_ && offset + bytes == end_offset()));
  if (bytes > mss_bytes_) plan.gso_segment_bytes = static_cast<uint16_t>(mss_bytes_);
  return plan;
}

std::optional<SendPlan> Sender::NextToSend(uint32_t segment_bytes_max) {
  if (!syn_acked_ || fin_acked_) return std::nullopt;
  if (RecoversBySack()) return NextInRecovery();
  uint32_t in_network = flight_bytes();
  uint32_t room = in_network;  // A FIN alone needs none.
  if (stream_ != nullptr) {
    // What goes again after a timeout leaves out what the peer has told of since.
    if (snd_nxt_ < snd_max_) snd_nxt_ = stream_->sacked.Skip(snd_nxt_);
    in_network = flight_bytes() - stream_->sacked.SackedBelow(snd_nxt_);
    room = stream_->congestion.window_bytes();
  }
  return NextNew(segment_bytes_max, room > in_network ? room - in_network : 0);
}

// The next segment from snd_nxt on, when the congestion window leaves `room_bytes`.
std::optional<SendPlan> Sender::NextNew(uint32_t segment_bytes_max, uint32_t room_bytes) {
  const uint32_t flight = flight_bytes();
  // Behind our FIN there is nothing.
  if (flight > end_offset()) return std::nullopt;
  const uint32_t queued = end_offset() - flight;
  const uint32_t unsent = std::min(queued, RecordBytes(flight));
  if (unsent == 0) {
    if (!fin_queued_) return std::nullopt;
    return PlanAt(flight, 0);
  }
  const uint32_t usable =
      std::min(room_bytes, window_.bytes > flight ? window_.bytes - flight : 0u);
  SendQuestion question;
  question.queued_bytes = unsent;
  question.usable_bytes = usable;
  question.window_bytes_max = window_.bytes_max;
  question.mss_bytes = mss_bytes_;
  // As Minshall has it, and Linux: only a small segment on its way holds another one back.
  question.nothing_in_flight = flight == 0 || stream_->small_end <= snd_una_;
  question.no_delay = no_delay_;
  question.cork = cork_;
  question.last = fin_queued_ || unsent < queued;
  // What goes again after a timeout went before: no rule about small segments holds it back.
  if (snd_nxt_ == snd_max_ && !MaySendNow(question)) return std::nullopt;
  uint32_t bytes =
      std::min({usable, unsent, segment_bytes_max, stream_->sacked.GapAfter(snd_nxt_)});
  // A super-frame is whole segments, but for the very end of the data, which waits for no other.
  const bool tail_may_go =
      bytes == unsent && (question.last || (!cork_ && (question.nothing_in_flight || no_delay_)));
  if (bytes > mss_bytes_ && !tail_may_go) bytes -= bytes % mss_bytes_;
  if (bytes == 0) return std::nullopt;
  return PlanAt(flight, bytes);
}

std::optional<SendPlan> Sender::FirstUnacked() {
  if (!syn_acked_ || all_acked()) return std::nullopt;
  // No more than was sent: what follows is for the windows to allow.
  uint32_t bytes = std::min(mss_bytes_, snd_max_.value() - snd_una_.value());
  if (stream_ != nullptr) bytes = std::min(bytes, stream_->sacked.GapAfter(snd_una_));
  return PlanAt(0, bytes);
}

std::optional<SendPlan> Sender::Forced() {
  if (!NeedsPersist() || window_.bytes == 0) return std::nullopt;
  std::optional<SendPlan> plan = PlanAt(0, std::min(mss_bytes_, window_.bytes));
  // The peer need not wait for what was to follow either.
  if (plan.has_value()) plan->pushed = true;
  return plan;
}

uint32_t Sender::OnSent(const SendPlan& plan, Nanos now) {
  const SeqNum data_end = plan.seq + static_cast<uint32_t>(plan.payload.size());
  const SeqNum end = data_end + (plan.fin ? 1u : 0u);
  const SeqNum new_from = plan.seq < snd_max_ ? snd_max_ : plan.seq;
  const uint32_t new_bytes = data_end > new_from ? data_end.value() - new_from.value() : 0;
  if (stream_ != nullptr) stream_->sent_at = now;
  if (RecoversBySack() && plan.seq < snd_max_) {
    if (plan.rescue) {
      stream_->rescued = true;
    } else if (end > stream_->high_rxt) {
      stream_->high_rxt = end;
    }
  }
  if (end > snd_max_) {
    if (!timing_) {
      timing_ = true;
      // Of a super-frame the first segment: its ACK may come before that of the rest.
      timed_seq_ = std::min(end, plan.seq + std::max(mss_bytes_, 1u));
      timed_at_ = now;
    }
    snd_max_ = end;
    if (stream_ != nullptr && new_bytes != 0) {
      const uint32_t last = static_cast<uint32_t>(plan.payload.size()) - 1;
      stream_->tail = plan.seq + (last - last % mss_bytes_);
    } else if (stream_ != nullptr) {
      stream_->tail = plan.seq;
    }
  } else {
    timing_ = false;  // Karn: an ACK would not tell which copy it answers.
  }
  if (end > snd_nxt_) snd_nxt_ = end;
  if (plan.payload.size() % mss_bytes_ != 0 && data_end > stream_->small_end) {
    stream_->small_end = data_end;
  }
  if (stream_ != nullptr) NoteFlight();
  return new_bytes;
}

void Sender::NoteFlight() {
  const uint32_t flight = flight_bytes();
  const bool limited =
      flight < end_offset() && flight + mss_bytes_ > stream_->congestion.window_bytes();
  stream_->congestion.OnSent(snd_una_, snd_max_, flight, limited);
}

bool Sender::NeedsPersist() const { return syn_acked_ && all_acked() && end_offset() != 0; }

void Sender::OnTimeout() {
  rto_.Backoff();
  if (stream_ != nullptr) {
    stream_->congestion.OnTimeout(snd_max_, snd_max_.value() - snd_una_.value());
    stream_->sacked.Clear();
  }
  snd_nxt_ = snd_una_;
  timing_ = false;
  probing_ = false;
}

void Sender::OnSynTimeout() {
  rto_.Backoff();
  timing_ = false;
  syn_lost_ = true;
  if (stream_ != nullptr) stream_->congestion.OnSynLost();
}

void Sender::OnPathMtu(uint32_t mss_bytes) {
  mss_bytes_ = mss_bytes;
  timing_ = false;
  if (stream_ != nullptr) stream_->congestion.SetMss(mss_bytes);
  if (RecoversBySack()) {
    stream_->high_rxt = snd_una_;
  } else {
    snd_nxt_ = snd_una_;
  }
}

void Sender::RestartAfterIdle(Nanos now) {
  if (stream_ != nullptr && all_acked() && now - stream_->sent_at > rto_.rto()) {
    stream_->congestion.OnIdleRestart();
  }
}

}  // namespace devmem
