// SPDX-License-Identifier: Apache-2.0
//
// Frames through staging memory. After Create() nothing here allocates, locks or logs.

#include "netmem/nic/staging_queue.h"

#include <algorithm>

#include "netmem/nic/host_delivery.h"
#include "provider/check.h"
#include "provider/dma_engine.h"
#include "provider/limits.h"

namespace devmem {

// A frame's pieces and what they are cut into fit the places that a waiting frame has for them: the
// NIC gives kFramePiecesMax at most, and TakePiece() makes sure of the rest.
static_assert(kDmaBatchCopiesMax >= kBatchPiecesMax + kFramePiecesMax);

absl::StatusOr<std::unique_ptr<StagingQueue>> StagingQueue::Create(RxQueue* nic,
                                                                   const StagedMemory& memory,
                                                                   StagingStats* stats) {
  absl::Status bound = nic->Bind(memory.staging);
  if (!bound.ok()) return bound;
  return std::unique_ptr<StagingQueue>(new StagingQueue(nic, memory, stats));
}

StagingQueue::StagingQueue(RxQueue* nic, const StagedMemory& memory, StagingStats* stats)
    : nic_(nic),
      memory_(memory),
      stats_(*stats),
      incoming_(std::make_unique<RxBatch>()),
      ring_(std::make_unique<Waiting[]>(kStagedFramesMax)) {
  copies_.reserve(kDmaBatchCopiesMax);
}

StagingQueue::~StagingQueue() {
  // The device still reads staging memory and writes the region until the fence.
  (void)memory_.engine->Fence();
  for (; head_ != tail_; ++head_) Drop(at(head_));
  nic_->Unbind();
}

uint32_t StagingQueue::Poll(RxBatch& batch) {
  batch.frame_count = 0;
  batch.piece_count = 0;
  freed_ = head_;
  if (HasRoom()) {
    Receive();
  } else {
    ++stats_.waits;
  }
  const uint64_t completed = memory_.engine->Completed();
  poll_nanos_ = completed != last_completed_ ? kStagingPollNanosMin
                                             : std::min(2 * poll_nanos_, kStagingPollNanosMax);
  last_completed_ = completed;
  Deliver(completed, batch);
  return batch.frame_count;
}

// Whether whatever the NIC may deliver in one poll can be kept. Where not it is left alone, and
// frames wait in it: nothing is lost, and TCP is pushed back.
bool StagingQueue::HasRoom() const {
  return tail_ - freed_ + kBatchFramesMax <= kStagedFramesMax && !memory_.engine->full() &&
         memory_.staging.pool->available_bytes() >= kBatchPayloadBytesMax + kFramePayloadBytesMax;
}

// One poll of the NIC becomes one batch of the engine.
void StagingQueue::Receive() {
  const uint32_t first = tail_;
  copies_.clear();
  nic_->Poll(*incoming_);
  for (uint32_t n = 0; n < incoming_->frame_count; ++n) Take(incoming_->frames[n]);
  if (first == tail_) return;
  uint64_t batch = last_batch_;
  if (!copies_.empty()) {
    batch = memory_.engine->Submit(copies_);
    if (batch != 0) {
      last_batch_ = batch;
      ++stats_.batches;
      stats_.copies.Add(copies_.size());
    }
  }
  // Frames without copies wait for those before them, so that order holds.
  if (batch == 0 && !copies_.empty()) batch = kNeverArrives;
  for (uint32_t n = first; n != tail_; ++n) at(n).batch = batch;
}

// Keeps a frame, and takes net_iovs of the region for what it has in staging memory.
void StagingQueue::Take(const RxDescriptor& frame) {
  Waiting& waiting = at(tail_++);
  waiting.frame = frame;
  std::copy_n(frame.header.begin(), frame.header.size(), waiting.header.begin());
  waiting.frame.header = {waiting.header.data(), frame.header.size()};
  waiting.piece_count = 0;
  waiting.behind_count = 0;
  waiting.staged = false;
  waiting.frame.placed_bytes = 0;
  ++stats_.frames;
  bool fits = true;
  for (const Piece& piece : incoming_->PiecesOf(frame)) {
    if (piece.netmem.is_device()) {
      waiting.behind[waiting.behind_count++] = piece;
      waiting.staged = true;
      fits = fits && TakePiece(piece, waiting);
    } else if (fits && waiting.piece_count < waiting.pieces.size()) {
      waiting.pieces[waiting.piece_count++] = piece;
      waiting.frame.placed_bytes += piece.length_bytes;
    } else {
      fits = false;
      waiting.behind[waiting.behind_count++] = piece;
    }
  }
  if (!fits) ++stats_.drop_pool_empty;
}

// False: the region has no room for the piece (or the batch none for its copies); what comes behind
// it in the frame must not be delivered either.
bool StagingQueue::TakePiece(const Piece& staged, Waiting& waiting) {
  PagePool& device = *memory_.device;
  const std::span room = std::span(waiting.pieces).subspan(waiting.piece_count);
  if (copies_.size() + kFramePiecesMax > kDmaBatchCopiesMax) return false;
  const uint32_t count =
      device.Take(staged.length_bytes, room.first(std::min<size_t>(room.size(), kFramePiecesMax)));
  if (count == 0) return false;
  for (const Piece& piece : room.first(count)) device.Stage(piece);
  AddCopies(staged, room.first(count));
  waiting.piece_count += count;
  waiting.frame.placed_bytes += staged.length_bytes;
  stats_.bytes.Add(staged.length_bytes);
  return true;
}

void StagingQueue::AddCopies(const Piece& staged, std::span<const Piece> to) {
  uint64_t from = memory_.staging.pool->RegionOffset(staged);
  for (const Piece& piece : to) {
    const uint64_t place = memory_.device->RegionOffset(piece);
    DmaCopy* const last = copies_.empty() ? nullptr : &copies_.back();
    if (last != nullptr && last->staging_offset + last->bytes == from &&
        last->region_offset + last->bytes == place) {
      last->bytes += piece.length_bytes;
    } else {
      copies_.push_back(DmaCopy{from, place, piece.length_bytes});
    }
    from += piece.length_bytes;
  }
}

void StagingQueue::Deliver(uint64_t completed, RxBatch& batch) {
  const bool lost = memory_.engine->lost();
  while (head_ != tail_) {
    Waiting& waiting = at(head_);
    if (waiting.batch > completed && !lost) return;
    if (batch.frame_count == kBatchFramesMax ||
        batch.piece_count + waiting.piece_count > kBatchPiecesMax) {
      return;
    }
    ++head_;
    if (lost && waiting.staged) {
      ++stats_.drop_revoked;
      Drop(waiting);
    } else {
      Finish(waiting, batch);
    }
  }
}

void StagingQueue::Finish(Waiting& waiting, RxBatch& batch) {
  const std::span pieces = std::span(waiting.pieces).first(waiting.piece_count);
  for (const Piece& piece : pieces) {
    if (piece.netmem.is_device()) memory_.device->Unstage(piece);
  }
  PutBehind(waiting);
  RxDescriptor& frame = batch.frames[batch.frame_count++];
  frame = waiting.frame;
  frame.first_piece = static_cast<uint16_t>(batch.piece_count);
  frame.piece_count = static_cast<uint16_t>(pieces.size());
  std::copy(pieces.begin(), pieces.end(), batch.pieces.begin() + batch.piece_count);
  batch.piece_count += static_cast<uint32_t>(pieces.size());
}

void StagingQueue::Drop(Waiting& waiting) {
  for (const Piece& piece : std::span(waiting.pieces).first(waiting.piece_count)) {
    if (piece.netmem.is_device()) {
      memory_.device->Unstage(piece);
      memory_.device->Put(piece);
    } else {
      memory_.host->Put(piece);
    }
  }
  PutBehind(waiting);
}

void StagingQueue::PutBehind(Waiting& waiting) {
  for (const Piece& piece : std::span(waiting.behind).first(waiting.behind_count)) {
    (piece.netmem.is_device() ? memory_.staging.pool : memory_.host)->Put(piece);
  }
}

}  // namespace devmem
