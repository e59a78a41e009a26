// SPDX-License-Identifier: Apache-2.0
//
// Reading received bytes back.

#include "netmem/nic/piece_reader.h"

#include "provider/dma_mapping.h"

namespace devmem {

void PieceReader::CopyOut(const Piece& piece, uint32_t skip_bytes, std::span<uint8_t> to) const {
  const QueueMemory& memory = piece.netmem.is_device() ? device_ : host_;
  memory.mapping->CopyOut(memory.pool->RegionOffset(piece) + skip_bytes, to);
}

}  // namespace devmem
