// SPDX-License-Identifier: Apache-2.0
//
// Payload into netmem. Runs on the thread that polls the queue; nothing here allocates.

#include "netmem/nic/host_delivery.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "netmem/wire/checksum.h"
#include "provider/dma_mapping.h"

namespace devmem {
namespace {

// Calls `visit(offset, bytes)` for each contiguous part of [skip_bytes, skip_bytes + bytes) of the
// posted window, with its offset in the region, in order.
template <typename Visit>
void ForEachWindowPart(PagePool& pool, uint32_t skip_bytes, uint32_t bytes, Visit visit) {
  const uint64_t base = pool.provider().region_offset;
  for (const PagePool::Run& run : pool.Posted()) {
    if (bytes == 0) return;
    const uint32_t skipped = std::min(skip_bytes, run.bytes);
    skip_bytes -= skipped;
    const uint32_t part = std::min(bytes, run.bytes - skipped);
    if (part > 0) visit(base + run.offset + skipped, part);
    bytes -= part;
  }
}

// Hands out the bytes of a run of host pieces as plain memory, part by part.
class HostWriter {
 public:
  HostWriter(const QueueMemory& host, std::span<const Piece> pieces)
      : host_(host), pieces_(pieces) {}

  // The next stretch of at most `bytes` bytes; empty at the end.
  std::span<uint8_t> Next(uint32_t bytes) {
    if (pieces_.empty()) return {};
    const Piece& piece = pieces_.front();
    const uint32_t part = std::min(bytes, piece.length_bytes - done_bytes_);
    const iovec room = host_.mapping->Iov(host_.pool->RegionOffset(piece) + done_bytes_, part);
    done_bytes_ += part;
    if (done_bytes_ == piece.length_bytes) {
      pieces_ = pieces_.subspan(1);
      done_bytes_ = 0;
    }
    return {static_cast<uint8_t*>(room.iov_base), room.iov_len};
  }

 private:
  const QueueMemory& host_;
  std::span<const Piece> pieces_;
  uint32_t done_bytes_ = 0;  // Of the first of pieces_.
};

}  // namespace

absl::Status CheckQueueMemory(const QueueMemory& memory, bool device, uint32_t queue) {
  const absl::string_view kind = device ? "device" : "host";
  if (memory.pool == nullptr || memory.mapping == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the ", kind, " memory of queue ", queue,
                                                   " has no pool or no mapping; give both"));
  }
  const MemoryProvider& provider = memory.pool->provider();
  if (provider.device != device) {
    return absl::InvalidArgumentError(absl::StrCat("queue ", queue, " needs ", kind,
                                                   " memory, and the pool cuts ",
                                                   device ? "host" : "device", " memory"));
  }
  const uint64_t end = provider.region_offset + memory.pool->capacity_bytes();
  if (end > memory.mapping->size_bytes()) {
    return absl::OutOfRangeError(absl::StrCat("the pool of queue ", queue, " ends at byte ", end,
                                              " of its region, which has ",
                                              memory.mapping->size_bytes(), "; bind less"));
  }
  return absl::OkStatus();
}

uint32_t AppendShortPieces(PagePool& pool, uint32_t bytes, RxBatch& batch, RxDescriptor& frame,
                           RxQueueStats& stats) {
  if (bytes == 0) return 0;
  // Take() has topped the window up, so what is posted now is all there is.
  uint32_t placed = std::min(bytes, pool.posted_bytes());
  const uint32_t taken = pool.Take(placed, std::span(batch.pieces).subspan(batch.piece_count));
  // Where the frame already has pieces of another pool, the batch may lack room for these.
  if (taken == 0) placed = 0;
  ++stats.drop_pool_empty;
  stats.drop_pool_empty_bytes.Add(bytes - placed);
  batch.piece_count += taken;
  frame.piece_count = static_cast<uint16_t>(frame.piece_count + taken);
  frame.placed_bytes += placed;
  return placed;
}

