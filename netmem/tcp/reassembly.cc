// SPDX-License-Identifier: Apache-2.0
//
// The list work of the reassembly queue.

#include "netmem/tcp/reassembly.h"

#include <algorithm>

#include "netmem/tcp/limits.h"

namespace devmem {

uint32_t ReassemblyRanges::Alloc(SeqNum left) {
  uint32_t index = 0;
  if (free_plus_one_ != 0) {
    index = free_plus_one_ - 1;
    free_plus_one_ = entries_[index].next_plus_one;
  } else if (fresh_ < entries_.size()) {
    index = fresh_++;
  } else {
    return kNone;
  }
  ++in_use_;
  entries_[index] = ReassemblyRange{left, PieceQueue(), 0};
  return index;
}

void ReassemblyRanges::Free(uint32_t index) {
  entries_[index].next_plus_one = free_plus_one_;
  free_plus_one_ = index + 1;
  --in_use_;
}

uint32_t Reassembly::FindAtOrBefore(const ReassemblyRanges& ranges, SeqNum at) const {
  // Data mostly arrives behind everything that is here: try the end first.
  if (tail_plus_one_ != 0 && ranges[tail_plus_one_ - 1].left <= at) return tail_plus_one_ - 1;
  uint32_t found = ReassemblyRanges::kNone;
  for (uint32_t link = head_plus_one_; link != 0 && ranges[link - 1].left <= at;
       link = ranges[link - 1].next_plus_one) {
    found = link - 1;
  }
  return found;
}

void Reassembly::LinkAfter(ReassemblyRanges& ranges, uint32_t previous, uint32_t index) {
  uint32_t& link =
      previous == ReassemblyRanges::kNone ? head_plus_one_ : ranges[previous].next_plus_one;
  ranges[index].next_plus_one = link;
  if (link == 0) tail_plus_one_ = index + 1;
  link = index + 1;
  ++range_count_;
}

void Reassembly::UnlinkAfter(ReassemblyRanges& ranges, uint32_t previous, uint32_t index) {
  uint32_t& link =
      previous == ReassemblyRanges::kNone ? head_plus_one_ : ranges[previous].next_plus_one;
  link = ranges[index].next_plus_one;
  if (tail_plus_one_ == index + 1) {
    tail_plus_one_ = previous == ReassemblyRanges::kNone ? 0 : previous + 1;
  }
  --range_count_;
}

uint32_t Reassembly::NewRange(ReassemblyRanges& ranges, PieceStore& store, SeqNum left,
                              bool must_fit, SeqRange* dropped) {
  if (must_fit || range_count_ < kReassemblyRangesMax) {
    const uint32_t index = ranges.Alloc(left);
    if (index != ReassemblyRanges::kNone) return index;
    // The data at rcv_nxt is what ends the shortage, so it is never the one refused.
    if (must_fit && !empty()) {
      *dropped = DropLast(ranges, store);
      return ranges.Alloc(left);
    }
  }
  return ReassemblyRanges::kNone;
}

// Cutting a piece in two takes an entry of the piece array. Without one, the piece is trimmed
// instead: what is cut off comes again, or is a second copy of the next range.
uint32_t Reassembly::Store(ReassemblyRanges& ranges, PieceStore& store, uint32_t index,
                           PieceQueue& pieces, uint32_t bytes) {
  PieceQueue& to = ranges[index].pieces;
  const uint64_t before = to.bytes();
  uint32_t dropped = 0;
  if (!store.MoveFront(pieces, bytes, to)) {
    const uint64_t rest = bytes - (to.bytes() - before);
    dropped = static_cast<uint32_t>(pieces.bytes() - rest);
    store.DropBack(pieces, dropped);
    (void)store.MoveFront(pieces, rest, to);
  }
  bytes_ += bytes;
  return dropped;
}

void Reassembly::JoinNext(ReassemblyRanges& ranges, PieceStore& store, uint32_t index) {
  const uint32_t next_plus_one = ranges[index].next_plus_one;
  if (next_plus_one == 0 || ranges[next_plus_one - 1].left != ranges[index].right()) return;
  store.Splice(ranges[index].pieces, ranges[next_plus_one - 1].pieces);
  UnlinkAfter(ranges, index, next_plus_one - 1);
  ranges.Free(next_plus_one - 1);
}

InsertResult Reassembly::Insert(ReassemblyRanges& ranges, PieceStore& store, SeqNum left,
                                PieceQueue& pieces, bool must_fit, SeqRange* dropped) {
  InsertResult result;
  SeqNum at = left;
  uint32_t previous = FindAtOrBefore(ranges, at);
  while (!pieces.empty()) {
    const uint32_t here_bytes = static_cast<uint32_t>(pieces.bytes());
    if (previous != ReassemblyRanges::kNone && ranges[previous].right() > at) {
      // Here already: drop the later copy.
      const uint32_t again =
          std::min(here_bytes, static_cast<uint32_t>(ranges[previous].right() - at));
      if (result.duplicate.empty()) result.duplicate = SeqRange{at, at + again};
      result.duplicate_bytes += again;
      result.block = SeqRange{ranges[previous].left, ranges[previous].right()};
      store.DropFront(pieces, again);
      at += again;
      continue;
    }
    const uint32_t next_plus_one =
        previous == ReassemblyRanges::kNone ? head_plus_one_ : ranges[previous].next_plus_one;
    uint32_t part = here_bytes;
    if (next_plus_one != 0) {
      part = std::min(part, static_cast<uint32_t>(ranges[next_plus_one - 1].left - at));
    }
    if (previous == ReassemblyRanges::kNone || ranges[previous].right() != at) {
      const uint32_t index = NewRange(ranges, store, at, must_fit, dropped);
      if (index == ReassemblyRanges::kNone) {
        result.forgotten_bytes += here_bytes;
        store.DropAll(pieces);
        return result;
      }
      LinkAfter(ranges, previous, index);
      previous = index;
    }
    result.forgotten_bytes += Store(ranges, store, previous, pieces, part);
    result.stored_bytes += part;
    at += part;
    JoinNext(ranges, store, previous);
    result.block = SeqRange{ranges[previous].left, ranges[previous].right()};
  }
  return result;
}

uint64_t Reassembly::Drain(ReassemblyRanges& ranges, PieceStore& store, SeqNum rcv_nxt,
                           PieceQueue& to) {
  if (empty()) return 0;
  const uint32_t index = head_plus_one_ - 1;
  if (ranges[index].left != rcv_nxt) return 0;
  const uint64_t drained = ranges[index].pieces.bytes();
  store.Splice(to, ranges[index].pieces);
  UnlinkAfter(ranges, ReassemblyRanges::kNone, index);
  ranges.Free(index);
  bytes_ -= static_cast<uint32_t>(drained);
  return drained;
}

SeqRange Reassembly::DropLast(ReassemblyRanges& ranges, PieceStore& store) {
  const uint32_t last = tail_plus_one_ - 1;
  uint32_t previous = ReassemblyRanges::kNone;
  for (uint32_t link = head_plus_one_; link - 1 != last; link = ranges[link - 1].next_plus_one) {
    previous = link - 1;
  }
  const SeqRange gone{ranges[last].left, ranges[last].right()};
  bytes_ -= gone.bytes();
  store.DropAll(ranges[last].pieces);
  UnlinkAfter(ranges, previous, last);
  ranges.Free(last);
  return gone;
}

void Reassembly::DropAll(ReassemblyRanges& ranges, PieceStore& store) {
  while (!empty()) DropLast(ranges, store);
}

}  // namespace devmem
