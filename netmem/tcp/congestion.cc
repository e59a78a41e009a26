// SPDX-License-Identifier: Apache-2.0
// NewReno step by step as RFC 6582 section 3.2 numbers it; growth as RFC 3465 section 2 says,
// without its bound for one acknowledgment.
#include "netmem/tcp/congestion.h"

#include <algorithm>

namespace devmem {

NewReno::NewReno(uint32_t mss_bytes)
    : mss_bytes_(std::max(mss_bytes, 1u)), cwnd_bytes_(InitialWindow()) {}

uint32_t NewReno::InitialWindow() const {
  return std::min(kInitialWindowSegments * mss_bytes_,
                  std::max(2 * mss_bytes_, kInitialWindowBytesMax));
}

uint32_t NewReno::HalfOf(uint32_t flight_bytes) const {
  return std::max(flight_bytes / 2, 2 * mss_bytes_);
}

void NewReno::SetCwnd(uint64_t bytes) {
  cwnd_bytes_ = static_cast<uint32_t>(
      std::clamp<uint64_t>(bytes, mss_bytes_, uint64_t{kCongestionWindowBytesMax}));
}

void NewReno::SetMss(uint32_t mss_bytes) {
  mss_bytes_ = std::max(mss_bytes, 1u);
  ssthresh_bytes_ = std::max(ssthresh_bytes_, 2 * mss_bytes_);
  SetCwnd(cwnd_bytes_);
}

// RFC 7661 section 4.2 asks for the most that was in flight within a round trip, not for what is
// left of it when an acknowledgment comes.
void NewReno::OnSent(SeqNum snd_una, SeqNum snd_max, uint32_t flight_bytes, bool limited) {
  const bool more = !cwnd_limited_ && flight_bytes > peak_flight_bytes_;
  if (snd_una < window_end_ && !limited && !more) return;
  cwnd_limited_ = limited;
  peak_flight_bytes_ = flight_bytes;
  window_end_ = snd_max;
}

AckResult NewReno::OnAck(SeqNum snd_una, uint32_t acked_bytes, uint32_t flight_bytes,
                         uint32_t told_bytes) {
  duplicate_acks_ = 0;
  limited_transmit_bytes_ = 0;
  timeout_repeats_ = false;
  if (in_marked_ && snd_una >= marked_until_) in_marked_ = false;
  if (in_recovery_) return OnAckInRecovery(snd_una, acked_bytes, flight_bytes);
  // What was told of earlier let new data go then (RFC 3042), and does not count twice.
  const uint32_t news_bytes = acked_bytes - std::min(told_bytes, acked_bytes);
  if (!in_marked_) Grow(news_bytes, std::max(peak_flight_bytes_, flight_bytes + acked_bytes));
  // Behind Grow(): the ACK that ends it is the one that may cover most of what was there before.
  if (has_recover_ && snd_una >= recover_) after_timeout_ = false;
  if (has_recover_ && snd_una > recover_) has_recover_ = false;
  return AckResult::kAdvanced;
}

AckResult NewReno::OnAckInRecovery(SeqNum snd_una, uint32_t acked_bytes, uint32_t flight_bytes) {
  if (snd_una >= recover_) {
    // Step 3, full acknowledgment, option (1): no burst when little is in flight.
    in_recovery_ = false;
    SetCwnd(std::min(ssthresh_bytes_, std::max(flight_bytes, mss_bytes_) + mss_bytes_));
    return AckResult::kRecoveryFinished;
  }
  if (by_sack_) return AckResult::kAdvanced;
  // Partial: what left the network deflates cwnd, and the retransmission may replace one segment.
  const uint32_t deflated = cwnd_bytes_ - std::min(acked_bytes, cwnd_bytes_);
  SetCwnd(deflated + (acked_bytes >= mss_bytes_ ? mss_bytes_ : 0));
  const bool first = !saw_partial_;
  saw_partial_ = true;
  return first ? AckResult::kFirstPartial : AckResult::kPartial;
}

void NewReno::Grow(uint32_t acked_bytes, uint32_t peak_flight_bytes) {
  if (cwnd_bytes_ < ssthresh_bytes_) {
    // A window of which no more than half is used has proven nothing (RFC 7661 section 1).
    if (!cwnd_limited_ && uint64_t{peak_flight_bytes} * 2 <= cwnd_bytes_) return;
    // After a timeout one ACK may cover what had been received before it (RFC 3465 section 2.3).
    // Otherwise receivers that merge segments, as ours, acknowledge many of them at once.
    const uint32_t limit = after_timeout_ ? mss_bytes_ : acked_bytes;
    const uint32_t until_bytes = ssthresh_bytes_ - cwnd_bytes_;
    acked_bytes = std::min(acked_bytes, limit);
    SetCwnd(uint64_t{cwnd_bytes_} + std::min(acked_bytes, until_bytes));
    if (acked_bytes <= until_bytes) return;
    acked_bytes -= until_bytes;
  }
  if (!cwnd_limited_ && uint64_t{peak_flight_bytes} + mss_bytes_ <= cwnd_bytes_) return;
  avoidance_bytes_ += std::min(acked_bytes, cwnd_bytes_);
  if (avoidance_bytes_ < cwnd_bytes_) return;
  avoidance_bytes_ -= cwnd_bytes_;
  SetCwnd(uint64_t{cwnd_bytes_} + mss_bytes_);
}

DupAckResult NewReno::OnDuplicateAck(SeqNum snd_una, SeqNum snd_max, uint32_t flight_bytes) {
  if (in_recovery_) {
    // Step 3 of RFC 5681 section 3.2: one more segment has left the network.
    const uint32_t inflation = std::min(mss_bytes_, flight_at_loss_bytes_);
    flight_at_loss_bytes_ -= inflation;
    SetCwnd(uint64_t{cwnd_bytes_} + inflation);
    return inflation != 0 ? DupAckResult::kMaySend : DupAckResult::kNone;
  }
  // Step 1: what was sent before the last loss may cause duplicates of its own.
  if (has_recover_ && snd_una <= recover_) return DupAckResult::kNone;
  if (duplicate_acks_ == 0) flight_at_loss_bytes_ = flight_bytes;
  if (++duplicate_acks_ < kDuplicateAckThreshold) {
    limited_transmit_bytes_ += mss_bytes_;
    return DupAckResult::kMaySend;
  }
  EnterRecovery(snd_max);
  by_sack_ = false;
  const uint32_t left_bytes = kDuplicateAckThreshold * mss_bytes_;
  SetCwnd(uint64_t{ssthresh_bytes_} + left_bytes);
  flight_at_loss_bytes_ -= std::min(flight_at_loss_bytes_, left_bytes);
  return DupAckResult::kRetransmit;
}

void NewReno::EnterRecovery(SeqNum snd_max) {
  in_recovery_ = true;
  saw_partial_ = false;
  has_recover_ = true;
  recover_ = snd_max;
  duplicate_acks_ = 0;
  limited_transmit_bytes_ = 0;
  avoidance_bytes_ = 0;
  // RFC 3168 section 6.1.2: one reduction per window, whether it was told by a mark or by a loss.
  if (!in_marked_) ssthresh_bytes_ = HalfOf(flight_at_loss_bytes_);
  in_marked_ = false;
}

DupAckResult NewReno::OnSackNews(SeqNum snd_una, SeqNum snd_max, uint32_t flight_bytes,
                                 bool first_is_lost) {
  if (in_recovery_) return DupAckResult::kMaySend;
  // SACK tells which copy arrived, so unlike step 1 of NewReno the number itself is no doubt.
  if (has_recover_ && snd_una < recover_) return DupAckResult::kNone;
  if (duplicate_acks_ == 0) flight_at_loss_bytes_ = flight_bytes;
  if (++duplicate_acks_ < kDuplicateAckThreshold && !first_is_lost) return DupAckResult::kMaySend;
  EnterRecovery(snd_max);
  by_sack_ = true;
  SetCwnd(ssthresh_bytes_);
  return DupAckResult::kRetransmit;
}

bool NewReno::OnEcnEcho(SeqNum snd_una, SeqNum snd_max, uint32_t flight_bytes) {
  if (in_recovery_ || in_marked_ || (has_recover_ && snd_una <= recover_)) return false;
  in_marked_ = true;
  marked_until_ = snd_max;
  avoidance_bytes_ = 0;
  ssthresh_bytes_ = HalfOf(flight_bytes);
  SetCwnd(std::min(cwnd_bytes_, ssthresh_bytes_));
  return true;
}

void NewReno::OnTimeout(SeqNum snd_max, uint32_t flight_bytes) {
  // RFC 5681 section 3.1: the same segment timing out again leaves ssthresh alone.
  if (!timeout_repeats_) ssthresh_bytes_ = HalfOf(flight_bytes);
  SetCwnd(mss_bytes_);
  in_recovery_ = false;
  in_marked_ = false;
  duplicate_acks_ = 0;
  limited_transmit_bytes_ = 0;
  avoidance_bytes_ = 0;
  has_recover_ = true;
  recover_ = snd_max;
  after_timeout_ = true;
  timeout_repeats_ = true;
}

void NewReno::OnIdleRestart() { SetCwnd(std::min(cwnd_bytes_, InitialWindow())); }

}  // namespace devmem
