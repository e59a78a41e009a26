// SPDX-License-Identifier: Apache-2.0
// See memfd_provider.h.
#include "provider/memfd_provider.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/limits.h"
#include "provider/mapped_memory.h"
#include "provider/movable_region.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

class MemfdRegion final : public Region {
 public:
  // `hidden` is the file of a region that has no handle to pass on.
  MemfdRegion(RegionTraits traits, UniqueFd hidden)
      : Region(std::move(traits)), hidden_(std::move(hidden)) {}

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override {
    return MappedMemory::MapFile(hidden_.valid() ? hidden_.get() : fd(), size_bytes(), access);
  }

  const UniqueFd hidden_;
};

std::unique_ptr<Region> MakeMemfdRegion(RegionTraits traits, UniqueFd fd) {
  if (traits.attachment_kind != AttachmentKind::kMayRevoke) {
    traits.fd = std::move(fd);
    return std::make_unique<MemfdRegion>(std::move(traits), UniqueFd());
  }
  traits.local_because =
      "it may be revoked, and could not be taken back from another process that maps it";
  return std::make_unique<MemfdRegion>(std::move(traits), std::move(fd));
}

absl::StatusOr<std::unique_ptr<Region>> AllocateMovable(RegionTraits traits) {
  if (traits.page_bytes == kSmallPageBytes) return MakeMovableRegion(std::move(traits), 0);
  return absl::FailedPreconditionError(
      "memory of huge pages does not move here: ask for small pages, or for a kind that is pinned");
}

uint64_t MachineBytes() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

absl::Status CheckSize(uint64_t bytes, uint64_t page_bytes) {
  const std::string refused = absl::StrCat("a memfd region of ", bytes, " bytes is refused: ");
  if (bytes > kRegionBytesMax) {
    return absl::OutOfRangeError(
        absl::StrCat(refused, "the most is ", kRegionBytesMax, " bytes; ask for less"));
  }
  if (bytes > MachineBytes()) {
    return absl::OutOfRangeError(absl::StrCat(refused, "this machine has ", MachineBytes(),
                                              " bytes of memory; ask for less"));
  }
  if (bytes == 0 || bytes % page_bytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(refused, "the size must be a positive multiple of the page size, ", page_bytes,
                     " bytes; ask for ", (bytes / page_bytes + 1) * page_bytes));
  }
  return absl::OkStatus();
}

absl::Status CheckLabel(const std::string& label) {
  if (label.size() <= kRegionLabelBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a region's label of ", label.size(),
                                                 " bytes is refused: the most is ",
                                                 kRegionLabelBytesMax, " bytes; shorten it"));
}

// One number of the kernel's account of 2 MiB pages; 0 where the kernel has no such pages.
uint64_t HugePageCount(const std::string& which) {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/" + which);
  uint64_t count = 0;
  file >> count;
  return file ? count : 0;
}

// The remedy asks for what is taken now and what is wanted on top. A page that is reserved still
// counts as free in the kernel's account.
absl::Status NotEnoughHugePages(uint64_t bytes) {
  const uint64_t wanted = bytes / kHugePageBytes;
  const uint64_t total = HugePageCount("nr_hugepages");
  const uint64_t untouched = HugePageCount("free_hugepages");
  const uint64_t free = untouched - std::min(untouched, HugePageCount("resv_hugepages"));
  return absl::ResourceExhaustedError(absl::StrCat(
      "a memfd region of ", bytes, " bytes needs ", wanted, " free huge pages of ", kHugePageBytes,
      " bytes: nr_hugepages is ", total, " and ", free, " of them are free; as root run `sysctl ",
      "vm.nr_hugepages=", total - free + wanted, "`, or ask for small pages"));
}

// Sets the file's huge pages aside now, all or none: later, a NIC would be the first to learn that
// there are too few. The kernel reserves them at the first shared mapping, for the life of the
// file.
absl::Status ReserveHugePages(int fd, uint64_t bytes) {
  const absl::Status mapped = MappedMemory::MapFile(fd, bytes, MapAccess::kReadWrite).status();
  return absl::IsResourceExhausted(mapped) ? NotEnoughHugePages(bytes) : mapped;
}

absl::StatusOr<UniqueFd> OpenMemfd(const AllocateOptions& options) {
  const std::string name = options.label.empty() ? "devmem" : options.label;
  unsigned flags = MFD_ALLOW_SEALING | MFD_CLOEXEC;
  if (options.huge_pages) flags |= MFD_HUGETLB | MFD_HUGE_2MB;
  UniqueFd fd(::memfd_create(name.c_str(), flags));
  if (fd.valid()) return fd;
  const int err = errno;
  // A kernel without 2 MiB pages has no device for them, or does not know the flag.
  if (options.huge_pages && (err == ENODEV || err == EINVAL)) {
    return NotEnoughHugePages(options.bytes);
  }
  return ErrnoToStatus(err, absl::StrCat("memfd_create for ", options.bytes, " bytes"));
}

// Gives the file its size and seals it, so that the size is the same for every holder, for good.
absl::Status SizeAndSeal(int fd, const AllocateOptions& options) {
  if (::ftruncate(fd, static_cast<off_t>(options.bytes)) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("ftruncate of a memfd to ", options.bytes, " bytes"));
  }
  if (options.huge_pages) {
    const absl::Status reserved = ReserveHugePages(fd, options.bytes);
    if (!reserved.ok()) return reserved;
  }
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, "sealing a memfd against a change of its size");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> MemfdProvider::Probe() {
  const UniqueFd fd(::memfd_create("devmem probe", MFD_ALLOW_SEALING | MFD_CLOEXEC));
  if (fd.valid()) return absl::StrCat("host memory, ", MachineBytes(), " bytes in this machine");
  const int err = errno;
  return ErrnoToStatus(err, "memfd_create, which needs Linux 3.17 or later, is refused");
}

absl::StatusOr<std::unique_ptr<Region>> MemfdProvider::Allocate(const AllocateOptions& options) {
  const uint64_t page_bytes = options.huge_pages ? kHugePageBytes : kSmallPageBytes;
  absl::Status checked = CheckSize(options.bytes, page_bytes);
  if (checked.ok()) checked = CheckLabel(options.label);
  if (!checked.ok()) return checked;

  RegionTraits traits{.provider_name = name(),
                      .label = options.label,
                      .size_bytes = options.bytes,
                      .page_bytes = page_bytes,
                      .attachment_kind = options.kind,
                      .policy = options.policy,
                      .fd = {}};
  if (options.kind == AttachmentKind::kMayMove) return AllocateMovable(std::move(traits));
  absl::StatusOr<UniqueFd> fd = OpenMemfd(options);
  if (!fd.ok()) return fd.status();
  const absl::Status sized = SizeAndSeal(fd->get(), options);
  if (!sized.ok()) return sized;

  return MakeMemfdRegion(std::move(traits), *std::move(fd));
}

}  // namespace devmem
