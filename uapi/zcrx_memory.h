// SPDX-License-Identifier: Apache-2.0
//
// A range of a region as an area that io_uring can receive into: host memory by its address, a
// device's or a driver's as a dma-buf. Made when a queue is bound; the kernel holds the memory by
// itself once an instance is registered. Session's thread.

#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "provider/region.h"
#include "provider/unique_fd.h"
#include "provider/user_mapping.h"
#include "uapi/ring/zcrx_instance.h"

namespace devmem {

class ZcrxMemory {
 public:
  // The range is in bytes, both multiples of the page size. A dma-buf is bound whole or not at all;
  // a memfd, in any part. Errors: those of UserMapping::Map() and Region::ExportDmabuf().
  static absl::StatusOr<ZcrxMemory> Create(const Region& region, uint64_t offset, uint64_t bytes);

  const ZcrxArea& area() const { return area_; }
  bool dmabuf() const { return dmabuf_.valid(); }

 private:
  ZcrxMemory() = default;

  std::optional<UserMapping> mapping_;
  UniqueFd dmabuf_;
  ZcrxArea area_;
};

}  // namespace devmem
