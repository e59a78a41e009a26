// SPDX-License-Identifier: Apache-2.0
//
// The clock that the kernel's page pools tell their times by: CLOCK_BOOTTIME of clock_gettime(2).

#pragma once

#include <time.h>

#include <cstdint>

namespace devmem {

inline uint64_t NanosSinceBoot() {
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

inline uint64_t SecondsSinceBoot() { return NanosSinceBoot() / 1'000'000'000; }

}  // namespace devmem
