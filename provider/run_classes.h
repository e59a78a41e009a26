// SPDX-License-Identifier: Apache-2.0
// RunClasses: which words of 64 granules have a free run of at least so many granules, for each
// length from 1 to 64. The index of PieceMap (piece_map.h) for short runs, on its owner's thread.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "provider/lazy_array.h"

namespace devmem {

// A word's reach is the longest free run that begins in it, at most 64. For each reach there is a
// bitmap of the words that lack it, under levels of summaries, 64 to one, so that the lowest word
// among 2^24 is found in four looks. The 64 bitmaps lie interleaved: a group is the 64 reaches of
// 64 words, and a word whose reach changes a little touches a cache line or two.
//
// Invariants:
//   1. A word that lacks a reach lacks every longer one: in a group, each bitmap is part of the
//      next.
//   2. A bit of a summary is set exactly when the 64 bits below it are.
//   3. What lies behind the last word lacks every reach.
// Words of reach 64 are zeroes, so that an index of free granules costs no memory but its edge.
class RunClasses {
 public:
  static constexpr uint64_t kNone = UINT64_MAX;
  static constexpr uint32_t kReachMax = 64;

  RunClasses() = default;
  // `words` words, at least one, of reach 64. Check ok() afterwards.
  explicit RunClasses(uint64_t words);

  bool ok() const { return groups_.ok() && groups_.size() > 0; }

  // A word's reach was `from` and is `to`.
  void Change(uint64_t word, uint32_t from, uint32_t to) {
    if (to < from) {
      Lose(0, word, to, from);
    } else if (from < to) {
      Win(0, word, from, to);
    }
  }

  // The words [first, end) have no free granule any more, or none but free ones; 64 at a time where
  // they fill groups.
  void LoseAll(uint64_t first, uint64_t end) { ChangeAll(0, first, end, true); }
  void WinAll(uint64_t first, uint64_t end) { ChangeAll(0, first, end, false); }

  // The lowest word from `from` on with a reach of at least `reach`, 1 to 64; kNone.
  uint64_t Lowest(uint32_t reach) const {
    uint64_t index = 0;
    for (uint32_t level = level_count_; level-- > 0;) {
      const uint64_t lacking = groups_[first_group_[level] + index].lacking[reach - 1];
      if (lacking == kAll) return kNone;  // At the top only, by invariant 2.
      index = index * 64 + static_cast<uint64_t>(std::countr_one(lacking));
    }
    return index;
  }
  uint64_t LowestFrom(uint32_t reach, uint64_t from) const;

 private:
  static constexpr uint64_t kAll = UINT64_MAX;
  static constexpr uint32_t kLevelsMax = 4;  // 2^24 words.

  // 64 words of a level below, bit n for the n-th; lacking[r - 1] for reach r.
  struct Group {
    std::array<uint64_t, kReachMax> lacking;
  };

  // The reaches above `to`, up to `from`, are no longer there, or have come: at one index of a
  // level and, as far as that makes a difference, in the summaries above.
  void Lose(uint32_t level, uint64_t index, uint32_t to, uint32_t from);
  void Win(uint32_t level, uint64_t index, uint32_t from, uint32_t to);
  void ChangeAll(uint32_t level, uint64_t first, uint64_t end, bool lose);

  Group& GroupOf(uint32_t level, uint64_t index) {
    return groups_[first_group_[level] + index / 64];
  }

  LazyArray<Group> groups_;  // The levels one behind the other, that of the words first.
  std::array<uint64_t, kLevelsMax> first_group_ = {};
  std::array<uint64_t, kLevelsMax> counts_ = {};  // How many bits of a level mean something.
  uint32_t level_count_ = 0;
};

}  // namespace devmem
