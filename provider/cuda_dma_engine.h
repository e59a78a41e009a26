// SPDX-License-Identifier: Apache-2.0
// CudaDmaEngine: copies from staging memory into a GPU's memory by the GPU's copy engine, on a
// stream of its own, while the processor goes on. One per rx queue, called by the thread that polls
// it; Halt() and lost() from any thread. providers.md; CUDA driver API, streams and events.
//
// Visibility. A batch counts as complete when the event after its copies has: what a kernel, or
// another copy, reads that is given to the device afterwards, in any stream, is what was copied. No
// flush is needed, because it is the device itself that wrote.
//
// The stream does not wait for the legacy default stream, so an application's long kernel there
// does not hold up reception.
//
// Locks. Halt() is called under the lock of the region's life, from any thread, and waits for the
// gate; so the engine's thread leaves the gate before it revokes a life. The order is life, then
// gate, and the gate is never held while a lock is taken.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "provider/cuda_host_memory.h"
#include "provider/cuda_memory.h"
#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/halt_gate.h"
#include "provider/limits.h"
#include "provider/region_life.h"

namespace devmem {

// Invariants:
//   1. Batches [completed_ + 1, submitted_] are on their way; batch n ends with the event
//      events_[n % kDmaBatchesMax].
//   2. The device writes the region only for copies that were queued inside the gate; Halt() waits
//      for those, and none is queued afterwards.
//   3. Any error of the driver but "not ready" loses the engine for good, and revokes the region
//      with the error's name.
class CudaDmaEngine final : public DmaEngine {
 public:
  // Registers `staging`, which is not revoked and outlives the engine, with the driver.
  // Errors: those of the driver, by CudaApi::ToStatus().
  static absl::StatusOr<std::unique_ptr<DmaEngine>> Create(std::shared_ptr<CudaMemory> memory,
                                                           std::shared_ptr<RegionLife> life,
                                                           DmaMapping& staging);
  ~CudaDmaEngine() override;

  uint64_t Submit(std::span<const DmaCopy> copies) override;
  bool full() const override { return submitted_ - completed_ == kDmaBatchesMax; }
  uint64_t Completed() override;
  bool Fence() override;
  bool ReadBack(uint64_t region_offset, std::span<uint8_t> to) override;
  void Halt() override;
  bool lost() const override { return gate_.closed() || lost_.load(std::memory_order_acquire); }

 private:
  CudaDmaEngine(std::shared_ptr<CudaMemory> memory, std::shared_ptr<RegionLife> life,
                DmaMapping& staging)
      : memory_(std::move(memory)), life_(std::move(life)), staging_(staging) {}

  const CudaApi& api() const { return memory_->device().api(); }
  absl::Status Prepare();
  CUresult QueueCopies(std::span<const DmaCopy> copies);
  CUresult Synchronize();
  [[gnu::cold]] void Lose(CUresult result);

  // Destroyed last to first: the staging memory's registration goes before the region's memory.
  const std::shared_ptr<CudaMemory> memory_;
  const std::shared_ptr<RegionLife> life_;
  DmaMapping& staging_;
  std::unique_ptr<CudaHostMemory> registered_;
  CUstream stream_ = nullptr;
  std::array<CUevent, kDmaBatchesMax> events_ = {};

  uint64_t submitted_ = 0;
  uint64_t completed_ = 0;
  HaltGate gate_;
  // Set by the engine's thread, or under the life's lock by Halt(); read by any thread.
  std::atomic<bool> lost_{false};
};

}  // namespace devmem
