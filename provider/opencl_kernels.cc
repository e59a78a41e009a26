// SPDX-License-Identifier: Apache-2.0
// See opencl_kernels.h. SHA-256 as FIPS 180-4 section 6.2 describes it. The text is a literal, so
// that a program carries it wherever it goes.
#include "provider/opencl_kernels.h"

namespace devmem {

const char* const kOpenClKernels = R"CL(
typedef struct { ulong offset; ulong bytes; } Piece;
typedef struct { uint h[8]; uint filled; uchar partial[64]; } State;

__constant uint kRound[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define RIGHT(x, n) rotate((x), (uint)(32 - (n)))
#define BIG0(x) (RIGHT(x, 2) ^ RIGHT(x, 13) ^ RIGHT(x, 22))
#define BIG1(x) (RIGHT(x, 6) ^ RIGHT(x, 11) ^ RIGHT(x, 25))
#define SMALL0(x) (RIGHT(x, 7) ^ RIGHT(x, 18) ^ ((x) >> 3))
#define SMALL1(x) (RIGHT(x, 17) ^ RIGHT(x, 19) ^ ((x) >> 10))

// One round. The names move on instead of the values: eight rounds later they are where they were.
#define ROUND(a, b, c, d, e, f, g, h, k, w)                              \
  {                                                                      \
    const uint t = h + BIG1(e) + (g ^ (e & (f ^ g))) + (k) + (w);        \
    d += t;                                                              \
    h = t + BIG0(a) + ((a & b) | (c & (a | b)));                         \
  }
// The message schedule needs no more than its last sixteen words.
#define NEXT(i) \
  (w[i] += SMALL1(w[(i + 14) & 15]) + w[(i + 9) & 15] + SMALL0(w[(i + 1) & 15]))
#define EIGHT(base, i, W)                                                \
  ROUND(a, b, c, d, e, f, g, h, kRound[(base) + i + 0], W(i + 0))        \
  ROUND(h, a, b, c, d, e, f, g, kRound[(base) + i + 1], W(i + 1))        \
  ROUND(g, h, a, b, c, d, e, f, kRound[(base) + i + 2], W(i + 2))        \
  ROUND(f, g, h, a, b, c, d, e, kRound[(base) + i + 3], W(i + 3))        \
  ROUND(e, f, g, h, a, b, c, d, kRound[(base) + i + 4], W(i + 4))        \
  ROUND(d, e, f, g, h, a, b, c, kRound[(base) + i + 5], W(i + 5))        \
  ROUND(c, d, e, f, g, h, a, b, kRound[(base) + i + 6], W(i + 6))        \
  ROUND(b, c, d, e, f, g, h, a, kRound[(base) + i + 7], W(i + 7))
#define LOADED(i) w[i]

// vload16 of bytes needs no alignment; the words of a message are big-endian.
#ifdef __ENDIAN_LITTLE__
#define WORDS(bytes) as_uint4((bytes).s32107654BA98FEDC)
#else
#define WORDS(bytes) as_uint4(bytes)
#endif
#define LOAD4(at, from)                                                  \
  {                                                                      \
    const uint4 four = WORDS(vload16((at) / 4, (from)));                 \
    w[(at) + 0] = four.s0; w[(at) + 1] = four.s1;                        \
    w[(at) + 2] = four.s2; w[(at) + 3] = four.s3;                        \
  }

__kernel void devmem_sha256(__global const uchar* memory, __global const Piece* pieces, uint first,
                            uint count, __global State* state) {
  uint h0 = state->h[0], h1 = state->h[1], h2 = state->h[2], h3 = state->h[3];
  uint h4 = state->h[4], h5 = state->h[5], h6 = state->h[6], h7 = state->h[7];
  uint filled = state->filled;
  for (uint i = first; i < first + count; ++i) {
    __global const uchar* from = memory + pieces[i].offset;
    ulong left = pieces[i].bytes;
    for (;;) {
      __global const uchar* block = from;
      if (filled == 0 && left >= 64) {
        from += 64;
        left -= 64;
      } else {
        for (; filled < 64 && left != 0; --left) state->partial[filled++] = *from++;
        if (filled < 64) break;
        filled = 0;
        block = state->partial;
      }
      uint w[16];
      LOAD4(0, block) LOAD4(4, block) LOAD4(8, block) LOAD4(12, block)
      uint a = h0, b = h1, c = h2, d = h3, e = h4, f = h5, g = h6, h = h7;
      EIGHT(0, 0, LOADED) EIGHT(0, 8, LOADED)
      EIGHT(16, 0, NEXT) EIGHT(16, 8, NEXT)
      EIGHT(32, 0, NEXT) EIGHT(32, 8, NEXT)
      EIGHT(48, 0, NEXT) EIGHT(48, 8, NEXT)
      h0 += a; h1 += b; h2 += c; h3 += d; h4 += e; h5 += f; h6 += g; h7 += h;
    }
  }
  state->h[0] = h0; state->h[1] = h1; state->h[2] = h2; state->h[3] = h3;
  state->h[4] = h4; state->h[5] = h5; state->h[6] = h6; state->h[7] = h7;
  state->filled = filled;
}
)CL";

}  // namespace devmem
