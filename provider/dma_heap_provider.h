// SPDX-License-Identifier: Apache-2.0
// The "dma-heap" provider: regions from the kernel's own heaps of dma-bufs: scattered system
// memory, reserved contiguous memory, or what a platform's driver adds. Control thread only. The
// kernel's documentation of dma-buf heaps, linux/dma-heap.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/provider.h"
#include "provider/system_calls.h"

namespace devmem {

// AllocateOptions::device names the heap, as in /dev/dma_heap; empty is "system". Its regions are
// pinned, and their handle is the dma-buf.
class DmaHeapProvider final : public Provider {
 public:
  // `calls` outlives the provider and its regions.
  explicit DmaHeapProvider(const SystemCalls& calls = SystemCalls::OfThisMachine())
      : calls_(calls) {}

  absl::string_view name() const override { return "dma-heap"; }
  // OK when a heap can be opened.
  absl::StatusOr<std::string> Probe() override;
  std::vector<ProviderDevice> Devices() override;
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override;

 private:
  const SystemCalls& calls_;
};

}  // namespace devmem
