// SPDX-License-Identifier: Apache-2.0
//
// StagingQueue: stands between a rx queue and its worker when the NIC cannot write the bound region
// itself. The NIC's queue is bound to a small staging memory instead; what it delivers from there
// is copied on by the region's DMA engine, and frames reach the worker, in order, only when their
// bytes have arrived. So TCP acknowledges, and users see, nothing that is not on the device. Used
// by the one worker that polls the queue; made and ended on the control thread while it does not.
// Documentation/providers.md.
//
//   NIC ── Poll ──▶ staging net_iovs ── DmaEngine ──▶ net_iovs of the region ── Poll ──▶ worker
//                   (returned when copied)            (taken when the copy begins: `staged`)

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/counter.h"
#include "netmem/nic/limits.h"
#include "netmem/nic/netdev.h"
#include "netmem/page_pool.h"
#include "provider/dma_engine.h"

namespace devmem {

// Monotonic, over all bindings that a queue has had; readable from any thread.
struct StagingStats {
  Counter frames;           // That passed through.
  Counter bytes;            // Payload that crossed host memory: counted as bounced.
  Counter batches;          // Given to the DMA engine.
  Counter copies;           // In these.
  Counter waits;            // Polls that left frames in the NIC, because too much was on its way.
  Counter drop_pool_empty;  // Frames that found no net_iov in the region (whole or in part).
  Counter drop_revoked;     // Frames whose copy was cut short because the region went.
};

// What a staged binding of one queue is made of. All outlive the queue's binding.
struct StagedMemory {
  QueueMemory staging;         // Host memory that the NIC writes.
  PagePool* device = nullptr;  // Of the region.
  PagePool* host = nullptr;    // Of the queue, for what is not steered.
  DmaEngine* engine = nullptr;
};

// Invariants:
//   1. ring_[head_ .. tail_) are the frames that wait, oldest first; ring_[freed_ .. head_) are
//   those
//      of the last Poll(), whose headers its batch points into.
//   2. A waiting frame has a reference on its staging pieces and on its (staged) device pieces.
//   3. Batches of the engine and frames here have the same order.
class StagingQueue {
 public:
  // Binds `nic` to the staging memory. Errors: those of RxQueue::Bind().
  static absl::StatusOr<std::unique_ptr<StagingQueue>> Create(RxQueue* nic,
                                                              const StagedMemory& memory,
                                                              StagingStats* stats);

  // Waits until no copy is on its way, puts back everything, unbinds the NIC.
  ~StagingQueue();
  StagingQueue(const StagingQueue&) = delete;
  StagingQueue& operator=(const StagingQueue&) = delete;

  // As RxQueue::Poll(): device pieces in the batch are of the region, and their bytes are there.
  uint32_t Poll(RxBatch& batch);

  // Whether copies are on their way: poll again soon, even if the NIC has nothing.
  bool pending() const { return head_ != tail_; }
  // How soon, in nanoseconds: longer while nothing completes.
  int64_t poll_interval() const { return poll_nanos_; }

 private:
  struct Waiting {
    RxDescriptor frame;
    uint64_t batch = 0;  // The engine's number; kNeverArrives when the engine took nothing.
    uint32_t piece_count = 0;
    uint32_t behind_count = 0;
    bool staged = false;  // It has bytes that are copied.
    // As the worker gets them. One piece of staging memory can become several of the region.
    std::array<Piece, 2 * kFramePiecesMax> pieces;
    // To put back when the frame goes on: those in staging memory, and what found no room.
    std::array<Piece, 2 * kFramePiecesMax> behind;
    std::array<uint8_t, kHeaderSlotBytes> header;
  };

  static constexpr uint64_t kNeverArrives = UINT64_MAX;

  StagingQueue(RxQueue* nic, const StagedMemory& memory, StagingStats* stats);

  Waiting& at(uint32_t position) { return ring_[position % kStagedFramesMax]; }
  bool HasRoom() const;
  void Receive();
  void Take(const RxDescriptor& frame);
  bool TakePiece(const Piece& staged, Waiting& waiting);
  void AddCopies(const Piece& staged, std::span<const Piece> to);
  void Deliver(uint64_t completed, RxBatch& batch);
  void Finish(Waiting& waiting, RxBatch& batch);
  void Drop(Waiting& waiting);
  void PutBehind(Waiting& waiting);

  RxQueue* const nic_;
  const StagedMemory memory_;
  StagingStats& stats_;
  const std::unique_ptr<RxBatch> incoming_;
  const std::unique_ptr<Waiting[]> ring_;
  uint32_t freed_ = 0;
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
  uint64_t last_completed_ = 0;
  int64_t poll_nanos_ = kStagingPollNanosMin;
  uint64_t last_batch_ = 0;      // That had copies.
  std::vector<DmaCopy> copies_;  // Of the batch in progress; never grows beyond its reserve.
};

}  // namespace devmem
