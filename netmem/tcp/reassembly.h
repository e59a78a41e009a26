// SPDX-License-Identifier: Apache-2.0
//
// The reassembly queue of one connection: data that arrived ahead of a hole, kept by reference
// (RFC 9293 section 3.10.7.4, seventh step; what SACK reports comes from here). It is a short list
// of ranges of the sequence space, each with its pieces:
//
//      rcv_nxt        left     right          left   right
//         |   hole     |========|     hole     |======|            -> sequence space
//
// Invariants:
//   1. Ranges are in sequence order, none is empty, and no two touch or overlap.
//   2. The first range begins behind rcv_nxt; Drain() is called whenever rcv_nxt has moved up to
//   it.
//   3. The first copy of a byte wins: what arrives again is dropped, never written over.
//
// Range entries come from one array per engine, made once. Used by one worker; nothing allocates.

#pragma once

#include <cstdint>

#include "netmem/piece_store.h"
#include "netmem/wire/seq_num.h"
#include "provider/lazy_array.h"

namespace devmem {

struct ReassemblyRange {
  SeqNum left;
  PieceQueue pieces;
  uint32_t next_plus_one = 0;

  SeqNum right() const { return left + static_cast<uint32_t>(pieces.bytes()); }
};

// The engine's range entries; a free list like PieceArray's.
class ReassemblyRanges {
 public:
  ReassemblyRanges() = default;
  explicit ReassemblyRanges(uint32_t capacity) : entries_(capacity) {}

  bool ok() const { return entries_.ok(); }
  uint32_t in_use() const { return in_use_; }
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t Alloc(SeqNum left);  // kNone when used up.
  void Free(uint32_t index);
  ReassemblyRange& operator[](uint32_t index) { return entries_[index]; }
  const ReassemblyRange& operator[](uint32_t index) const { return entries_[index]; }

 private:
  LazyArray<ReassemblyRange> entries_;
  uint32_t free_plus_one_ = 0;
  uint32_t fresh_ = 0;
  uint32_t in_use_ = 0;
};

// A part of the sequence space, [left, right). Empty when they are equal.
struct SeqRange {
  SeqNum left;
  SeqNum right;

  bool empty() const { return left == right; }
  uint32_t bytes() const { return right.value() - left.value(); }
};

struct InsertResult {
  uint32_t stored_bytes = 0;     // New, and kept.
  uint32_t duplicate_bytes = 0;  // Here already.
  uint32_t forgotten_bytes = 0;  // Found no entry and were dropped.
  SeqRange block;                // The range that now holds the segment's end; may be empty.
  SeqRange duplicate;            // The first part that was here already (for D-SACK); may be empty.
};

class Reassembly {
 public:
  bool empty() const { return head_plus_one_ == 0; }
  uint32_t range_count() const { return range_count_; }
  uint32_t bytes() const { return bytes_; }
  // Of the first range; the list is not empty.
  SeqNum first_left(const ReassemblyRanges& ranges) const {
    return ranges[head_plus_one_ - 1].left;
  }

  // Every range from left to right, `visit(left, right)`: for checks.
  template <typename Visit>
  void VisitRanges(const ReassemblyRanges& ranges, Visit visit) const {
    for (uint32_t link = head_plus_one_; link != 0; link = ranges[link - 1].next_plus_one) {
      visit(ranges[link - 1].left, ranges[link - 1].right());
    }
  }

  // Takes in `pieces`, which begin at `left`, at or behind rcv_nxt. Empties `pieces` in any case:
  // what is not kept is put back. With `must_fit` (data at rcv_nxt) the farthest range is given up,
  // and named in `*dropped`, when no range entry is left; some of the data is stored in any case.
  InsertResult Insert(ReassemblyRanges& ranges, PieceStore& store, SeqNum left, PieceQueue& pieces,
                      bool must_fit, SeqRange* dropped);

  // Moves the first range to the end of `to` if it begins at `rcv_nxt`. Returns its bytes, else 0.
  uint64_t Drain(ReassemblyRanges& ranges, PieceStore& store, SeqNum rcv_nxt, PieceQueue& to);

  // Gives up the farthest range and says which it was. The list is not empty.
  SeqRange DropLast(ReassemblyRanges& ranges, PieceStore& store);
  void DropAll(ReassemblyRanges& ranges, PieceStore& store);

 private:
  // The last range with left <= at; kNone when the first one is behind `at`.
  uint32_t FindAtOrBefore(const ReassemblyRanges& ranges, SeqNum at) const;
  void LinkAfter(ReassemblyRanges& ranges, uint32_t previous, uint32_t index);
  void UnlinkAfter(ReassemblyRanges& ranges, uint32_t previous, uint32_t index);
  // Stores the first `bytes` of `pieces` at the end of a range; what lies behind them is dropped
  // too when the piece array is used up. Returns the bytes that were dropped for that.
  uint32_t Store(ReassemblyRanges& ranges, PieceStore& store, uint32_t index, PieceQueue& pieces,
                 uint32_t bytes);
  // Joins a range with the one behind it when the two touch.
  void JoinNext(ReassemblyRanges& ranges, PieceStore& store, uint32_t index);
  uint32_t NewRange(ReassemblyRanges& ranges, PieceStore& store, SeqNum left, bool must_fit,
                    SeqRange* dropped);

  uint32_t head_plus_one_ = 0;
  uint32_t tail_plus_one_ = 0;
  uint32_t range_count_ = 0;
  uint32_t bytes_ = 0;  // Inside one window, so below 2^30.
};

}  // namespace devmem
