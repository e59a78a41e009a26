// SPDX-License-Identifier: Apache-2.0
//
// Reading received bytes back.

#include "netmem/nic/piece_reader.h"

#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"

namespace devmem {

bool PieceReader::CopyOut(const Piece& piece, uint32_t skip_bytes, std::span<uint8_t> to) const {
  const QueueMemory& memory = piece.netmem.is_device() ? device_ : host_;
  const uint64_t offset = memory.pool->RegionOffset(piece) + skip_bytes;
  if (memory.mapping == nullptr) return engine_->ReadBack(offset, to);
  uint64_t before;
  do {
    before = memory.mapping->generation();
    if (memory.mapping->revoked() || !memory.mapping->Resident(offset, to.size())) return false;
    memory.mapping->CopyOut(offset, to);
  } while (!memory.mapping->Landed(before));
  return true;
}

}  // namespace devmem
