// SPDX-License-Identifier: Apache-2.0
// See region_view.h.
#include "provider/region_view.h"

#include <utility>

#include "provider/mapped_memory.h"

namespace devmem {

absl::StatusOr<RegionView> RegionView::Map(const Region& region) {
  absl::StatusOr<MappedMemory> memory = region.Map(MapAccess::kReadOnly);
  if (!memory.ok()) return memory.status();
  return RegionView(*std::move(memory));
}

}  // namespace devmem
