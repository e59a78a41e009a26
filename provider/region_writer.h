// SPDX-License-Identifier: Apache-2.0
// RegionWriter: stores bytes that lie in host memory at an offset of a region, for whoever receives
// by other means than a NIC of ours (the copy backend). It is the narrow side of DmaMapping: it can
// write and nothing else, and no address comes out. Called by one thread at a time.
#pragma once

#include <cstdint>
#include <span>

#include "provider/attachment.h"

namespace devmem {

// A value that borrows an attachment, which outlives it.
class RegionWriter {
 public:
  explicit RegionWriter(Attachment& attachment) : mapping_(&attachment.mapping()) {}

  // Copies `bytes` to `offset`, in bytes from the region's start. False when the region was revoked
  // before or meanwhile: the bytes are lost then, and nobody may be told that they landed. A range
  // outside the region is a mistake of the caller and stops the program.
  bool Write(uint64_t offset, std::span<const uint8_t> bytes);

 private:
  DmaMapping* mapping_;
};

}  // namespace devmem
