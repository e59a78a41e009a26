// SPDX-License-Identifier: Apache-2.0
// Loads and stores of big-endian integers (RFC 1700 "network order") at any alignment. Every header
// view and every emitter in this folder goes through them, on any thread; no packet byte is ever
// read through a cast pointer.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace devmem {

static_assert(std::endian::native == std::endian::little,
              "devmem runs on little-endian machines; byte_order.h swaps without asking");

// Each load reads exactly the bytes that its name says, starting at `bytes`.
inline uint16_t LoadBe16(const uint8_t* bytes) {
  uint16_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return __builtin_bswap16(value);
}

inline uint32_t LoadBe32(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return __builtin_bswap32(value);
}

inline uint64_t LoadBe64(const uint8_t* bytes) {
  uint64_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return __builtin_bswap64(value);
}

// Each store writes exactly the bytes that its name says, starting at `bytes`.
inline void StoreBe16(uint8_t* bytes, uint16_t value) {
  const uint16_t swapped = __builtin_bswap16(value);
  std::memcpy(bytes, &swapped, sizeof(swapped));
}

inline void StoreBe32(uint8_t* bytes, uint32_t value) {
  const uint32_t swapped = __builtin_bswap32(value);
  std::memcpy(bytes, &swapped, sizeof(swapped));
}

inline void StoreBe64(uint8_t* bytes, uint64_t value) {
  const uint64_t swapped = __builtin_bswap64(value);
  std::memcpy(bytes, &swapped, sizeof(swapped));
}

}  // namespace devmem
