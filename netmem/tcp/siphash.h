// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4, the keyed hash of Aumasson and Bernstein ("SipHash: a fast short-input PRF", 2012).
// It makes initial sequence numbers, timestamp offsets and port choices that a stranger cannot
// predict. Pure functions, any thread. About 40 ns for a connection's key: handshakes only, not per
// segment.
#pragma once

#include <cstdint>
#include <span>

namespace devmem {

// 128 secret random bits, drawn once per process. The halves are the key's little-endian words.
struct SipKey {
  uint64_t low = 0;
  uint64_t high = 0;
};

uint64_t SipHash24(const SipKey& key, std::span<const uint8_t> bytes);

}  // namespace devmem
