// SPDX-License-Identifier: Apache-2.0
// RFC 7323 sections 4.3 and 5: the parts that not every segment needs.
#include "netmem/tcp/timestamps.h"

#include <algorithm>

namespace devmem {

void TimestampState::Enable(uint32_t tsval, Nanos now) {
  enabled = true;
  ts_recent = tsval;
  ts_recent_at = now;
}

std::optional<Nanos> TimestampState::RttFromEcho(uint32_t tsecr, Nanos now) const {
  const uint32_t ticks = TsValue(now) - tsecr;
  if (ticks > kRttMax / kClockTick) return std::nullopt;
  return std::max<Nanos>(ticks, 1) * kClockTick;
}

}  // namespace devmem
