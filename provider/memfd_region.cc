// SPDX-License-Identifier: Apache-2.0
// See memfd_region.h.
#include "provider/memfd_region.h"

#include <memory>

#include "provider/mapped_memory.h"

namespace devmem {

absl::StatusOr<MappedMemory> MemfdRegion::Map(MapAccess access) const {
  return MappedMemory::MapFile(file(), size_bytes(), access, backing_.offset);
}

std::unique_ptr<Region> MakeMemfdRegion(RegionTraits traits, UniqueFd file,
                                        const SystemCalls& calls) {
  MemfdBacking backing;
  if (traits.attachment_kind == AttachmentKind::kMayRevoke) {
    traits.local_because =
        "it may be revoked, and a handle in another process could not be taken back";
    backing.file = std::move(file);
  } else {
    traits.fd = std::move(file);
  }
  return std::make_unique<MemfdRegion>(std::move(traits), std::move(backing), calls);
}

}  // namespace devmem
