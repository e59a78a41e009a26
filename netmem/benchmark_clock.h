// SPDX-License-Identifier: Apache-2.0
//
// The clock of the benchmarks: CPU time of the calling thread, so that a busy machine that takes
// the core away for a while does not count. A reading is a system call of some hundred nanoseconds:
// read it around a whole loop or a batch of a thousand, not around one call.

#pragma once

#include <time.h>

namespace devmem {

inline double ThreadCpuNanoseconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace devmem
