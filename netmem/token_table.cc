// SPDX-License-Identifier: Apache-2.0
//
// Creation and tear-down of token tables.

#include "netmem/token_table.h"

#include <atomic>
#include <bit>

#include "absl/strings/str_cat.h"

namespace devmem {

TokenTable::TokenTable(uint16_t lane, uint32_t capacity, uint64_t first_serial)
    : slots_(capacity),
      mask_(capacity - 1),
      lane_bits_(uint64_t{lane} << kTokenSerialBits),
      serial_(first_serial) {}

absl::StatusOr<TokenTable> TokenTable::Create(uint16_t lane, uint32_t capacity,
                                              uint64_t first_serial) {
  if (lane == 0) {
    return absl::InvalidArgumentError("token table of lane 0; take a lane from NextLane()");
  }
  if (capacity == 0 || capacity > kPiecesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("token table of ", capacity, " entries; choose from 1 to ", kPiecesMax));
  }
  if (first_serial == 0 || first_serial > kSerialsMax) {
    return absl::InvalidArgumentError(absl::StrCat("token table with first serial ", first_serial,
                                                   "; choose from 1 to ", kSerialsMax));
  }
  TokenTable table(lane, std::bit_ceil(capacity), first_serial);
  if (!table.slots_.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no address space for a token table of ", capacity, " entries; bind less"));
  }
  return table;
}

uint16_t TokenTable::NextLane() {
  // Relaxed: only the number must be unique, it orders nothing.
  static std::atomic<uint32_t> next{0};
  return static_cast<uint16_t>(1 + next.fetch_add(1, std::memory_order_relaxed) % 65535);
}

std::optional<Piece> TokenTable::RemoveAny() {
  if (held_ == 0) {
    sweep_ = 0;
    return std::nullopt;
  }
  while (slots_[sweep_ & mask_].token == 0) ++sweep_;
  return Remove(slots_[sweep_ & mask_].token);
}

}  // namespace devmem
