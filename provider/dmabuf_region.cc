// SPDX-License-Identifier: Apache-2.0
// See dmabuf_region.h.
#include "provider/dmabuf_region.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/dma_engine.h"
#include "provider/dmabuf_access.h"
#include "provider/mapped_memory.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// Ends the announcement once the bytes are unmapped.
class SyncedMapping final : public DeviceMapping {
 public:
  SyncedMapping(void* address, size_t bytes, UniqueFd dmabuf, DmabufAccess access)
      : DeviceMapping(address, bytes), dmabuf_(std::move(dmabuf)), access_(std::move(access)) {}
  ~SyncedMapping() override { Unmap(); }

 private:
  const UniqueFd dmabuf_;  // Goes after the access to it.
  const DmabufAccess access_;
};

}  // namespace

absl::StatusOr<MappedMemory> MapDmabuf(const SystemCalls& calls, int dmabuf, int fd,
                                       uint64_t offset, uint64_t bytes, MapAccess access) {
  UniqueFd keeper(::fcntl(dmabuf, F_DUPFD_CLOEXEC, 0));
  if (!keeper.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, "keeping a dma-buf for its mapping");
  }
  absl::StatusOr<DmabufAccess> announced = DmabufAccess::Begin(calls, keeper.get(), access);
  if (!announced.ok()) return announced.status();
  const int protection = access == MapAccess::kReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
  void* const address =
      ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, static_cast<off_t>(offset));
  const int err = errno;
  // From here on the end is announced in every case; nothing is unmapped where nothing is mapped.
  auto mapping = std::make_shared<SyncedMapping>(address == MAP_FAILED ? nullptr : address, bytes,
                                                 std::move(keeper), *std::move(announced));
  if (address == MAP_FAILED) {
    return ErrnoToStatus(err, absl::StrCat("mmap of ", bytes, " bytes of a dma-buf"));
  }
  return MappedMemory::Borrow(std::move(mapping), access);
}

std::unique_ptr<Region> MakeDmabufRegion(RegionTraits traits, DmabufPart part,
                                         const SystemCalls& calls) {
  const int dmabuf = traits.fd.get();
  const absl::Status mapped =
      MapDmabuf(calls, dmabuf, dmabuf, part.offset, traits.size_bytes, MapAccess::kReadWrite)
          .status();
  traits.cpu_visible = mapped.ok();
  if (!mapped.ok()) part.unmappable = std::string(mapped.message());
  return std::make_unique<DmabufRegion>(std::move(traits), std::move(part), calls);
}

absl::StatusOr<MappedMemory> DmabufRegion::Map(MapAccess access) const {
  if (!part_.unmappable.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the processor cannot map ", Describe(), ": ", part_.unmappable));
  }
  return MapDmabuf(calls_, fd(), fd(), part_.offset, size_bytes(), access);
}

absl::StatusOr<std::unique_ptr<DmaEngine>> DmabufRegion::CreateDmaEngine(
    DmaMapping& /*staging*/) const {
  return absl::FailedPreconditionError(
      absl::StrCat("nothing of ours can write ", Describe(), ": the processor cannot map it (",
                   part_.unmappable, "), and no engine copies into it; bind it with a backend of ",
                   "the kernel, or allocate it from the provider of its device"));
}

absl::StatusOr<UniqueFd> DmabufRegion::ExportDmabuf(uint64_t offset, uint64_t bytes) const {
  if (offset == 0 && bytes == size_bytes() && bytes == part_.dmabuf_bytes) return ShareHandle();
  return absl::FailedPreconditionError(
      absl::StrCat(bytes, " bytes from byte ", offset, " on of ", Describe(),
                   " cannot be a dma-buf of their own: it lies from byte ", part_.offset,
                   " on in a dma-buf of ", part_.dmabuf_bytes,
                   " bytes, which cannot be divided; ask for the whole of it, or pass the whole ",
                   "and the offset"));
}

absl::StatusOr<Residence> DmabufRegion::FindResidence() const {
  if (part_.residence.empty()) return Region::FindResidence();
  return Residence{.device_bytes = size_bytes(), .where = part_.residence};
}

}  // namespace devmem
