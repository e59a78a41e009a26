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
  buffer_ = std::move(buffer);
}

void Sender::OnHandshake(const Segment& segment, uint32_t mss_bytes, uint8_t peer_window_scale) {
  // The window of a segment with SYN is never scaled (RFC 7323 section 2.2).
  const uint8_t scale = segment.has(kTcpSyn) ? uint8_t{0} : peer_window_scale;
  mss_bytes_ = mss_bytes;
  congestion_ = NewReno(mss_bytes);
  if (syn_lost_) congestion_.OnSynLost();
  window_.Start(segment.seq, segment.ack, DecodeWindow(segment.window, scale));
}

void Sender::OnSynSent(Nanos now) {
  timing_ = snd_nxt_ == iss_;  // Karn: a SYN that goes again is not timed.
  snd_nxt_ = iss_ + 1;
  snd_max_ = snd_nxt_;
  sent_at_ = now;
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
    // RFC 5681 section 2: a duplicate ACK has no data, no SYN or FIN, and does not move the window.
    // One whose data found no memory is none either.
    if (segment.length() == 0 && !segment.cut && window_.bytes == window_before && !all_acked()) {
      outcome.retransmit =
          congestion_.OnDuplicateAck(snd_una_, snd_max_, snd_max_.value() - snd_una_.value()) ==
          DupAckResult::kRetransmit;
      outcome.reduced = outcome.retransmit;
    }
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
  const uint32_t data = static_cast<uint32_t>(std::min<size_t>(acked, buffer_.size()));
  outcome.fin_acked = acked > data;
  if (outcome.fin_acked) fin_acked_ = true;
  buffer_.Consume(data);
  snd_una_ = segment.ack;
  if (snd_nxt_ < snd_una_) snd_nxt_ = snd_una_;
  if (data == 0) return outcome;
  const AckResult result = congestion_.OnAck(snd_una_, data, flight_bytes());
  outcome.retransmit = result == AckResult::kPartial || result == AckResult::kFirstPartial;
  outcome.restart_timer = result != AckResult::kPartial;
  return outcome;
}

// RFC 6298 section 3 and RFC 7323 section 4: with timestamps every ACK of new data is a sample,
// also after a retransmission; without them one segment at a time is clocked, and only if sent
// once.
void Sender::SampleRtt(const Segment& segment, const TimestampState& timestamps, Nanos now) {
  if (timestamps.enabled && segment.options.timestamps.has_value()) {
    const std::optional<Nanos> rtt = timestamps.RttFromEcho(segment.options.timestamps->echo, now);
    const uint32_t per_round_trip = flight_bytes() / (2 * mss_bytes_) + 1;
    if (rtt.has_value()) rto_.Sample(*rtt, per_round_trip);
    return;
  }
  if (timing_ && segment.ack >= timed_seq_) {
    timing_ = false;
    rto_.Sample(now - timed_at_);
  } else if (!timing_) {
    rto_.OnProgress();
  }
}

std::optional<SendPlan> Sender::PlanAt(uint32_t offset, uint32_t bytes_max) {
  SendPlan plan;
  plan.seq = snd_una_ + offset;
  plan.payload = buffer_.Peek(offset, bytes_max);
  const uint32_t bytes = static_cast<uint32_t>(plan.payload.size());
  plan.fin = fin_queued_ && offset + bytes == end_offset();
  if (bytes == 0 && !plan.fin) return std::nullopt;
  if (bytes > mss_bytes_) plan.gso_segment_bytes = static_cast<uint16_t>(mss_bytes_);
  return plan;
}

std::optional<SendPlan> Sender::NextToSend(uint32_t segment_bytes_max) {
  if (!syn_acked_ || fin_acked_) return std::nullopt;
  const uint32_t flight = flight_bytes();
  // Behind our FIN there is nothing.
  if (flight > end_offset()) return std::nullopt;
  const uint32_t unsent = end_offset() - flight;
  if (unsent == 0) {
    if (!fin_queued_) return std::nullopt;
    return PlanAt(flight, 0);
  }
  const uint32_t allowed = std::min(congestion_.window_bytes(), window_.bytes);
  const uint32_t usable = allowed > flight ? allowed - flight : 0;
  SendQuestion question;
  question.queued_bytes = unsent;
  question.usable_bytes = usable;
  question.window_bytes_max = window_.bytes_max;
  question.mss_bytes = mss_bytes_;
  question.nothing_in_flight = flight == 0;
  question.no_delay = no_delay_;
  question.last = fin_queued_;
  // What goes again after a timeout went before: no rule about small segments holds it back.
  if (snd_nxt_ == snd_max_ && !MaySendNow(question)) return std::nullopt;
  uint32_t bytes = std::min(usable, segment_bytes_max);
  // A super-frame is whole segments, but for the very end of the data.
  if (bytes > mss_bytes_ && bytes < unsent) bytes -= bytes % mss_bytes_;
  if (bytes == 0) return std::nullopt;
  return PlanAt(flight, bytes);
}

std::optional<SendPlan> Sender::FirstUnacked() {
  if (!syn_acked_ || all_acked()) return std::nullopt;
  // No more than was sent: what follows is for the windows to allow.
  return PlanAt(0, std::min(mss_bytes_, snd_max_.value() - snd_una_.value()));
}

std::optional<SendPlan> Sender::Forced() {
  if (!NeedsPersist() || window_.bytes == 0) return std::nullopt;
  return PlanAt(0, std::min(mss_bytes_, window_.bytes));
}

uint32_t Sender::OnSent(const SendPlan& plan, Nanos now) {
  const SeqNum data_end = plan.seq + static_cast<uint32_t>(plan.payload.size());
  const SeqNum end = data_end + (plan.fin ? 1u : 0u);
  const SeqNum new_from = plan.seq < snd_max_ ? snd_max_ : plan.seq;
  const uint32_t new_bytes = data_end > new_from ? data_end.value() - new_from.value() : 0;
  sent_at_ = now;
  if (end > snd_max_) {
    if (!timing_) {
      timing_ = true;
      timed_seq_ = end;
      timed_at_ = now;
    }
    snd_max_ = end;
  } else {
    timing_ = false;  // Karn: an ACK would not tell which copy it answers.
  }
  if (end > snd_nxt_) snd_nxt_ = end;
  return new_bytes;
}

bool Sender::NeedsPersist() const { return syn_acked_ && all_acked() && !buffer_.empty(); }

void Sender::OnTimeout() {
  rto_.Backoff();
  congestion_.OnTimeout(snd_max_, snd_max_.value() - snd_una_.value());
  snd_nxt_ = snd_una_;
  timing_ = false;
}

void Sender::OnSynTimeout() {
  rto_.Backoff();
  timing_ = false;
  syn_lost_ = true;
  congestion_.OnSynLost();
}

void Sender::OnPathMtu(uint32_t mss_bytes) {
  mss_bytes_ = mss_bytes;
  congestion_.SetMss(mss_bytes);
  snd_nxt_ = snd_una_;
  timing_ = false;
}

void Sender::RestartAfterIdle(Nanos now) {
  if (all_acked() && now - sent_at_ > rto_.rto()) congestion_.OnIdleRestart();
}

}  // namespace devmem
