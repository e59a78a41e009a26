// SPDX-License-Identifier: Apache-2.0
// See mapped_memory.h. mmap(2), madvise(2), mlock2(2).
#include "provider/mapped_memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {

namespace {

int Protection(MapAccess access) {
  return access == MapAccess::kReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
}

// Past the C library, because ThreadSanitizer takes mmap() for a write to each byte and would
// report the very race that a mapping's generation is there for.
bool MapFixed(uint8_t* address, uint64_t bytes, int protection, int flags, int fd,
              uint64_t offset) {
  const long result = ::syscall(SYS_mmap, address, bytes, protection, flags | MAP_FIXED, fd,
                                static_cast<off_t>(offset));
  return result == reinterpret_cast<long>(address);
}

}  // namespace

absl::StatusOr<MappedMemory> MappedMemory::MapFile(int fd, uint64_t bytes, MapAccess access,
                                                   uint64_t fd_offset) {
  void* const address =
      ::mmap(nullptr, bytes, Protection(access), MAP_SHARED, fd, static_cast<off_t>(fd_offset));
  if (address == MAP_FAILED) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("mmap of ", bytes, " bytes of device memory"));
  }
  return MappedMemory(static_cast<uint8_t*>(address), bytes, access);
}

MappedMemory::~MappedMemory() {
  if (address_ != nullptr) ::munmap(address_, bytes_);
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      access_(other.access_) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  std::swap(access_, other.access_);
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

bool MappedMemory::PopulateRange(uint64_t offset, uint64_t bytes) {
  return ::syscall(SYS_madvise, address_ + offset, bytes, MADV_POPULATE_WRITE) == 0;
}

bool MappedMemory::CoverWithScratch(uint64_t offset, uint64_t bytes) {
  return MapFixed(address_ + offset, bytes, Protection(access_),
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

bool MappedMemory::CoverWithFile(uint64_t offset, uint64_t bytes, int fd, uint64_t fd_offset) {
  return MapFixed(address_ + offset, bytes, Protection(access_), MAP_SHARED, fd, fd_offset);
}

absl::Status MappedMemory::Lock() {
  // mlock2 without flags is mlock, except that the sanitizers do not replace it by nothing.
  if (::mlock2(address_, bytes_, 0) == 0) return absl::OkStatus();
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("mlock of ", bytes_, " bytes"));
}

}  // namespace devmem
