// SPDX-License-Identifier: Apache-2.0
// The summing loop of the Internet checksum. It adds machine words in memory order and swaps the
// folded result once at the end, which RFC 1071 section 2 (B) shows to be the same sum.
#include "netmem/wire/checksum.h"

#include <cstddef>
#include <cstring>

#include "netmem/wire/ip_address.h"

namespace devmem {
namespace {

// Two 64-bit lanes: the widest vector that every x86-64 and every AArch64 has.
using Lanes = uint64_t __attribute__((vector_size(16)));

constexpr size_t kBlockBytes = 4 * sizeof(Lanes);

template <typename Word>
Word Load(const uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

// Adds up the 32-bit words of whole blocks. The low and high halves of each 64-bit word go to sums
// of their own, so that no carry is lost: a lane overflows only after 2^32 words.
uint64_t SumBlocks(const uint8_t* bytes, size_t block_count) {
  const Lanes low_half = {0xffffffff, 0xffffffff};
  Lanes low = {0, 0};
  Lanes high = {0, 0};
  for (; block_count != 0; --block_count, bytes += kBlockBytes) {
    const Lanes a = Load<Lanes>(bytes);
    const Lanes b = Load<Lanes>(bytes + 16);
    const Lanes c = Load<Lanes>(bytes + 32);
    const Lanes d = Load<Lanes>(bytes + 48);
    low += ((a & low_half) + (b & low_half)) + ((c & low_half) + (d & low_half));
    high += ((a >> 32) + (b >> 32)) + ((c >> 32) + (d >> 32));
  }
  const Lanes both = (low & low_half) + (low >> 32) + (high & low_half) + (high >> 32);
  return both[0] + both[1];
}

// Adds up what is left behind the blocks, fewer than kBlockBytes, a missing last byte being zero.
uint64_t SumTail(const uint8_t* bytes, size_t count) {
  uint64_t sum = 0;
  for (; count >= 8; count -= 8, bytes += 8) {
    const uint64_t word = Load<uint64_t>(bytes);
    sum += (word & 0xffffffff) + (word >> 32);
  }
  if ((count & 4) != 0) {
    sum += Load<uint32_t>(bytes);
    bytes += 4;
  }
  if ((count & 2) != 0) {
    sum += Load<uint16_t>(bytes);
    bytes += 2;
  }
  return (count & 1) != 0 ? sum + *bytes : sum;
}

constexpr uint16_t Fold64(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
  return Fold(static_cast<uint32_t>(sum));
}

constexpr uint32_t SumOfWords(uint64_t value) {
  return static_cast<uint32_t>((value >> 48) + (value >> 32 & 0xffff) + (value >> 16 & 0xffff) +
                               (value & 0xffff));
}

}  // namespace

uint32_t PartialSum(std::span<const uint8_t> bytes, uint32_t initial) {
  const size_t block_count = bytes.size() / kBlockBytes;
  const size_t tail_bytes = bytes.size() % kBlockBytes;
  uint64_t sum = SumTail(bytes.data() + block_count * kBlockBytes, tail_bytes);
  if (block_count != 0) sum += SumBlocks(bytes.data(), block_count);
  return Fold(__builtin_bswap16(Fold64(sum)) + uint32_t{Fold(initial)});
}

uint32_t PseudoHeaderSumV4(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                           uint32_t l4_bytes) {
  return SumOfWords(source.v4()) + SumOfWords(destination.v4()) + protocol + SumOfWords(l4_bytes);
}

uint32_t PseudoHeaderSumV6(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                           uint32_t l4_bytes) {
  return SumOfWords(source.high()) + SumOfWords(source.low()) + SumOfWords(destination.high()) +
         SumOfWords(destination.low()) + protocol + SumOfWords(l4_bytes);
}

uint32_t PseudoHeaderSum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                         uint32_t l4_bytes) {
  return destination.is_v4() ? PseudoHeaderSumV4(source, destination, protocol, l4_bytes)
                             : PseudoHeaderSumV6(source, destination, protocol, l4_bytes);
}

}  // namespace devmem
