// SPDX-License-Identifier: Apache-2.0
// RFC 7323 sections 4.3 and 5: all comparisons of timestamps are modulo 2^32.
#include "netmem/tcp/timestamps.h"

#include <algorithm>

namespace devmem {
namespace {

// Whether `a` is at or after `b` on the circle.
constexpr bool NotOlder(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) >= 0; }

}  // namespace

void TimestampState::Enable(uint32_t tsval, Nanos now) {
  enabled = true;
  ts_recent = tsval;
  ts_recent_at = now;
}

PawsVerdict TimestampState::CheckPaws(uint32_t tsval, Nanos now) const {
  if (!enabled || NotOlder(tsval, ts_recent)) return PawsVerdict::kAccept;
  return now - ts_recent_at > kPawsIdleMax ? PawsVerdict::kAccept : PawsVerdict::kReject;
}

void TimestampState::Update(uint32_t tsval, SeqNum seq, SeqNum last_ack_sent, Nanos now) {
  if (seq > last_ack_sent || CheckPaws(tsval, now) == PawsVerdict::kReject) return;
  ts_recent = tsval;
  ts_recent_at = now;
}

uint32_t TimestampState::TsValue(Nanos now) const {
  return offset + static_cast<uint32_t>(now / kClockTick);
}

std::optional<Nanos> TimestampState::RttFromEcho(uint32_t tsecr, Nanos now) const {
  const uint32_t ticks = TsValue(now) - tsecr;
  if (ticks > kRttMax / kClockTick) return std::nullopt;
  return std::max<Nanos>(ticks, 1) * kClockTick;
}

}  // namespace devmem
