// SPDX-License-Identifier: Apache-2.0
//
// Payload into netmem: how the software NICs append the pieces of one frame to a batch, and how
// they bring payload that no binding wants to host memory. Called by the TAP and the wire NIC, on
// the thread that polls the queue. architecture.md, steps 2 and 3.

#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "netmem/nic/limits.h"
#include "netmem/nic/netdev.h"
#include "netmem/page_pool.h"

namespace devmem {

// Whether the batch has room for another frame of any kind.
inline bool HasRoomForFrame(const RxBatch& batch) {
  return batch.frame_count < kBatchFramesMax &&
         batch.piece_count <= kBatchPiecesMax - kFramePiecesMax;
}

// Checks the memory that is given to a queue: both pointers set, the pool's kind as asked for, and
// its range inside the mapping.
//
// Errors: kInvalidArgument  a null pointer, or device memory where host memory is wanted or the
// reverse.
//         kOutOfRange       the pool's range ends behind the mapping.
absl::Status CheckQueueMemory(const QueueMemory& memory, bool device, uint32_t queue);

// The cold half of AppendPieces(): the pool has less than `bytes`, or `bytes` is 0.
uint32_t AppendShortPieces(PagePool& pool, uint32_t bytes, RxBatch& batch, RxDescriptor& frame,
                           RxQueueStats& stats);

// Takes up to `bytes` from `pool` and appends the pieces to the batch as those of `frame`, the
// frame that is just being filled in. When the pool has less, the frame gets what there is, which
// is a prefix, and the rest is counted as drop.pool_empty. Sets first_piece on the first call for a
// frame. Returns the bytes taken; the NIC has written, or is about to write, them at the pieces'
// places.
inline uint32_t AppendPieces(PagePool& pool, uint32_t bytes, RxBatch& batch, RxDescriptor& frame,
                             RxQueueStats& stats) {
  if (frame.piece_count == 0) frame.first_piece = static_cast<uint16_t>(batch.piece_count);
  const uint32_t taken = pool.Take(bytes, std::span(batch.pieces).subspan(batch.piece_count));
  if (taken == 0) [[unlikely]]
    return AppendShortPieces(pool, bytes, batch, frame, stats);
  batch.piece_count += taken;
  frame.piece_count = static_cast<uint16_t>(frame.piece_count + taken);
  frame.placed_bytes += bytes;
  return bytes;
}

// Takes the pieces of `frame` out of the batch again and puts them back to their pool: the frame's
// payload turned out to be no good. Only for the last frame of the batch.
void WithdrawPieces(PagePool& pool, RxBatch& batch, RxDescriptor& frame);

// Writes `payload` to the places of `pieces`, which are at least as long in all, in order.
void WritePieces(const QueueMemory& memory, std::span<const Piece> pieces,
                 std::span<const uint8_t> payload);

// The partial Internet sum of the bytes of `pieces`, taken through the mapping.
uint32_t SumPieces(const QueueMemory& memory, std::span<const Piece> pieces);

// Delivers payload that lies in plain memory to host pieces. Returns the bytes delivered.
uint32_t DeliverFromMemory(std::span<const uint8_t> payload, const QueueMemory& host,
                           RxBatch& batch, RxDescriptor& frame, RxQueueStats& stats);

// Delivers payload that the NIC wrote into the posted window of a bound queue, and that does not
// belong there: `bytes` bytes of it, from `skip_bytes` into the window on, are copied out to host
// pieces, and the window is scrubbed from its start to their end. Nothing is taken from the window.
// Returns the bytes delivered. The caller counts them as presteer or missteered.
uint32_t DeliverFromWindow(const QueueMemory& device, uint32_t skip_bytes, uint32_t bytes,
                           const QueueMemory& host, RxBatch& batch, RxDescriptor& frame,
                           RxQueueStats& stats);

// Whether a bound queue's posted window can be written now: its memory is neither on its way to
// another place nor out of it; what was evicted is brought back first. False: leave frames where
// they wait. `generation` is then to be given to DmaMapping::Landed(). A revoked mapping passes:
// what is written there lands nowhere, and Landed() says so.
bool WindowIsInPlace(const QueueMemory& memory, uint64_t* generation);

// Whether no byte of the pieces is evicted. Asked after a write, because the pool may have given
// more than was posted when the window was found in place.
bool IsHome(const QueueMemory& memory, std::span<const Piece> pieces);

// Zeroes the first `bytes` bytes of the posted window of a bound queue.
void ScrubWindow(const QueueMemory& device, uint32_t bytes);

}  // namespace devmem
