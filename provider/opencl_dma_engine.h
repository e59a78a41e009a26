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
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/halt_gate.h"
#include "provider/limits.h"
#include "provider/opencl_device.h"
#include "provider/opencl_region.h"
#include "provider/region_life.h"

namespace devmem {

// The queue's thread passes a gate around each series of calls of the driver; Halt() closes it and
// then waits for the queue (Finish()), so that what was queued has ended.
//
// Halt() comes under the lock of the region's life. A device that is lost makes the queue's thread
// revoke the region, which takes that lock and leads back to Halt(), so it does that only outside
// of the gate: holding nothing, it may wait for the lock, and whoever holds it never waits for us.
//
// Invariants:
//   1. Batches [completed_ + 1, submitted_] are on their way; batch n is batches_[n %
//      kDmaBatchesMax], and has an event for each of its copies
//      that were not merged.
//   2. Once the gate is closed, no call of the driver begins any more that copies.
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
  bool lost() const override { return gate_.closed(); }

 private:
  struct Batch {
    std::vector<ClEvent> events;  // Owned; room for kDmaBatchCopiesMax from the start.
  };

  OpenClDmaEngine(const OpenClRegion& region, DmaMapping& staging, OpenClOwned<ClQueue> queue);

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

  HaltGate gate_;

  // The queue's thread only.
  uint64_t submitted_ = 0;
  uint64_t completed_ = 0;
  std::array<Batch, kDmaBatchesMax> batches_;
};

}  // namespace devmem
