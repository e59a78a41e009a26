// SPDX-License-Identifier: Apache-2.0
//
// Cutting queues of pieces.

#include "netmem/piece_store.h"

#include <algorithm>

namespace devmem {

void PieceStore::DropFront(PieceQueue& queue, uint64_t bytes) {
  while (bytes > 0) {
    Piece& front = (*array_)[queue.front_index()].piece;
    if (bytes >= front.length_bytes) {
      bytes -= front.length_bytes;
      Put(PopFront(queue));
      continue;
    }
    const uint32_t cut = static_cast<uint32_t>(bytes);
    PoolOf(front.netmem).TrimHead(front, cut);
    queue.OnShrunk(cut);
    Count(front.netmem, -int64_t{cut});
    return;
  }
}

// A queue is linked forwards only, so its new end is found from the front. This runs when a segment
// overlaps what comes after it, or when out-of-order data is given up: never in a plain transfer.
void PieceStore::DropBack(PieceQueue& queue, uint64_t bytes) {
  uint64_t keep = queue.bytes() - bytes;
  PieceQueue kept;
  while (keep > 0) {
    const uint32_t index = queue.PopFront(*array_);
    Piece& piece = (*array_)[index].piece;
    if (piece.length_bytes > keep) {
      Count(piece.netmem, static_cast<int64_t>(keep) - piece.length_bytes);
      PoolOf(piece.netmem).TrimTail(piece, piece.length_bytes - static_cast<uint32_t>(keep));
    }
    keep -= piece.length_bytes;
    kept.PushBack(*array_, index);
  }
  DropAll(queue);
  queue = kept;
}

void PieceStore::DropAll(PieceQueue& queue) {
  while (!queue.empty()) Put(PopFront(queue));
}

// The entry's piece joins the last one of the queue when the two touch, and the entry is free
// again.
void PieceStore::PushBack(PieceQueue& to, uint32_t index) {
  const Piece& piece = (*array_)[index].piece;
  if (!to.empty()) {
    Piece& back = (*array_)[to.back_index()].piece;
    if (back.netmem.is_device() == piece.netmem.is_device() &&
        PoolOf(piece.netmem).Merge(back, piece)) {
      to.OnGrown(piece.length_bytes);
      array_->Free(index);
      return;
    }
  }
  to.PushBack(*array_, index);
}

void PieceStore::Splice(PieceQueue& to, PieceQueue& from) {
  if (from.empty()) return;
  if (!to.empty()) PushBack(to, from.PopFront(*array_));
  to.Splice(*array_, from);
}

bool PieceStore::MoveFront(PieceQueue& from, uint64_t bytes, PieceQueue& to) {
  while (bytes > 0) {
    Piece& front = (*array_)[from.front_index()].piece;
    if (front.length_bytes <= bytes) {
      bytes -= front.length_bytes;
      PushBack(to, from.PopFront(*array_));
      continue;
    }
    const uint32_t part = static_cast<uint32_t>(bytes);
    const uint32_t index = array_->Alloc(Piece{});
    if (index == kNoPiece) return false;
    // Split() keeps the first part in place: give that part to the new entry and the rest to
    // `front`.
    Piece& whole = (*array_)[from.front_index()].piece;
    const Piece rest = PoolOf(whole.netmem).Split(whole, part);
    (*array_)[index].piece = whole;
    whole = rest;
    from.OnShrunk(part);
    PushBack(to, index);
    return true;
  }
  return true;
}

}  // namespace devmem
