// SPDX-License-Identifier: Apache-2.0
//
// Pieces and the two pools that they come from, put together: what the TCP engine does with
// received payload. It appends, cuts, joins and drops by reference; it never sees a byte. One per
// worker, used by that worker alone; no function allocates.

#pragma once

#include <cstdint>
#include <span>

#include "netmem/netmem_ref.h"
#include "netmem/page_pool.h"
#include "netmem/piece_queue.h"

namespace devmem {

class PieceStore {
 public:
  // The pools and the array outlive this. `device` is nullptr on a queue with no binding.
  PieceStore(PagePool* host, PagePool* device, PieceArray* array)
      : host_(host), device_(device), array_(array) {}

  PagePool& PoolOf(NetmemRef netmem) const { return netmem.is_device() ? *device_ : *host_; }
  PagePool& host() const { return *host_; }
  PagePool* device() const { return device_; }
  // A worker's binding came or went. No device piece is in any queue at that time.
  void SetDevice(PagePool* device) { device_ = device; }

  void Put(const Piece& piece) const { PoolOf(piece.netmem).Put(piece); }
  void Put(std::span<const Piece> pieces) const {
    for (const Piece& piece : pieces) Put(piece);
  }

  // Joins `next` to `piece` when the two touch; see PagePool::Merge().
  bool Merge(Piece& piece, const Piece& next) const {
    return piece.netmem.is_device() == next.netmem.is_device() &&
           PoolOf(piece.netmem).Merge(piece, next);
  }

  // Puts the piece at the end of the queue, joined to the last one when the two touch. The queue
  // takes over the piece's references. False, and nothing changed, when the array is used up.
  bool Append(PieceQueue& queue, const Piece& piece) {
    // Counted first and for the refused piece taken off again: the common case stays straight.
    Count(piece.netmem, piece.length_bytes);
    if (!queue.empty()) {
      Piece& back = (*array_)[queue.back_index()].piece;
      if (Merge(back, piece)) {
        queue.OnGrown(piece.length_bytes);
        return true;
      }
    }
    const uint32_t index = array_->Alloc(piece);
    if (index == kNoPiece) [[unlikely]] {
      Count(piece.netmem, -int64_t{piece.length_bytes});
      return false;
    }
    queue.PushBack(*array_, index);
    return true;
  }

  // The first piece of a queue that is not empty.
  const Piece& Front(const PieceQueue& queue) const { return (*array_)[queue.front_index()].piece; }
  // Takes the front piece out; the caller has its references now.
  Piece PopFront(PieceQueue& queue) {
    const uint32_t index = queue.PopFront(*array_);
    const Piece piece = (*array_)[index].piece;
    array_->Free(index);
    Count(piece.netmem, -int64_t{piece.length_bytes});
    return piece;
  }

  // Stream bytes that lie in net_iovs: in the queues of connections, and in frags that the user
  // holds (the worker says when it hands one out and when it comes back). With the pool's account
  // this gives the waste that the window ledger reckons with.
  uint64_t device_payload_bytes() const {
    return static_cast<uint64_t>(queued_device_bytes_ + held_device_bytes_);
  }
  void OnHandedOut(const Piece& piece) {
    if (piece.netmem.is_device()) held_device_bytes_ += piece.length_bytes;
  }
  void OnReturned(const Piece& piece) {
    if (piece.netmem.is_device()) held_device_bytes_ -= piece.length_bytes;
  }

  // Drops the first / last `bytes` of the queue, or the whole of it. bytes <= queue.bytes().
  void DropFront(PieceQueue& queue, uint64_t bytes);
  void DropBack(PieceQueue& queue, uint64_t bytes);
  void DropAll(PieceQueue& queue);
  // Moves the first `bytes` of `from` to the end of `to`; pieces that touch become one. False when
  // the array is used up in the middle of a piece: what was moved by then stays moved.
  bool MoveFront(PieceQueue& from, uint64_t bytes, PieceQueue& to);
  // Moves everything; pieces that touch where the queues meet become one.
  void Splice(PieceQueue& to, PieceQueue& from);

  const PieceArray& array() const { return *array_; }

 private:
  void PushBack(PieceQueue& to, uint32_t index);
  void Count(NetmemRef netmem, int64_t bytes) {
    if (netmem.is_device()) queued_device_bytes_ += bytes;
  }

  PagePool* host_;
  PagePool* device_;
  PieceArray* array_;
  int64_t queued_device_bytes_ = 0;
  int64_t held_device_bytes_ = 0;
};

}  // namespace devmem
