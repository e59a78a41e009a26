// SPDX-License-Identifier: Apache-2.0
// The timestamp option of one connection: our clock, the peer's last value to echo, and PAWS, which
// rejects segments of an earlier turn of the sequence numbers (RFC 7323 sections 4 and 5). Called
// by the receiver and the sender on the worker's thread. Timestamps compare modulo 2^32, like
// sequence numbers.
#pragma once

#include <cstdint>
#include <optional>

#include "netmem/tcp/limits.h"
#include "netmem/tcp/time.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

enum class PawsVerdict : uint8_t {
  kAccept,
  kReject,  // Too old: drop the segment and acknowledge (RFC 7323 section 5.3, R1).
};

// Invariant: while `enabled`, `ts_recent` is a value that the peer sent at or before
// `ts_recent_at`.
struct TimestampState {
  bool enabled = false;    // Both SYNs carried the option.
  uint32_t offset = 0;     // Added to our ticks: random per pair of endpoints (section 7.1).
  uint32_t ts_recent = 0;  // What we echo.
  Nanos ts_recent_at = 0;

  // The peer's SYN carried `tsval`, and ours carries or carried the option too.
  void Enable(uint32_t tsval, Nanos now);

  // Section 5.3, R1. A reset is exempt from the test: do not ask for a segment with RST. What was
  // remembered for more than 24 days (section 5.5) rejects nothing.
  PawsVerdict CheckPaws(uint32_t tsval, Nanos now) const {
    if (!enabled || static_cast<int32_t>(tsval - ts_recent) >= 0) return PawsVerdict::kAccept;
    return now - ts_recent_at > kPawsIdleMax ? PawsVerdict::kAccept : PawsVerdict::kReject;
  }

  // Section 4.3 (2): remembers the timestamp of a segment that passed the acceptance test, if the
  // segment begins at or before the last acknowledgment that we sent and is not older. RFC 7323
  // does not look at the segment's length, unlike RFC 1323.
  void Update(uint32_t tsval, SeqNum seq, SeqNum last_ack_sent, Nanos now) {
    if (seq > last_ack_sent || CheckPaws(tsval, now) == PawsVerdict::kReject) return;
    ts_recent = tsval;
    ts_recent_at = now;
  }

  // The TSval to send now: one tick is kClockTick, 1 ms.
  uint32_t TsValue(Nanos now) const { return offset + static_cast<uint32_t>(now / kClockTick); }

  // The round-trip time that an echo of ours tells, in whole ticks, at least one; nothing when the
  // echo lies in the future or more than kRttMax back, so was not made by a recent segment.
  std::optional<Nanos> RttFromEcho(uint32_t tsecr, Nanos now) const;
};

}  // namespace devmem
