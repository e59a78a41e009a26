// SPDX-License-Identifier: Apache-2.0
// The retransmission timeout of one connection, from round-trip times: RFC 6298. The sender feeds
// it on the worker's thread and asks it whenever it arms the retransmission timer.
#pragma once

#include <cstdint>

#include "netmem/tcp/limits.h"
#include "netmem/tcp/time.h"

namespace devmem {

// Karn's rule (RFC 6298 section 3) is the caller's: no Sample() from a segment that was sent more
// than once, unless its timestamp echo says which copy was answered.
//
// Invariants:
//   1. kRtoMin <= rto() <= kRtoMax.
//   2. srtt() is 0 exactly while has_sample() is false.
class RtoEstimator {
 public:
  // Takes one round-trip time and ends any back-off (section 5, the note at its end). `rtt` below 1
  // ns counts as 1 ns, above kRttMax as kRttMax.
  //
  // The gains 1/8 and 1/4 are meant for one sample per round trip. With timestamps every ACK is a
  // sample, and a window of many would forget the past within one round trip; RFC 7323 section 4.2
  // and its appendix G divide the gains by the expected number: pass flight bytes / (2 MSS),
  // rounded up.
  //
  // `slack_min` is what the timeout leaves beside the mean at least.
  void Sample(Nanos rtt, uint32_t samples_per_round_trip = 1, Nanos slack_min = kClockTick);

  // The timeout to arm now: back-off included.
  Nanos rto() const;

  // How long the segment at snd_una has waited when that timeout runs out: it and all before it.
  Nanos waited() const;

  // The timer expired: the next timeout is twice as long (5.5), up to kRtoMax.
  void Backoff();

  // New data was acknowledged that had been sent only once, but no clock was running for it: the
  // path works again, so the back-off ends although there is no sample.
  void OnProgress() { backoff_count_ = 0; }

  // The handshake had to be retransmitted and gave no sample: data starts with 3 s (5.7).
  void OnSynRetransmitted();

  bool has_sample() const { return srtt_ != 0; }
  Nanos srtt() const { return srtt_; }
  Nanos rttvar() const { return rttvar_; }
  uint32_t backoff_count() const { return backoff_count_; }

 private:
  Nanos srtt_ = 0;
  Nanos rttvar_ = 0;
  Nanos base_ = kRtoInitial;  // Before back-off.
  uint32_t backoff_count_ = 0;
};

}  // namespace devmem
