// SPDX-License-Identifier: Apache-2.0
//
// The names of the frags that a user holds. A token is a 64-bit serial that is never repeated: its
// top 16 bits say which table (lane) made it, the rest counts up. The entry for serial n lives in
// slot n mod capacity and stores its serial; a slot that is still occupied is skipped, and so is
// its serial. So a token that is stale, made up, returned twice or made by another table names
// nobody's frag, is refused, and is counted. (Linux reuses the lowest free id at once: there a
// double return can free another frag.) Called by the worker that owns it; counters may be read
// from any thread.

#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "netmem/counter.h"
#include "netmem/limits.h"
#include "netmem/netmem_ref.h"
#include "netmem/token_lane.h"
#include "provider/lazy_array.h"

namespace devmem {

// 0 names nothing.
using Token = uint64_t;

struct TokenStats {
  Counter issued;
  Counter returned;
  Counter refused;  // Unknown, foreign, stale and repeated returns.
};

class TokenTable {
 public:
  // Serials that a table gives out before it is full for ever, so that none is repeated. At ten
  // million frags a second it lasts for 325 days. Skipping occupied slots may go past it, but stays
  // in 48 bits.
  static constexpr uint64_t kSerialsMax = kTokenSerialsMax;

  // `lane` is not 0, and the caller's to give: tables of one lane know each other's tokens.
  // `capacity` is rounded up to a power of two. A table of which h slots are held skips
  // h / (capacity - h) slots per new token on average: a capacity of twice what may be held keeps
  // that below one. The first token has `first_serial`, from 1 to kSerialsMax.
  //
  // Errors: kInvalidArgument    a lane of 0, a capacity of 0 or above kPiecesMax, a first serial
  //                             out of its range.
  //         kResourceExhausted  no address space for the table.
  static absl::StatusOr<TokenTable> Create(uint16_t lane, uint32_t capacity,
                                           uint64_t first_serial = 1);

  // The same in a lane that no other table has, with serials that none before it in the lane gave
  // out: no token of an earlier table names anything in this one. token_lane.h.
  static absl::StatusOr<TokenTable> CreateInOwnLane(uint32_t capacity);

  TokenTable(TokenTable&&) noexcept = default;
  ~TokenTable() { own_lane_.GiveBack(serial_); }

  // No token can be issued until one is returned, or ever, when the serials are used up.
  bool full() const { return held_ == capacity() || serial_ > kSerialsMax; }
  uint32_t held() const { return held_; }
  // The bytes of the pieces that are held.
  uint64_t held_bytes() const { return held_bytes_; }
  uint32_t capacity() const { return static_cast<uint32_t>(slots_.size()); }
  const TokenStats& stats() const { return stats_; }
  uint16_t lane() const { return static_cast<uint16_t>(lane_bits_ >> kTokenSerialBits); }
  static uint16_t LaneOf(Token token) { return static_cast<uint16_t>(token >> kTokenSerialBits); }

  // Names a piece. The table must not be full.
  Token Insert(const Piece& piece) {
    Slot* slot = &slots_[serial_ & mask_];
    while (slot->token != 0) slot = &slots_[++serial_ & mask_];
    // Serials walk through the whole table, which is larger than the L2: fetch ahead.
    __builtin_prefetch(&slots_[(serial_ + kPrefetchDistance) & mask_], 1);
    const Token token = lane_bits_ | serial_++;
    // Written in place: by way of a temporary it would be read back wide, and wait for the stores.
    slot->token = token;
    slot->piece.emplace(piece);
    ++held_;
    held_bytes_ += piece.length_bytes;
    ++stats_.issued;
    return token;
  }

  // The piece that a token names, which it goes on naming; nullptr when it names none. Valid until
  // the next non-const call.
  const Piece* Find(Token token) const {
    const Slot& slot = slots_[token & mask_];
    return slot.token == token && token != 0 ? &*slot.piece : nullptr;
  }

  // Ends a token and says which piece it named; nothing when it names none.
  std::optional<Piece> Remove(Token token) {
    Slot& slot = slots_[token & mask_];
    const bool held = slot.token == token && token != 0;
    if (held) [[likely]] {
      slot.token = 0;
      --held_;
      held_bytes_ -= slot.piece->length_bytes;
      ++stats_.returned;
    } else {
      ++stats_.refused;
    }
    return held ? slot.piece : kNoPieceNamed;
  }

  // Any token that is still held, lowest slot first, and the same ended; nothing when none is. For
  // the end of an owner.
  std::optional<Token> Any();
  std::optional<Piece> RemoveAny();

 private:
  struct Slot {
    Token token = 0;  // 0: empty.
    // Kept in the form in which Remove() returns it, so that this is one copy of 16 bytes. A result
    // made of parts is stored in parts and then read whole, which waits 10 ns for the stores.
    std::optional<Piece> piece;
  };

  static constexpr uint32_t kPrefetchDistance = 16;

  TokenTable(uint16_t lane, uint32_t capacity, uint64_t first_serial);

  static constexpr std::optional<Piece> kNoPieceNamed = std::nullopt;

  LazyArray<Slot> slots_;
  uint64_t mask_ = 0;
  uint64_t lane_bits_ = 0;
  uint64_t serial_ = 1;  // Of the next token, unless its slot is occupied.
  uint32_t held_ = 0;
  uint64_t held_bytes_ = 0;
  uint32_t sweep_ = 0;  // Slots below it are known empty during Any().
  TokenStats stats_;
  TokenLane own_lane_;  // None where the caller chose the lane.
};

}  // namespace devmem
