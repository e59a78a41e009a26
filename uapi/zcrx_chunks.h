// SPDX-License-Identifier: Apache-2.0
//
// Who has which chunk of a zcrx area. The kernel counts one reference for each completion that
// names a chunk, and wants each of them back; we give back all of a chunk's at once, when none of
// our pieces touches it any more: until then it could not be used again anyway. So pieces that lie
// side by side can be joined and cut without a trace of the completions that brought them. Used by
// one thread.
//
// Invariants:
//   1. holders is how many pieces (queued, or behind a token) touch the chunk.
//   2. kernel_refs is how many completions named it and were not given back. It is 0 only where
//      holders is 0.
//   3. A chunk with kernel_refs and no holders is in the list of those that go back.

#pragma once

#include <cstdint>

#include "netmem/account.h"
#include "netmem/netmem_ref.h"
#include "provider/lazy_array.h"
#include "uapi/ring/refill_ring.h"

namespace devmem {

class ZcrxChunks {
 public:
  // Check ok() afterwards. `chunk_bytes` is a power of two.
  ZcrxChunks(uint32_t count, uint32_t chunk_bytes) : chunks_(count), chunk_bytes_(chunk_bytes) {}

  bool ok() const { return chunks_.ok(); }
  uint32_t count() const { return static_cast<uint32_t>(chunks_.size()); }
  uint32_t chunk_bytes() const { return chunk_bytes_; }
  // How many chunks pieces touch.
  uint32_t used() const { return used_; }

  // Whether bytes that a completion names lie in one chunk of the area.
  bool Contains(uint64_t offset, uint64_t bytes) const {
    return offset / chunk_bytes_ < count() && offset % chunk_bytes_ + bytes <= chunk_bytes_;
  }
  // The piece that a completion brought; it holds its chunk.
  Piece Arrive(uint64_t offset, uint32_t bytes) {
    const uint32_t index = static_cast<uint32_t>(offset / chunk_bytes_);
    ++chunks_[index].kernel_refs;
    Hold(index);
    return Piece{NetmemRef::Device(index), static_cast<uint32_t>(offset % chunk_bytes_), bytes};
  }
  // Joins `next`, which has just arrived, to `piece` when it begins where that ends.
  bool Merge(Piece& piece, const Piece& next) {
    if (EndOf(piece) != StartOf(next)) return false;
    if (uint64_t{piece.length_bytes} + next.length_bytes > kMergedBytesMax) return false;
    // A chunk that both touch is held by one piece from now on.
    if (LastOf(piece) == next.netmem.index()) Drop(next.netmem.index());
    piece.length_bytes += next.length_bytes;
    return true;
  }
  // Cuts the first `bytes` off, fewer than there are.
  void CutFront(Piece& piece, uint32_t bytes) {
    const uint64_t start = StartOf(piece) + bytes;
    const uint32_t first = static_cast<uint32_t>(start / chunk_bytes_);
    for (uint32_t index = piece.netmem.index(); index < first; ++index) Drop(index);
    piece = Piece{NetmemRef::Device(first), static_cast<uint32_t>(start % chunk_bytes_),
                  piece.length_bytes - bytes};
  }
  // The piece is done with.
  void Put(const Piece& piece) {
    for (uint32_t index = piece.netmem.index(); index <= LastOf(piece); ++index) Drop(index);
  }

  // Where a piece begins in the area, in bytes, and how many chunks it touches.
  uint64_t StartOf(const Piece& piece) const {
    return uint64_t{piece.netmem.index()} * chunk_bytes_ + piece.offset_bytes;
  }
  uint32_t SpanOf(const Piece& piece) const { return LastOf(piece) - piece.netmem.index() + 1; }

  bool any_returning() const { return first_plus_one_ != 0; }
  // Gives back what nobody holds, as far as the ring has room. Returns how many entries were
  // pushed; the caller publishes them.
  uint32_t Refill(RefillRing& ring) {
    uint32_t pushed = 0;
    while (first_plus_one_ != 0) {
      Chunk& chunk = chunks_[first_plus_one_ - 1];
      // It may have been received into again since it was listed.
      for (; chunk.holders == 0 && chunk.kernel_refs != 0; --chunk.kernel_refs, ++pushed) {
        if (!ring.Push(uint64_t{first_plus_one_ - 1} * chunk_bytes_)) return pushed;
      }
      first_plus_one_ = chunk.next_plus_one;
      chunk.listed = false;
    }
    return pushed;
  }

  // What is not used is the kernel's: in the NIC's ring, in sockets, or free.
  Account account() const {
    Account account;
    account.total = count();
    account.used = used_;
    account.open = account.total - account.used;
    return account;
  }

 private:
  // Longer runs stay in several pieces: what a 32-bit length of a frag can hold.
  static constexpr uint64_t kMergedBytesMax = 1u << 30;

  struct Chunk {
    uint32_t kernel_refs;
    uint32_t holders;
    uint32_t next_plus_one;  // In the list; 0 at its end.
    bool listed;
  };

  uint64_t EndOf(const Piece& piece) const { return StartOf(piece) + piece.length_bytes; }
  uint32_t LastOf(const Piece& piece) const {
    return static_cast<uint32_t>((EndOf(piece) - 1) / chunk_bytes_);
  }
  void Hold(uint32_t index) {
    if (chunks_[index].holders++ == 0) ++used_;
  }
  void Drop(uint32_t index) {
    Chunk& chunk = chunks_[index];
    if (--chunk.holders != 0) return;
    --used_;
    if (chunk.listed) return;
    chunk.listed = true;
    chunk.next_plus_one = first_plus_one_;
    first_plus_one_ = index + 1;
  }

  LazyArray<Chunk> chunks_;
  uint32_t chunk_bytes_;
  uint32_t used_ = 0;
  uint32_t first_plus_one_ = 0;  // The list of chunks that go back.
};

}  // namespace devmem
