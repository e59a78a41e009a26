// SPDX-License-Identifier: Apache-2.0
// See region_writer.h.
#include "provider/region_writer.h"

#include "provider/dma_mapping.h"

namespace devmem {

bool RegionWriter::Write(uint64_t offset, std::span<const uint8_t> bytes) {
  const uint64_t before = mapping_->generation();
  mapping_->Write(offset, bytes);
  return mapping_->Landed(before);
}

}  // namespace devmem
