// SPDX-License-Identifier: Apache-2.0
//
// Where pieces wait: the per-queue array of piece entries, made once at bind, and the first-in
// first-out lists that connections build from it by index. A worker owns one array and all lists on
// it; nothing here allocates. When the array is used up, out-of-order data goes first and then the
// engine pushes back, so its bound is also the bound on how finely a peer can cut our memory.

#pragma once

#include <cstdint>

#include "netmem/netmem_ref.h"
#include "provider/lazy_array.h"

namespace devmem {

inline constexpr uint32_t kNoPiece = UINT32_MAX;

struct PieceEntry {
  Piece piece;
  uint32_t next_plus_one = 0;  // The entry after this one in its list; 0 at the end.
};

class PieceArray {
 public:
  PieceArray() = default;
  explicit PieceArray(uint32_t capacity) : entries_(capacity) {}

  bool ok() const { return entries_.ok(); }
  // A binding came that wants more entries; control path. False when there is no address space.
  bool Grow(uint32_t capacity) { return entries_.Grow(capacity); }
  uint32_t capacity() const { return static_cast<uint32_t>(entries_.size()); }
  uint32_t in_use() const { return in_use_; }
  uint32_t free_count() const { return capacity() - in_use_; }

  // An entry for `piece`, in no list; kNoPiece when the array is used up.
  uint32_t Alloc(const Piece& piece) {
    uint32_t index = 0;
    if (free_plus_one_ != 0) {
      index = free_plus_one_ - 1;
      free_plus_one_ = entries_[index].next_plus_one;
    } else if (fresh_ < capacity()) {
      index = fresh_++;
    } else {
      return kNoPiece;
    }
    ++in_use_;
    entries_[index] = PieceEntry{piece, 0};
    return index;
  }
  void Free(uint32_t index) {
    entries_[index].next_plus_one = free_plus_one_;
    free_plus_one_ = index + 1;
    --in_use_;
  }

  PieceEntry& operator[](uint32_t index) { return entries_[index]; }
  const PieceEntry& operator[](uint32_t index) const { return entries_[index]; }

 private:
  LazyArray<PieceEntry> entries_;
  uint32_t free_plus_one_ = 0;
  uint32_t fresh_ = 0;  // Entries from here on were never used.
  uint32_t in_use_ = 0;
};

// A list of pieces in stream order. Plain data: it knows indices, the array is passed in.
class PieceQueue {
 public:
  bool empty() const { return head_plus_one_ == 0; }
  uint64_t bytes() const { return bytes_; }
  uint32_t front_index() const { return head_plus_one_ - 1; }
  uint32_t back_index() const { return tail_plus_one_ - 1; }

  void PushBack(PieceArray& array, uint32_t index) {
    array[index].next_plus_one = 0;
    bytes_ += array[index].piece.length_bytes;
    if (head_plus_one_ == 0) {
      head_plus_one_ = index + 1;
    } else {
      array[tail_plus_one_ - 1].next_plus_one = index + 1;
    }
    tail_plus_one_ = index + 1;
  }
  // Takes the front entry out of the list; the caller frees it. The list is not empty.
  uint32_t PopFront(PieceArray& array) {
    const uint32_t index = head_plus_one_ - 1;
    head_plus_one_ = array[index].next_plus_one;
    if (head_plus_one_ == 0) tail_plus_one_ = 0;
    bytes_ -= array[index].piece.length_bytes;
    return index;
  }
  // The caller made the back / front entry longer or shorter by this many bytes.
  void OnGrown(uint32_t bytes) { bytes_ += bytes; }
  void OnShrunk(uint32_t bytes) { bytes_ -= bytes; }

  // Moves all of `other` behind this list's end.
  void Splice(PieceArray& array, PieceQueue& other) {
    if (other.empty()) return;
    if (empty()) {
      *this = other;
    } else {
      array[tail_plus_one_ - 1].next_plus_one = other.head_plus_one_;
      tail_plus_one_ = other.tail_plus_one_;
      bytes_ += other.bytes_;
    }
    other = PieceQueue();
  }

 private:
  uint32_t head_plus_one_ = 0;
  uint32_t tail_plus_one_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace devmem
