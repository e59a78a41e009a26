// SPDX-License-Identifier: Apache-2.0
// Suballocator: hands out pieces of one granted range of device memory, in granules of 4 KiB, and
// takes them back. It knows offsets only and never touches the memory. Used by RegionGrant
// (region_grant.h), which makes regions of the pieces; one thread at a time. providers.md.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/limits.h"
#include "provider/piece_map.h"

namespace devmem {

// Where pieces lie is a function of the calls alone: at the lowest place that is large enough and
// aligned, except that alignments above a granule prefer a run that would hold any alignment.
// Allocation fails only when no place is large enough. piece_map.h states the costs. Nothing
// allocates after Create(), and the books of a range that was never used cost no memory: half a
// byte for each granule below the highest that was.
//
// Invariants:
//   1. Pieces are disjoint, lie inside the grant, and begin and end on granules.
//   2. A call that is refused has changed nothing.
class Suballocator {
 public:
  // Nothing is handed out yet. The range is in bytes, of whole granules, at most kRegionBytesMax.
  // kInvalidArgument, kOutOfRange; kResourceExhausted when there is no address space for the books.
  static absl::StatusOr<Suballocator> Create(uint64_t offset, uint64_t bytes);

  // A piece of `bytes` bytes, a positive multiple of the granule; returns its offset, counted as
  // the grant's is, a multiple of `alignment`: a power of two, at least the granule.
  // kInvalidArgument; kResourceExhausted with what is free and the longest run of it.
  absl::StatusOr<uint64_t> Alloc(uint64_t bytes, uint64_t alignment = kSuballocationGranuleBytes);

  // Takes a whole piece back. kOutOfRange for what lies outside the grant, kInvalidArgument for
  // what is not in granules or has another length than the piece there, kNotFound where no piece
  // begins: it was given back before, or never handed out.
  absl::Status Free(uint64_t offset, uint64_t bytes);

  uint64_t offset() const { return offset_; }
  uint64_t granted_bytes() const { return map_.count() * kSuballocationGranuleBytes; }
  uint64_t free_bytes() const { return free_granules_ * kSuballocationGranuleBytes; }
  uint64_t longest_free_bytes() const { return map_.longest() * kSuballocationGranuleBytes; }
  uint64_t live_pieces() const { return live_pieces_; }

 private:
  static_assert(kRegionBytesMax / kSuballocationGranuleBytes <= PieceMap::kGranulesMax);

  Suballocator(uint64_t offset, uint64_t granules)
      : offset_(offset), free_granules_(granules), map_(granules) {}

  uint64_t offset_;
  uint64_t free_granules_;
  uint64_t live_pieces_ = 0;
  PieceMap map_;
};

}  // namespace devmem
