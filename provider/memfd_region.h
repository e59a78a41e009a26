// SPDX-License-Identifier: Apache-2.0
// MemfdRegion: a region whose bytes lie in an anonymous file of host memory, whoever made the file:
// the providers memfd, hugetlb and udmabuf, and the import of another process's memfd. Used through
// Region.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/region.h"
#include "provider/system_calls.h"
#include "provider/unique_fd.h"

namespace devmem {

// The file that the bytes lie in. It can no longer shrink, so no access within the region faults
// for want of a page behind it.
struct MemfdBacking {
  UniqueFd file;        // Owns nothing where Region::fd() is that file.
  uint64_t offset = 0;  // Of the region in the file: a multiple of its page size.
};

class MemfdRegion final : public Region {
 public:
  // `calls` outlives the region.
  MemfdRegion(RegionTraits traits, MemfdBacking backing, const SystemCalls& calls)
      : Region(std::move(traits)), backing_(std::move(backing)), calls_(calls) {}

  // A udmabuf over the range; of a region that is one already, its own for the whole.
  absl::StatusOr<UniqueFd> ExportDmabuf(uint64_t offset, uint64_t bytes) const override;
  absl::StatusOr<Residence> FindResidence() const override;

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override;

  // Whether fd() is a dma-buf over the file, and not the file itself.
  bool is_dmabuf() const { return backing_.file.valid() && fd() >= 0; }
  int file() const { return backing_.file.valid() ? backing_.file.get() : fd(); }

  const MemfdBacking backing_;
  const SystemCalls& calls_;
};

// A region that is the whole of `file`. One that may be revoked keeps it to itself: fd() is -1, for
// a handle in another process could not be taken back.
std::unique_ptr<Region> MakeMemfdRegion(RegionTraits traits, UniqueFd file,
                                        const SystemCalls& calls);

}  // namespace devmem
