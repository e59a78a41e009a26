// SPDX-License-Identifier: Apache-2.0
// See memfd_file.h.
#include "provider/memfd_file.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/allocate_checks.h"
#include "provider/huge_pages.h"
#include "provider/limits.h"
#include "provider/mapped_memory.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

bool IsHuge(const MemfdRequest& request) { return request.page_bytes != kSmallPageBytes; }

unsigned PageFlags(uint64_t page_bytes) {
  if (page_bytes == kSmallPageBytes) return 0;
  return MFD_HUGETLB | (page_bytes == kHugePageBytes ? MFD_HUGE_2MB : MFD_HUGE_1GB);
}

absl::Status NotEnough(const SystemCalls& calls, const MemfdRequest& request) {
  return NotEnoughHugePages(calls, request.provider_name, request.bytes, request.page_bytes,
                            "ask for small pages");
}

// Sets the file's huge pages aside now, all or none: later, a NIC would be the first to learn that
// there are too few. The kernel reserves them at the first shared mapping, for the life of the
// file.
absl::Status ReserveHugePages(const SystemCalls& calls, int fd, const MemfdRequest& request) {
  const absl::Status mapped =
      MappedMemory::MapFile(fd, request.bytes, MapAccess::kReadWrite).status();
  return absl::IsResourceExhausted(mapped) ? NotEnough(calls, request) : mapped;
}

absl::StatusOr<UniqueFd> OpenMemfd(const SystemCalls& calls, const MemfdRequest& request) {
  const std::string name = request.label.empty() ? "devmem" : request.label;
  UniqueFd fd(::memfd_create(name.c_str(),
                             MFD_ALLOW_SEALING | MFD_CLOEXEC | PageFlags(request.page_bytes)));
  if (fd.valid()) return fd;
  const int err = errno;
  // A kernel without such pages has no device for them, or does not know the flag.
  if (IsHuge(request) && (err == ENODEV || err == EINVAL)) return NotEnough(calls, request);
  return ErrnoToStatus(err, absl::StrCat("memfd_create for ", request.bytes, " bytes"));
}

absl::Status SizeAndSeal(const SystemCalls& calls, int fd, const MemfdRequest& request) {
  if (::ftruncate(fd, static_cast<off_t>(request.bytes)) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("ftruncate of a memfd to ", request.bytes, " bytes"));
  }
  if (IsHuge(request)) {
    absl::Status reserved = ReserveHugePages(calls, fd, request);
    if (!reserved.ok()) return reserved;
  }
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, "sealing a memfd against a change of its size");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckMemfdRequest(const MemfdRequest& request) {
  absl::Status checked = CheckRegionBytes(request.bytes, {.provider_name = request.provider_name,
                                                          .page_bytes = request.page_bytes,
                                                          .available_bytes = MachineBytes()});
  if (checked.ok()) checked = CheckRegionLabel(request.label);
  return checked;
}

absl::StatusOr<UniqueFd> MakeMemfdFile(const SystemCalls& calls, const MemfdRequest& request) {
  absl::Status checked = CheckMemfdRequest(request);
  if (!checked.ok()) return checked;
  absl::StatusOr<UniqueFd> fd = OpenMemfd(calls, request);
  if (!fd.ok()) return fd.status();
  absl::Status sized = SizeAndSeal(calls, fd->get(), request);
  if (!sized.ok()) return sized;
  return fd;
}

}  // namespace devmem
