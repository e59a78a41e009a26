// SPDX-License-Identifier: Apache-2.0
// RegionWriter: stores bytes that lie in host memory at an offset of a region, for whoever receives
// by other means than a NIC of ours (the copy backend). It is the narrow side of DmaMapping: it can
// write and nothing else, and no address comes out. Memory that the processor cannot map is written
// by its DMA engine, one call at a time. Called by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "provider/attachment.h"
#include "provider/region.h"

namespace devmem {

// Movable. The attachment outlives it.
class RegionWriter {
 public:
  // `region` is the one that `attachment` attaches. Errors: those of Attachment::CreateEngine(),
  // and of the staging memory.
  static absl::StatusOr<RegionWriter> Create(const Region& region, Attachment& attachment);

  ~RegionWriter();
  RegionWriter(RegionWriter&&) noexcept;
  RegionWriter& operator=(RegionWriter&&) noexcept;

  // Whether a range can be written now; what was evicted is brought back first. False: it cannot
  // come back now, or is just moving. True for what is revoked: Write() says that.
  bool Ready(uint64_t offset, uint64_t bytes);

  // Copies `bytes` to `offset`, in bytes from the region's start. Waits while the place is
  // changing, or was evicted since Ready(). False when the region was revoked before or meanwhile:
  // the bytes are lost then, and nobody may be told that they landed. A range outside the region is
  // a mistake of the caller and stops the program.
  bool Write(uint64_t offset, std::span<const uint8_t> bytes);

 private:
  struct Staging;

  bool WriteMapped(uint64_t offset, std::span<const uint8_t> bytes);

  RegionWriter(DmaMapping* mapping, std::unique_ptr<Staging> staging);

  DmaMapping* mapping_;               // Null for memory that is staged.
  std::unique_ptr<Staging> staging_;  // Null for memory that is not.
};

}  // namespace devmem
