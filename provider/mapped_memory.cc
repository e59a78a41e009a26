// SPDX-License-Identifier: Apache-2.0
// See mapped_memory.h. mmap(2), madvise(2), mlock2(2).
#include "provider/mapped_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {

absl::StatusOr<MappedMemory> MappedMemory::MapFile(int fd, uint64_t bytes, MapAccess access) {
  const int protection = access == MapAccess::kReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
  void* const address = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("mmap of ", bytes, " bytes of device memory"));
  }
  return MappedMemory(static_cast<uint8_t*>(address), bytes);
}

MappedMemory::~MappedMemory() {
  if (address_ != nullptr) ::munmap(address_, bytes_);
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

absl::Status MappedMemory::Populate() {
  // Not MAP_POPULATE: it maps shared pages for reading only, and keeps its failures to itself.
  if (::madvise(address_, bytes_, MADV_POPULATE_WRITE) == 0) return absl::OkStatus();
  const int err = errno;
  if (err == EINVAL) {
    return absl::FailedPreconditionError(
        "the kernel cannot populate memory ahead of use (MADV_POPULATE_WRITE); "
        "devmem needs Linux 5.14 or later");
  }
  return absl::ResourceExhaustedError(
      ErrnoToStatus(err, absl::StrCat("the machine cannot supply ", bytes_,
                                      " bytes of memory now; ask for less or free some"))
          .message());
}

absl::Status MappedMemory::Lock() {
  // mlock2 without flags is mlock, except that the sanitizers do not replace it by nothing.
  if (::mlock2(address_, bytes_, 0) == 0) return absl::OkStatus();
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("mlock of ", bytes_, " bytes"));
}

}  // namespace devmem
