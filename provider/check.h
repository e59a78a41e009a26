// SPDX-License-Identifier: Apache-2.0
// DEVMEM_CHECK: the answer to a broken invariant, which is to stop the program. It is for mistakes
// of our own code only: a refused request returns a Status, a bad packet bumps a counter. Usable on
// the hot path: the passing case is one predicted branch. Any thread.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace devmem {

// Prints where and which rule was broken, then aborts. Cold and out of line, so that a check costs
// its caller a compare and a branch.
[[noreturn, gnu::cold, gnu::noinline]] inline void CheckFailed(const char* file, int line,
                                                               const char* condition,
                                                               const char* message) {
  std::fprintf(stderr, "%s:%d: check failed: %s: %s\n", file, line, condition, message);
  std::abort();
}

}  // namespace devmem

// `message` is a string literal that says which rule was broken. A macro, because the place and the
// text of the condition belong in the report.
#define DEVMEM_CHECK(condition, message)                              \
  do {                                                                \
    if (!(condition)) [[unlikely]]                                    \
      ::devmem::CheckFailed(__FILE__, __LINE__, #condition, message); \
  } while (0)
