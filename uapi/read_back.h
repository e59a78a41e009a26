// SPDX-License-Identifier: Apache-2.0
//
// What Read() of a bound connection copies from: the processor's view of a range that a NIC of the
// kernel writes. The kernel's receive path does not synchronise those writes for the processor, so
// where the range is a dma-buf each copy is announced to its exporter (provider/dmabuf_access.h);
// host memory needs nothing. Owned by a binding of the backend kernel or a queue of zcrx; called
// under its lock, or on its thread.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/dmabuf_access.h"
#include "provider/region.h"
#include "provider/region_view.h"
#include "provider/system_calls.h"
#include "provider/unique_fd.h"

namespace devmem {

class ReadBack {
 public:
  // One copy: bytes() may be read while it lives.
  class Copy {
   public:
    // From the beginning of the range on.
    std::span<const uint8_t> bytes() const { return bytes_; }

   private:
    friend class ReadBack;
    std::span<const uint8_t> bytes_;
    std::optional<DmabufAccess> access_;  // Unset for host memory.
  };

  // Reads nothing: Begin() refuses.
  ReadBack() = default;

  // `offset` is where the range begins in the region, in bytes. `dmabuf` is what the NIC writes
  // through, of which a descriptor is kept; -1 for host memory. A region that the processor cannot
  // map gives one that reads nothing. Errors: RegionView::Map(); no descriptor left. `calls`
  // outlives it.
  static absl::StatusOr<ReadBack> Open(const Region& region, uint64_t offset, int dmabuf,
                                       const SystemCalls& calls = SystemCalls::OfThisMachine());

  // Whether there is something to read; Begin() then fails by the exporter's refusal alone.
  bool mapped() const { return view_.has_value(); }

  // Errors: kFailedPrecondition where the processor cannot map the memory; DmabufAccess::Begin().
  // Then nothing was read, and a later call may do better.
  absl::StatusOr<Copy> Begin() const;

 private:
  std::optional<RegionView> view_;  // Of the whole region.
  uint64_t offset_ = 0;
  UniqueFd dmabuf_;
  const SystemCalls* calls_ = nullptr;
};

}  // namespace devmem
