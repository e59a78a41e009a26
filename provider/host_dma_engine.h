// SPDX-License-Identifier: Apache-2.0
// HostDmaEngine: the DMA engine of memory that the CPU can map but an importer may not write
// itself: the processor copies. For memory that moves under an importer that cannot follow, and
// where an exporter wants everything staged. It looks up the place of the bytes at each copy, so a
// batch that meets evicted or moving memory waits and is tried again. Called by one thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"

namespace devmem {

// Invariant: batches [completed_ + 1, submitted_] wait in waiting_, oldest first.
class HostDmaEngine final : public DmaEngine {
 public:
  // Both outlive the engine. `target` is the region's, `staging` that of the staging memory.
  HostDmaEngine(DmaMapping& target, DmaMapping& staging) : target_(target), staging_(staging) {
    for (Batch& batch : waiting_) batch.copies.reserve(kDmaBatchCopiesMax);
  }

  uint64_t Submit(std::span<const DmaCopy> copies) override;
  bool full() const override { return submitted_ - completed_ == kDmaBatchesMax; }
  uint64_t Completed() override;
  bool Fence() override;
  bool ReadBack(uint64_t region_offset, std::span<uint8_t> to) override;
  void Halt() override { target_.Revoke(); }
  bool lost() const override { return target_.revoked(); }

 private:
  struct Batch {
    std::vector<DmaCopy> copies;
    size_t done = 0;  // Of copies.
  };

  bool CopyOne(const DmaCopy& copy);

  DmaMapping& target_;
  DmaMapping& staging_;
  uint64_t submitted_ = 0;
  uint64_t completed_ = 0;
  std::array<Batch, kDmaBatchesMax> waiting_;  // Batch n is at n % kDmaBatchesMax.
};

}  // namespace devmem