void WithdrawPieces(PagePool& pool, RxBatch& batch, RxDescriptor& frame) {
  for (const Piece& piece : batch.PiecesOf(frame)) pool.Put(piece);
  batch.piece_count -= frame.piece_count;
  frame.piece_count = 0;
  frame.placed_bytes = 0;
}

void WritePieces(const QueueMemory& memory, std::span<const Piece> pieces,
                 std::span<const uint8_t> payload) {
  for (const Piece& piece : pieces) {
    const size_t part = std::min<size_t>(piece.length_bytes, payload.size());
    memory.mapping->Write(memory.pool->RegionOffset(piece), payload.first(part));
    payload = payload.subspan(part);
  }
}

uint32_t SumPieces(const QueueMemory& memory, std::span<const Piece> pieces) {
  uint32_t sum = 0;
  bool odd = false;
  for (const Piece& piece : pieces) {
    const uint64_t offset = memory.pool->RegionOffset(piece);
    sum = Combine(sum, memory.mapping->Checksum(offset, piece.length_bytes), odd);
    odd ^= (piece.length_bytes & 1) != 0;
  }
  return sum;
}

uint32_t DeliverFromMemory(std::span<const uint8_t> payload, const QueueMemory& host,
                           RxBatch& batch, RxDescriptor& frame, RxQueueStats& stats) {
  const uint32_t first = batch.piece_count;
  const uint32_t placed =
      AppendPieces(*host.pool, static_cast<uint32_t>(payload.size()), batch, frame, stats);
  const std::span<const Piece> pieces =
      std::span(batch.pieces).subspan(first, batch.piece_count - first);
  WritePieces(host, pieces, payload.first(placed));
  stats.host_bytes.Add(placed);
  return placed;
}

uint32_t DeliverFromWindow(const QueueMemory& device, uint32_t skip_bytes, uint32_t bytes,
                           const QueueMemory& host, RxBatch& batch, RxDescriptor& frame,
                           RxQueueStats& stats) {
  const uint32_t first = batch.piece_count;
  const uint32_t placed = AppendPieces(*host.pool, bytes, batch, frame, stats);
  HostWriter writer(host, std::span(batch.pieces).subspan(first, batch.piece_count - first));
  ForEachWindowPart(*device.pool, skip_bytes, placed, [&](uint64_t offset, uint32_t part) {
    while (part > 0) {
      const std::span<uint8_t> to = writer.Next(part);
      device.mapping->CopyOut(offset, to);
      offset += to.size();
      part -= static_cast<uint32_t>(to.size());
    }
  });
  ScrubWindow(device, skip_bytes + bytes);
  stats.host_bytes.Add(placed);
  return placed;
}

bool WindowIsInPlace(const QueueMemory& memory, uint64_t* generation) {
  DmaMapping& mapping = *memory.mapping;
  do {
    *generation = mapping.generation();
    if (mapping.moving()) [[unlikely]]
      return false;
    if (!mapping.any_away()) [[likely]]
      return true;
    const uint64_t base = memory.pool->provider().region_offset;
    for (const PagePool::Run& run : memory.pool->Posted()) {
      if (!mapping.Resident(base + run.offset, run.bytes)) return false;
    }
    // To bring something back changes the generation: look again.
  } while (*generation != mapping.generation());
  return true;
}

bool IsHome(const QueueMemory& memory, std::span<const Piece> pieces) {
  return std::all_of(pieces.begin(), pieces.end(), [&](const Piece& piece) {
    return memory.mapping->IsHome(memory.pool->RegionOffset(piece), piece.length_bytes);
  });
}

void ScrubWindow(const QueueMemory& device, uint32_t bytes) {
  ForEachWindowPart(*device.pool, 0, bytes,
                    [&](uint64_t offset, uint32_t part) { device.mapping->Scrub(offset, part); });
}

}  // namespace devmem
