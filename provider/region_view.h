// SPDX-License-Identifier: Apache-2.0
// RegionView: the owner's own read-only look at a region that the CPU can see, for applications,
// examples and tests that check what was received. Never used on the receive path. Any thread, with
// the care that memory under a NIC needs: read only frags that were received and not yet released.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/mapped_memory.h"
#include "provider/region.h"

namespace devmem {

// A value that unmaps when it goes. It keeps the memory alive, also without the region. It follows
// memory that moves; once the region is revoked it shows zeroes.
class RegionView {
 public:
  // Maps the whole region, or says why the CPU cannot see it. Errors: the provider's; kAborted or
  // kFailedPrecondition for a region that was revoked or is being removed.
  static absl::StatusOr<RegionView> Map(const Region& region);

  std::span<const uint8_t> bytes() const;

 private:
  class Look;
  explicit RegionView(std::shared_ptr<Look> look) : look_(std::move(look)) {}

  std::shared_ptr<Look> look_;
};

}  // namespace devmem
