// SPDX-License-Identifier: Apache-2.0
// OpenClDmaEngine: the DMA engine of memory on an OpenCL device. Each copy is one non-blocking
// write on a command queue of its own, in order; a batch is done when its last copy is, and right
// when each of its copies is. One thread calls it, Halt() and lost() any. The Khronos specification
// "The OpenCL API", sections 5.2.2 (writes) and 5.11 (events).
//
// Nothing of ours allocates or locks in Submit(), Completed() and full(). The driver behind them
// may do either: OpenCL promises nothing about it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/opencl_device.h"
#include "provider/opencl_region.h"
#include "provider/region_life.h"

namespace devmem {

// Halt() against the thread of the queue. Both sides meet in one word, `gate_`:
//
//   queue's thread                                Halt(), any thread
//   gate_ |= kInside; halted before? out again    gate_ |= kHalted
//   calls of the driver                           wait until kInside is gone
//   gate_ &= ~kInside, wake a waiting Halt()      Finish(): what was queued has ended
//
// Halt() comes under the lock of the region's life. A device that is lost makes the queue's thread
// revoke the region, which takes that lock and leads back to Halt(), so it does that only outside
// of the gate: holding nothing, it may wait for the lock, and whoever holds it never waits for us.
//
// Invariants:
//   1. Batches [completed_ + 1, submitted_] are on their way; batch n is batches_[n %
//      kDmaBatchesMax], and has an event for each of its copies
//      that were not merged.
//   2. Once kHalted is set and kInside gone, no call of the driver begins any more that copies.
class OpenClDmaEngine final : public DmaEngine {
 public:
  // Errors: the driver's.
  static absl::StatusOr<std::unique_ptr<DmaEngine>> Create(const OpenClRegion& region,
                                                           DmaMapping& staging);

  ~OpenClDmaEngine() override;
  OpenClDmaEngine(const OpenClDmaEngine&) = delete;
  OpenClDmaEngine& operator=(const OpenClDmaEngine&) = delete;

  uint64_t Submit(std::span<const DmaCopy> copies) override;
  bool full() const override { return submitted_ - completed_ == kDmaBatchesMax; }
  uint64_t Completed() override;
  bool Fence() override;
  bool ReadBack(uint64_t region_offset, std::span<uint8_t> to) override;
  void Halt() override;
  bool lost() const override { return (gate_.load(std::memory_order_acquire) & kHalted) != 0; }

 private:
  static constexpr uint32_t kInside = 1;
  static constexpr uint32_t kHalted = 2;

  struct Batch {
    std::vector<ClEvent> events;  // Owned; room for kDmaBatchCopiesMax from the start.
  };

  OpenClDmaEngine(const OpenClRegion& region, DmaMapping& staging, OpenClOwned<ClQueue> queue);

  bool Enter();
  void Leave();
  int32_t EnqueueBatch(std::span<const DmaCopy> copies, Batch* batch);
  int32_t EnqueueCopy(const DmaCopy& copy, Batch* batch);
  int32_t PollBatches();
  int32_t CheckEnded(const Batch& batch, int32_t status_of_last) const;
  void ReleaseEvents(Batch* batch);
  [[gnu::cold]] void LoseDevice(int32_t code);

  DmaMapping& staging_;
  const std::shared_ptr<OpenClDevice> device_;
  const OpenClApi& api_;
  const std::shared_ptr<RegionLife> life_;
  const uint64_t region_bytes_;
  const OpenClOwned<ClMem> buffer_;
  const OpenClOwned<ClQueue> queue_;

  std::atomic<uint32_t> gate_{0};

  // The queue's thread only.
  uint64_t submitted_ = 0;
  uint64_t completed_ = 0;
  std::array<Batch, kDmaBatchesMax> batches_;
};

}  // namespace devmem
