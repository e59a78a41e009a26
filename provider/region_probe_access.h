// SPDX-License-Identifier: Apache-2.0
// RegionProbeAccess: writes and reads a region as an importer does, whichever way its attachment
// has: through the mapping, as a software NIC would, or through staging memory and a DMA engine.
// Part of ProbeRegion(), on its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/attachment.h"
#include "provider/dma_engine.h"
#include "provider/region.h"
#include "provider/region_view.h"
#include "provider/region_writer.h"

namespace devmem {

// Fills `bytes` with what a whole region holds from `offset` on; each seed is another content.
void FillPattern(uint64_t seed, uint64_t offset, std::span<uint8_t> bytes);

// Both outlive it.
class RegionProbeAccess {
 public:
  ~RegionProbeAccess();
  RegionProbeAccess(const RegionProbeAccess&) = delete;
  RegionProbeAccess& operator=(const RegionProbeAccess&) = delete;

  // Errors: those of the engine, of its staging memory, and of looking at the region.
  static absl::StatusOr<std::unique_ptr<RegionProbeAccess>> Create(const Region& region,
                                                                   Attachment& attachment);

  // Writes the pattern over the whole region through the attachment. An error says which bytes did
  // not arrive.
  absl::Status WriteAll(uint64_t seed);

  // Reads the whole region back, by the owner's view where the CPU can see it, else by the engine,
  // and compares.
  absl::Status CompareAll(uint64_t seed);

  // Writes the pattern at the region's start and does not ask before whether it may. True: the
  // attachment says that it landed, which it must not after a revoke.
  bool TryWrite(uint64_t seed);

 private:
  RegionProbeAccess(const Region& region, Attachment& attachment)
      : region_(region), attachment_(attachment) {}

  absl::Status SetUpReader();

  const Region& region_;
  Attachment& attachment_;
  std::vector<uint8_t> chunk_;
  std::vector<uint8_t> read_;
  std::optional<RegionWriter> writer_;
  std::optional<RegionView> view_;  // Where the CPU can see the region.

  // Where it cannot: an engine that reads back. It needs staging memory to be made, and goes before
  // it.
  std::unique_ptr<Region> staging_region_;
  std::unique_ptr<Attachment> staging_;
  DmaEngine* reader_ = nullptr;
};

}  // namespace devmem
