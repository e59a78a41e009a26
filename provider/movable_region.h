// SPDX-License-Identifier: Apache-2.0
// Memory that may move: a region whose exporter can put its bytes at another place, or out of
// device memory altogether, while NICs write it. The memfd provider makes them for
// AttachmentKind::kMayMove; they stand for what GPU drivers do with buffers under pressure (TTM's
// eviction, dma-buf's move_notify). Any thread. Documentation/providers.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/region.h"

namespace devmem {

// What a movable region shares with its attachments: where each block lies.
//
//   Move, Evict, FaultIn:  pins drain -> Withdraw() from every user -> copy the block to its new
//   file
//                          -> PutBack() to every user -> the old place is given back to the system
//
// Invariants:
//   1. Each block lies in exactly one file, at its own offset there: in home_ (device memory) or in
//      away_ (system memory); the other file has a hole there.
//   2. Blocks change under RegionLife::LockPlaces() only, and never while the region is pinned.
class MovableMemory final : public PagingSource {
 public:
  // `home_budget_bytes`: the most that may be in device memory at a time; 0: no bound.
  static absl::StatusOr<std::shared_ptr<MovableMemory>> Create(const std::string& label,
                                                               uint64_t bytes,
                                                               uint64_t home_budget_bytes);

  // Set once, before anybody else knows of it; the life outlives every call from a user.
  void SetLife(std::weak_ptr<RegionLife> life) { life_ = std::move(life); }

  absl::StatusOr<MappedMemory> Map(MapAccess access) const;
  std::vector<RegionPlace> EvictedPlaces() const;
  Residence FindResidence() const;

  // Puts all resident blocks into a new file; evicted ones stay where they are.
  absl::Status Move(std::chrono::nanoseconds pin_patience);
  absl::Status Evict(uint64_t offset, uint64_t bytes, std::chrono::nanoseconds pin_patience);
  // Also false while somebody pins the region, moves it or maps it: a NIC's thread waits for
  // nobody. It does copy the block itself.
  bool FaultIn(uint64_t offset, uint64_t bytes) override;

 private:
  MovableMemory(std::string label, uint64_t bytes, uint64_t home_budget_bytes, UniqueFd home,
                UniqueFd away);

  uint64_t block_bytes(uint64_t block) const;
  absl::Status MoveBlock(RegionLife& life, uint64_t block, int from, int to, bool resident);
  absl::Status PinnedElsewhere() const;
  static absl::Status AfterMove(RegionLife& life, const absl::Status& moved);

  const std::string label_;
  const uint64_t bytes_;
  const uint64_t home_budget_bytes_;
  std::weak_ptr<RegionLife> life_;

  // The rest is guarded by RegionLife::LockPlaces().
  UniqueFd home_;
  UniqueFd away_;
  std::vector<bool> resident_;  // Per block of kPagingBlockBytes: in home_.
  uint64_t resident_bytes_;
};

// See MemfdProvider. `traits` has no fd: a handle in another process could not follow a move.
absl::StatusOr<std::unique_ptr<Region>> MakeMovableRegion(RegionTraits traits,
                                                          uint64_t home_budget_bytes);

}  // namespace devmem
