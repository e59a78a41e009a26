// SPDX-License-Identifier: Apache-2.0
// See memfd_region.h.
#include "provider/memfd_region.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "provider/allocate_checks.h"
#include "provider/dmabuf_region.h"
#include "provider/host_residence.h"
#include "provider/limits.h"
#include "provider/mapped_memory.h"
#include "provider/udmabuf.h"

namespace devmem {

absl::StatusOr<MappedMemory> MemfdRegion::Map(MapAccess access) const {
  if (!is_dmabuf()) {
    return MappedMemory::MapFile(file(), size_bytes(), access, backing_.offset);
  }
  return MapDmabuf(calls_, fd(), file(), backing_.offset, size_bytes(), access);
}

absl::StatusOr<UniqueFd> MemfdRegion::ExportDmabuf(uint64_t offset, uint64_t bytes) const {
  absl::Status usable = status();
  if (!usable.ok()) return usable;
  usable = CheckRange(absl::StrCat("a dma-buf of ", Describe()), offset, bytes, size_bytes(),
                      kSmallPageBytes);
  if (!usable.ok()) return usable;
  if (attachment_kind() != AttachmentKind::kPinned) {
    return absl::FailedPreconditionError(absl::StrCat(
        Describe(), " cannot be a dma-buf: it may be revoked, and importers in the kernel keep ",
        "what they have mapped; allocate it as AttachmentKind::kPinned"));
  }
  if (is_dmabuf() && bytes == size_bytes()) return ShareHandle();
  return CreateUdmabuf(calls_, file(), backing_.offset + offset, bytes);
}

absl::StatusOr<Residence> MemfdRegion::FindResidence() const {
  return HostResidence::Find(file(), backing_.offset, size_bytes(), page_bytes());
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
