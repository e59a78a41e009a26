// SPDX-License-Identifier: Apache-2.0
// The program that runs on devices of OpenCL, as the source text that their drivers compile, and
// the layout of what it shares with the host. Included by the opencl provider only; OpenCL C 1.2.
#pragma once

#include <cstddef>
#include <cstdint>

namespace devmem {

// One kernel, for one work-item, whose launches run in order on one queue:
//   devmem_sha256(memory, pieces, first, count, state)
// It takes pieces [first, first + count) of `memory` into the hash. The message's padding is a
// piece of other memory to it, so that nothing else is needed to end a hash.
extern const char* const kOpenClKernels;

// One stretch of memory, in bytes from its start.
struct OpenClSha256Piece {
  uint64_t offset;
  uint64_t bytes;
};
static_assert(sizeof(OpenClSha256Piece) == 16 && offsetof(OpenClSha256Piece, bytes) == 8);

// The hash between two launches: FIPS 180-4's H, and the bytes that fill no block yet.
struct OpenClSha256State {
  uint32_t h[8];
  uint32_t filled;
  uint8_t partial[64];
};
static_assert(offsetof(OpenClSha256State, filled) == 32);
static_assert(offsetof(OpenClSha256State, partial) == 36 && sizeof(OpenClSha256State) == 100);

}  // namespace devmem
