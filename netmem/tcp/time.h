// SPDX-License-Identifier: Apache-2.0
// Time as the TCP engine sees it: a count of nanoseconds since an arbitrary start that is not later
// than the engine's first call. The engine reads no clock; the worker passes `now` in with each
// call, so the same inputs give the same outputs and tests run on virtual time.
#pragma once

#include <cstdint>

namespace devmem {

// A point in time or a duration. Not negative as a point in time.
using Nanos = int64_t;

inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000 * kMicrosecond;
inline constexpr Nanos kSecond = 1'000 * kMillisecond;

// The deadline of a timer that is not set.
inline constexpr Nanos kNever = INT64_MAX;

}  // namespace devmem
