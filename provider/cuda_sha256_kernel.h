// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) as it runs on a GPU: one thread, one stretch of memory after the other. In
// the language that CUDA C++ and C++ share: tools/ptx compiles it to cuda_sha256_ptx.inc, and
// the fake driver of the tests runs it on the processor. Nobody else includes it.
//
// The hash of one stream is a chain in which each block of 64 bytes needs the one before, so more
// threads would not help.
#pragma once

#include "provider/cuda_sha256_state.h"

#ifdef __CUDACC__
#define DEVMEM_DEVICE __device__ __forceinline__
#define DEVMEM_CONSTANT __constant__
#define DEVMEM_UNROLLED _Pragma("unroll")
#define DEVMEM_ROLLED _Pragma("unroll 1")
#else
#define DEVMEM_DEVICE inline
#define DEVMEM_CONSTANT inline constexpr
#define DEVMEM_UNROLLED
#define DEVMEM_ROLLED
#endif

namespace devmem {
namespace cuda_sha256 {

// FIPS 180-4 section 4.2.2.
DEVMEM_CONSTANT uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

DEVMEM_DEVICE uint32_t Rotate(uint32_t x, int bits) { return (x >> bits) | (x << (32 - bits)); }

// The bytes of one block as big-endian words; `from` need not be aligned.
DEVMEM_DEVICE void LoadBlock(const uint8_t* from, uint32_t* words) {
  DEVMEM_UNROLLED
  for (int i = 0; i < 16; ++i) {
    words[i] = (uint32_t{from[4 * i]} << 24) | (uint32_t{from[4 * i + 1]} << 16) |
               (uint32_t{from[4 * i + 2]} << 8) | uint32_t{from[4 * i + 3]};
  }
}

// FIPS 180-4 section 6.2.2, sixteen rounds at a time, so that the schedule stays in registers.
DEVMEM_DEVICE void Compress(uint32_t* h, uint32_t* w) {
  uint32_t v[8];
  DEVMEM_UNROLLED
  for (int i = 0; i < 8; ++i) v[i] = h[i];
  DEVMEM_ROLLED
  for (int round = 0; round < 64; round += 16) {
    DEVMEM_UNROLLED
    for (int i = 0; i < 16; ++i) {
      const uint32_t big1 = Rotate(v[4], 6) ^ Rotate(v[4], 11) ^ Rotate(v[4], 25);
      const uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
      const uint32_t t1 = v[7] + big1 + choice + kRound[round + i] + w[i];
      const uint32_t big0 = Rotate(v[0], 2) ^ Rotate(v[0], 13) ^ Rotate(v[0], 22);
      const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
      v[7] = v[6];
      v[6] = v[5];
      v[5] = v[4];
      v[4] = v[3] + t1;
      v[3] = v[2];
      v[2] = v[1];
      v[1] = v[0];
      v[0] = t1 + big0 + majority;
    }
    // W(t) of the next sixteen rounds, in the place of the words sixteen before.
    DEVMEM_UNROLLED
    for (int i = 0; i < 16; ++i) {
      const uint32_t a = w[(i + 1) & 15];
      const uint32_t b = w[(i + 14) & 15];
      const uint32_t small0 = Rotate(a, 7) ^ Rotate(a, 18) ^ (a >> 3);
      const uint32_t small1 = Rotate(b, 17) ^ Rotate(b, 19) ^ (b >> 10);
      w[i] += small0 + w[(i + 9) & 15] + small1;
    }
  }
  DEVMEM_UNROLLED
  for (int i = 0; i < 8; ++i) h[i] += v[i];
}

// The only place that compresses, so that the code is there once: the next block is taken from
// `data` where a whole one is left there and none is begun, and else from what fills up partial.
DEVMEM_DEVICE void Update(const uint8_t* data, uint64_t bytes, CudaSha256State* state) {
  uint64_t total = state->total_bytes;
  uint32_t h[8];
  DEVMEM_UNROLLED
  for (int i = 0; i < 8; ++i) h[i] = state->h[i];
  DEVMEM_ROLLED
  while (bytes > 0) {
    const uint64_t at = total % 64;
    const uint64_t taken = bytes < 64 - at ? bytes : 64 - at;
    const uint8_t* block = data;
    if (taken < 64) {
      DEVMEM_ROLLED
      for (uint64_t i = 0; i < taken; ++i) state->partial[at + i] = data[i];
      block = state->partial;
    }
    data += taken;
    bytes -= taken;
    total += taken;
    if (at + taken < 64) break;
    uint32_t words[16];
    LoadBlock(block, words);
    Compress(h, words);
  }
  DEVMEM_UNROLLED
  for (int i = 0; i < 8; ++i) state->h[i] = h[i];
  state->total_bytes = total;
}

// FIPS 180-4 section 5.1.1: a bit 1, zeroes, and the length in bits.
DEVMEM_DEVICE void Finish(CudaSha256State* state) {
  const uint64_t bits = state->total_bytes * 8;
  const uint64_t at = state->total_bytes % 64;
  const uint64_t length_at = at < 56 ? 56 - at : 120 - at;
  DEVMEM_ROLLED
  for (uint64_t i = 0; i < length_at; ++i) state->padding[i] = i == 0 ? 0x80 : 0;
  DEVMEM_ROLLED
  for (uint64_t i = 0; i < 8; ++i) {
    state->padding[length_at + i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
  }
  Update(state->padding, length_at + 8, state);
  DEVMEM_ROLLED
  for (uint32_t i = 0; i < 32; ++i) {
    state->digest[i] = static_cast<uint8_t>(state->h[i / 4] >> (24 - 8 * (i % 4)));
  }
}

}  // namespace cuda_sha256
}  // namespace devmem
