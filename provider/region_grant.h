// SPDX-License-Identifier: Apache-2.0
// RegionGrant: a range of one region, given to be cut into regions of their own. Each part has its
// own label, policy, users and life, and its piece of the grant is free again when the last of its
// users has gone. Any thread. Documentation/providers.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/import_policy.h"
#include "provider/limits.h"
#include "provider/quota.h"
#include "provider/region.h"

namespace devmem {

struct PartOptions {
  uint64_t bytes = 0;  // A positive multiple of the region's page size.
  // Of the part's offset in the region: a power of two, at least the page size. 0: the page size.
  uint64_t alignment = 0;
  std::string label = {};
  // Who may import the part. The whole's own policy is not asked: who grants has decided.
  ImportPolicy policy = ImportPolicy::Everyone();
  // Counts the part against a user, for as long as anybody uses it. The region's own charge stays.
  std::shared_ptr<Quota> quota = nullptr;
  std::string quota_user = {};
};

// A part that lives, for listings.
struct PartInfo {
  uint32_t region_id = 0;
  std::string label;
  uint64_t offset = 0;  // In the whole region.
  uint64_t bytes = 0;
};

// How long things live: the whole region stays as long as the grant or a part of it that somebody
// uses. A part is removed and revoked with the whole, whose removal waits for its parts.
//
// Invariants:
//   1. Parts lie inside the range and do not overlap while anybody can reach them.
//   2. Once the whole is revoked nobody reaches any part, and there are no new ones.
//   3. A part does not show what an earlier one left there, where the processor can map it.
class RegionGrant {
 public:
  // Of [offset, offset + bytes), in whole pages of the region. kInvalidArgument, kOutOfRange;
  // kFailedPrecondition for memory that may move: its parts lie in many places.
  static absl::StatusOr<RegionGrant> Create(std::shared_ptr<Region> whole, uint64_t offset,
                                            uint64_t bytes);

  // Errors: Suballocator::Alloc(), Quota::Charge(); status() of the whole.
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const PartOptions& options);

  const Region& whole() const;
  uint64_t free_bytes() const;
  // Of those that live, in the order of their offsets.
  std::vector<PartInfo> ListParts() const;

 private:
  class Books;
  class Tie;
  class Part;

  explicit RegionGrant(std::shared_ptr<Books> books) : books_(std::move(books)) {}

  std::shared_ptr<Books> books_;  // Shared with the parts.
};

}  // namespace devmem
