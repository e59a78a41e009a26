// SPDX-License-Identifier: Apache-2.0
//
// The tail loss probe of the sender: RFC 8985 section 7. When the end of what was sent is lost,
// nothing behind it draws acknowledgments that would tell; one segment that goes long before the
// retransmission timeout does. Called by the engine, which has one timer for both.

#include <algorithm>

#include "netmem/tcp/sender.h"

namespace devmem {

// Section 7.2: not while a recovery goes on, and not beside another probe.
bool Sender::MayProbe() const {
  if (!sack_ || !syn_acked_ || probing_ || all_acked()) return false;
  if (rto_.backoff_count() != 0 || snd_nxt_ != snd_max_) return false;
  return stream_ == nullptr || !stream_->congestion.in_recovery();
}

// TLP_calc_PTO(): the last segment alone may be acknowledged late.
Nanos Sender::ProbeTimeout() const {
  if (!rto_.has_sample()) return kRtoInitial;
  const bool alone = snd_max_.value() - snd_una_.value() <= mss_bytes_;
  return 2 * rto_.srtt() + (alone ? kLossProbeAckDelayMax : kLossProbeSlack);
}

Nanos Sender::ArmTimer(Nanos now, bool may_probe) {
  const Nanos timeout_at = now + rto_.rto();
  if (stream_ != nullptr) stream_->timeout_at = timeout_at;
  // SACKs promise a recovery; a timer that runs already stays.
  const bool sacked = stream_ != nullptr && !stream_->sacked.empty();
  probe_next_ = may_probe && !sacked && MayProbe();
  return probe_next_ ? std::min(timeout_at, now + ProbeTimeout()) : timeout_at;
}

Nanos Sender::PutProbeOff(Nanos now) const {
  return std::min(stream_ != nullptr ? stream_->timeout_at : kNever, now + ProbeTimeout());
}

bool Sender::TakeProbe() {
  const bool probe = probe_next_;
  probe_next_ = false;
  return probe;
}

// TLP_send_probe(): new data if there is some and the peer's window takes it, whatever cwnd and
// Nagle say; else the last segment again.
std::optional<SendPlan> Sender::LossProbe() {
  if (!MayProbe()) return std::nullopt;
  std::optional<SendPlan> plan;
  if (stream_ != nullptr) {
    const bool no_delay = no_delay_;
    no_delay_ = true;
    plan = NextNew(mss_bytes_, mss_bytes_);
    no_delay_ = no_delay;
  }
  probe_again_ = !plan.has_value();
  if (probe_again_) {
    const SeqNum tail = stream_ != nullptr ? std::max(stream_->tail, snd_una_) : snd_max_ - 1u;
    if (stream_ != nullptr && stream_->sacked.Skip(tail) != tail) return std::nullopt;
    const uint32_t flight = snd_max_.value() - tail.value();
    plan = PlanAt(tail.value() - snd_una_.value(), std::min(flight, mss_bytes_));
  }
  if (!plan.has_value()) return std::nullopt;
  const uint32_t length = static_cast<uint32_t>(plan->payload.size()) + (plan->fin ? 1 : 0);
  probing_ = true;
  if (stream_ != nullptr) stream_->probe_end = std::max(snd_max_, plan->seq + length);
  return plan;
}

// TLP_process_ack(), after the ACK and its SACKs are taken. Whether the probe has repaired a loss
// that nothing else told of: the congestion window learns of it then.
bool Sender::OnAckOfProbe(const Segment& segment, const AckOutcome& outcome, uint32_t acked_bytes) {
  if (!probing_ || segment.ack < stream_->probe_end) return false;
  const bool again_acked = segment.ack == stream_->probe_end && probe_again_;
  // The original was acknowledged; only what comes next tells whether the copy was, too.
  if (again_acked && outcome.advanced && !outcome.duplicate_reported) return false;
  probing_ = false;
  if (again_acked || !probe_again_ || outcome.duplicate_reported) return false;
  // What was in flight until this ACK: of a receiver that merges segments it may cover all of it.
  const uint32_t flight = snd_max_.value() - snd_una_.value() + acked_bytes;
  return stream_->congestion.OnEcnEcho(snd_una_, snd_max_, flight);
}

}  // namespace devmem
