// SPDX-License-Identifier: Apache-2.0
// RFC 6298 section 2 in integers: nanoseconds leave enough digits below the gains.
#include "netmem/tcp/rto.h"

#include <algorithm>

namespace devmem {
namespace {

// A window of more segments than this per round trip is smoothed as if it were this many.
constexpr uint32_t kSamplesPerRoundTripMax = 1024;
constexpr uint32_t kBackoffCountMax = 16;
static_assert((kRtoMin << kBackoffCountMax) > kRtoMax, "the back-off reaches the maximum");

}  // namespace

void RtoEstimator::Sample(Nanos rtt, uint32_t samples_per_round_trip, Nanos slack_min) {
  rtt = std::clamp<Nanos>(rtt, 1, kRttMax);
  const Nanos samples = std::clamp<uint32_t>(samples_per_round_trip, 1, kSamplesPerRoundTripMax);
  if (!has_sample()) {
    srtt_ = rtt;
    rttvar_ = rtt / 2;
  } else {
    // The variance first: it uses the old mean (2.3).
    const Nanos error = std::max(srtt_ - rtt, rtt - srtt_);
    rttvar_ += (error - rttvar_) / (4 * samples);
    srtt_ = std::max<Nanos>(1, srtt_ + (rtt - srtt_) / (8 * samples));
  }
  base_ = std::clamp(srtt_ + std::max(slack_min, 4 * rttvar_), kRtoMin, kRtoMax);
  backoff_count_ = 0;
}

Nanos RtoEstimator::rto() const { return std::min(base_ << backoff_count_, kRtoMax); }

Nanos RtoEstimator::waited() const {
  Nanos sum = 0;
  for (uint32_t n = 0; n <= backoff_count_; ++n) sum += std::min(base_ << n, kRtoMax);
  return sum;
}

void RtoEstimator::Backoff() {
  if (backoff_count_ < kBackoffCountMax) ++backoff_count_;
}

void RtoEstimator::OnSynRetransmitted() {
  if (has_sample()) return;
  base_ = kRtoAfterSynLoss;
  backoff_count_ = 0;
}

}  // namespace devmem
