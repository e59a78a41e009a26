// SPDX-License-Identifier: Apache-2.0
// RegionView: the owner's own read-only look at a region that the CPU can see, for applications,
// examples and tests that check what was received. Never used on the receive path. Any thread, with
// the care that memory under a NIC needs: read only frags that were received and not yet released.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/mapped_memory.h"
#include "provider/region.h"

namespace devmem {

// A value that unmaps when it goes. It keeps the memory alive, also without the region.
class RegionView {
 public:
  // Maps the whole region, or says why the CPU cannot see it.
  static absl::StatusOr<RegionView> Map(const Region& region);

  std::span<const uint8_t> bytes() const { return {memory_.address_, memory_.bytes()}; }

 private:
  explicit RegionView(MappedMemory memory) : memory_(std::move(memory)) {}

  MappedMemory memory_;
};

}  // namespace devmem
