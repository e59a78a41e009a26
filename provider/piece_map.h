// SPDX-License-Identifier: Apache-2.0
// PieceMap: which of many granules are free, where enough of them lie side by side, and where the
// pieces begin that the others were handed out in. It is the search half of Suballocator
// (suballocator.h), which checks what is asked; used on its owner's thread. Nothing allocates after
// construction.
#pragma once

#include <array>
#include <cstdint>

#include "provider/lazy_array.h"
#include "provider/run_classes.h"

namespace devmem {

// Two bits for each granule, used and first of a piece, and above the words of 64 of them two kinds
// of summary:
//
//   - RunClasses: which words have a free run of 1, 2, 3, ... 64 granules that begins in them.
//   Short
//     runs are found by it, the lowest first, in four looks.
//   - A tree of eight to one whose nodes know the free runs at their start, at their end, and the
//     longest inside where that is 64 or more. Long runs are found by it, the lowest first, in one
//     walk downwards. What short pieces do seldom reaches its second level.
//
// Costs, for N granules: Find() without alignment O(log N). With an alignment above one granule it
// looks at every word, or at every node, that has a free run of enough granules in the worst case,
// at most N / (count + 1); as a rule a run that holds every alignment is there, and found in
// O(log N). Take() and Give() O(count / 64 + log N).
//
// Invariants:
//   1. The summaries say what the bits say.
//   2. Granules behind the last one, and nodes behind the last word, count as used.
//   3. Zeroes mean free, in each array, so that a fresh map costs no memory but its edge.
class PieceMap {
 public:
  static constexpr uint64_t kNone = UINT64_MAX;
  static constexpr uint64_t kGranulesMax = uint64_t{1} << 30;

  PieceMap() = default;
  // `count` free granules, 1 to kGranulesMax. Check ok() afterwards: false when the
  // address space does not hold the map.
  explicit PieceMap(uint64_t count);

  bool ok() const { return ok_; }
  uint64_t count() const { return count_; }

  // The first of `count` free neighbours, with first + `bias` a multiple of `alignment`, a power of
  // two. kNone when there are none.
  uint64_t Find(uint64_t count, uint64_t alignment, uint64_t bias) const;

  // Makes a piece of granules that are free, or frees those of a piece: the caller knows.
  void Take(uint64_t first, uint64_t count) {
    words_[first / 64].begins |= uint64_t{1} << (first % 64);
    Change(first, count, true);
  }
  void Give(uint64_t first, uint64_t count) {
    words_[first / 64].begins &= ~(uint64_t{1} << (first % 64));
    Change(first, count, false);
  }

  // Whether a piece begins with this granule, and the granule behind its last.
  bool Begins(uint64_t granule) const {
    return (words_[granule / 64].begins >> (granule % 64) & 1) != 0;
  }
  uint64_t EndOfPiece(uint64_t first) const;

  // The most free neighbours that there are.
  uint64_t longest() const;

 private:
  static constexpr uint32_t kFanOut = 8;
  static constexpr uint32_t kLevelsMax = 9;  // 64 x 8^8 granules.

  // 64 granules. The free runs at the start, at the end, and the reach (run_classes.h), are said as
  // what is missing from 64.
  struct Word {
    uint64_t used = 0;
    uint64_t begins = 0;
    uint8_t prefix = 0;
    uint8_t suffix = 0;
    uint8_t reach = 0;
  };
  // The same of a node above words, as what is missing from its span; `longest` is exact where a
  // free run of 64 or more is there, else it says none.
  struct Node {
    uint32_t prefix = 0;
    uint32_t suffix = 0;
    uint32_t longest = 0;
    bool operator==(const Node&) const = default;
  };
  // What is there, of a word or a node.
  struct Runs {
    uint32_t prefix = 0;
    uint32_t suffix = 0;
    uint32_t longest = 0;
  };

  // A walk that looks for a long run: what is asked, the free run that ends where the walk is, and
  // what was found.
  struct Walk {
    uint64_t count;
    uint64_t alignment;
    uint64_t bias;
    uint64_t run_first = 0;
    uint64_t run = 0;
    uint64_t found = kNone;
  };

  static constexpr uint32_t SpanOf(uint32_t level) { return 64u << (3 * level); }
  static bool Fits(Walk& walk);

  Runs RunsAt(uint32_t level, uint64_t index) const;
  Runs Merge(uint32_t level, uint64_t index) const;
  bool SetNode(uint32_t level, uint64_t index, const Runs& runs);

  // Words behind the last one are used: level 0 has whole families, too.
  uint32_t PrefixOf(uint64_t word) const {
    return word < words_.size() ? 64u - words_[word].prefix : 0;
  }
  uint64_t StartsIn(uint64_t word, uint64_t count) const;
  uint64_t FindShort(uint64_t count, uint64_t alignment, uint64_t bias) const;
  uint64_t FindLong(uint64_t count, uint64_t alignment, uint64_t bias) const;
  bool Visit(uint32_t level, uint64_t index, Walk& walk) const;

  void Change(uint64_t first, uint64_t count, bool used);
  bool ChangeBits(uint64_t word, uint64_t mask, bool used);
  void ChangeWholeWords(uint64_t first, uint64_t end, bool used);
  void RefreshReach(uint64_t word);
  void Climb(uint64_t first_word, uint64_t last_word, bool used);

  uint64_t count_ = 0;
  bool ok_ = false;
  LazyArray<Word> words_;
  LazyArray<Node> nodes_;  // Levels 1 and up, one behind the other.
  std::array<uint64_t, kLevelsMax> first_node_ = {};
  uint32_t level_count_ = 0;  // That of the words, number 0, included.
  RunClasses classes_;
};

}  // namespace devmem
