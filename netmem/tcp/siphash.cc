// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 from the paper's description: two rounds per 8-byte word, four at the end. The last
// word carries the bytes that are left over and, in its top byte, the length modulo 256.
#include "netmem/tcp/siphash.h"

#include <bit>
#include <cstddef>

namespace devmem {
namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void Absorb(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
};

// Up to 8 bytes, the first in the lowest byte.
uint64_t LoadLittleEndian(std::span<const uint8_t> bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes.size(); ++i) word |= uint64_t{bytes[i]} << (8 * i);
  return word;
}

}  // namespace

uint64_t SipHash24(const SipKey& key, std::span<const uint8_t> bytes) {
  // The constants spell "somepseudorandomlygeneratedbytes".
  SipState state{key.low ^ 0x736f6d6570736575, key.high ^ 0x646f72616e646f6d,
                 key.low ^ 0x6c7967656e657261, key.high ^ 0x7465646279746573};
  const uint64_t length = bytes.size();
  for (; bytes.size() >= 8; bytes = bytes.subspan(8))
    state.Absorb(LoadLittleEndian(bytes.first(8)));
  state.Absorb(LoadLittleEndian(bytes) | length << 56);
  state.v2 ^= 0xff;
  for (int round = 0; round < 4; ++round) state.Round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace devmem
