// SPDX-License-Identifier: Apache-2.0
// The rule of ack_policy.h, in its order.
#include "netmem/tcp/ack_policy.h"

namespace devmem {

AckDecision AckPolicy::Decide() const {
  if (now_) return AckDecision::kNow;
  if (pending_segments_ == 0 && pending_bytes_ == 0) return AckDecision::kNone;
  if (pending_segments_ >= 2 || pending_bytes_ >= 2 * rcv_mss_bytes_) return AckDecision::kNow;
  return quick_segments_left_ != 0 ? AckDecision::kNow : AckDecision::kDelayed;
}

void AckPolicy::OnAckSent() {
  quick_segments_left_ = static_cast<uint8_t>(
      quick_segments_left_ - std::min<uint32_t>(quick_segments_left_, pending_segments_));
  pending_bytes_ = 0;
  pending_segments_ = 0;
  now_ = false;
  if (careful_acks_left_ == 0) return;
  --careful_acks_left_;
  batch_bytes_max_ = careful_acks_left_ != 0 ? 2 * rcv_mss_bytes_ : kAckBatchBytesMax;
}

}  // namespace devmem
