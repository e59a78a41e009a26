// SPDX-License-Identifier: Apache-2.0
// What the hash of cuda_sha256.h is between two kernels, as host and GPU both see it. Plain data.
#pragma once

#include <stdint.h>

namespace devmem {

// FIPS 180-4's H, and the bytes that fill no block yet. The last kernel writes padding and digest.
struct CudaSha256State {
  uint32_t h[8];
  uint64_t total_bytes;
  uint8_t partial[64];
  uint8_t padding[72];
  uint8_t digest[32];
};
static_assert(sizeof(CudaSha256State) == 208, "the same layout on the host and on the GPU");

}  // namespace devmem
