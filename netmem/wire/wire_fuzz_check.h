// SPDX-License-Identifier: Apache-2.0
// The assertion of this folder's fuzz targets: a broken promise stops the fuzzer, whatever the
// build type, and says which promise it was.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace devmem {

inline void RequireThat(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

}  // namespace devmem
