// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071), kept as partial sums that can be taken in pieces, in any order
// and by different engines, then combined. Called by the header views and builders on the worker's
// thread, and by whatever sums payload in a DMA engine's stead.
//
// A partial sum is a uint32_t that is congruent, modulo 0xffff, to the sum of the big-endian 16-bit
// words of the bytes; an odd last byte counts as if a zero byte followed. Numbers of a header
// (a length, a port) may therefore be added to it as they are. Any uint32_t is a valid partial sum.
#pragma once

#include <cstdint>
#include <span>

namespace devmem {

class IpAddress;

// Adds `bytes` to the partial sum `initial`. The result is at most 0xffff, and is 0 only if
// `initial` is 0 and all bytes are 0.
uint32_t PartialSum(std::span<const uint8_t> bytes, uint32_t initial = 0);

// Reduces a partial sum to its 16-bit ones' complement value, carries added back in.
constexpr uint16_t Fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum + (sum >> 16));
}

// The value to put in a checksum field whose bytes were zero while `sum` was taken. A received
// packet is right when Fold() of its sum, field included, is 0xffff.
constexpr uint16_t ChecksumField(uint32_t sum) { return static_cast<uint16_t>(~Fold(sum)); }

// The sum of A followed by B, from the sum of each. RFC 1071 section 2 (B): when B begins at an odd
// offset its bytes sit in the other half of each word, so its sum counts byte-swapped.
constexpr uint32_t Combine(uint32_t sum_a, uint32_t sum_b, bool b_starts_at_odd_offset) {
  const uint32_t b = Fold(sum_b);
  const uint32_t b_placed = b_starts_at_odd_offset ? ((b << 8) | (b >> 8)) & 0xffff : b;
  return Fold(Fold(sum_a) + b_placed);
}

// The sum of the pseudo-header that TCP covers: RFC 9293 section 3.1 for IPv4, RFC 8200 section 8.1
// for IPv6. `l4_bytes` counts the layer-4 header and payload. Both addresses are of the family that
// the name says.
uint32_t PseudoHeaderSumV4(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                           uint32_t l4_bytes);
uint32_t PseudoHeaderSumV6(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                           uint32_t l4_bytes);

// One of the two above, by the family of `destination`.
uint32_t PseudoHeaderSum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                         uint32_t l4_bytes);

}  // namespace devmem
