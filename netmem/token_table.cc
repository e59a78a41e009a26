// SPDX-License-Identifier: Apache-2.0
//
// Creation and tear-down of token tables.

#include "netmem/token_table.h"

#include <bit>
#include <utility>

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
    return absl::InvalidArgumentError("token table of lane 0; use CreateInOwnLane()");
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

absl::StatusOr<TokenTable> TokenTable::CreateInOwnLane(uint32_t capacity) {
  absl::StatusOr<TokenLane> lane = TokenLane::Take();
  if (!lane.ok()) return lane.status();
  absl::StatusOr<TokenTable> table = Create(lane->number(), capacity, lane->first_serial());
  if (!table.ok()) {
    lane->GiveBack(lane->first_serial());
    return table.status();
  }
  table->own_lane_ = *std::move(lane);
  return table;
}

std::optional<Token> TokenTable::Any() {
  if (held_ == 0) {
    sweep_ = 0;
    return std::nullopt;
  }
  while (slots_[sweep_ & mask_].token == 0) ++sweep_;
  return slots_[sweep_ & mask_].token;
}

std::optional<Piece> TokenTable::RemoveAny() {
  const std::optional<Token> any = Any();
  return any.has_value() ? Remove(*any) : std::nullopt;
}

}  // namespace devmem
