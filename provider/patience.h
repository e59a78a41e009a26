// SPDX-License-Identifier: Apache-2.0
// How long a wait may be: the time that a caller gives, cut to what a clock can be advanced by. Any
// thread.
#pragma once

#include <algorithm>
#include <chrono>

namespace devmem {

// A year is as good as for ever, and far from where a 64-bit count of nanoseconds ends.
inline std::chrono::nanoseconds BoundedPatience(std::chrono::nanoseconds patience) {
  constexpr std::chrono::nanoseconds kYear = std::chrono::hours(24 * 365);
  return std::clamp(patience, std::chrono::nanoseconds(0), kYear);
}

}  // namespace devmem
