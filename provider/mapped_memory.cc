// SPDX-License-Identifier: Apache-2.0
// See mapped_memory.h. mmap(2), madvise(2), mlock2(2).
#include "provider/mapped_memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "provider/limits.h"
#include "provider/posix_error.h"
#include "provider/unique_fd.h"

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

absl::StatusOr<MappedMemory> MappedMemory::Borrow(std::shared_ptr<DeviceMapping> device,
                                                  MapAccess access) {
  if (device->replaced_.load(std::memory_order_acquire)) {
    return absl::FailedPreconditionError("the device's memory was revoked from its only mapping");
  }
  if (device->lent_.exchange(true, std::memory_order_acq_rel)) {
    return absl::FailedPreconditionError(
        "the device's memory has one mapping, and somebody uses it already; let that one go first");
  }
  MappedMemory memory(static_cast<uint8_t*>(device->address_), device->bytes_, access);
  memory.device_ = std::move(device);
  return memory;
}

DeviceMapping::~DeviceMapping() { Unmap(); }

void DeviceMapping::Unmap() {
  if (address_ != nullptr) ::munmap(address_, bytes_);
  address_ = nullptr;
}

MappedMemory::~MappedMemory() {
  if (device_ != nullptr) {
    device_->lent_.store(false, std::memory_order_release);
  } else if (address_ != nullptr) {
    ::munmap(address_, bytes_);
  }
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      access_(other.access_),
      device_(std::move(other.device_)) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  std::swap(access_, other.access_);
  std::swap(device_, other.device_);
  return *this;
}

absl::Status MappedMemory::Populate() {
  if (device_ != nullptr) return TouchPages();
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

// One byte of each page goes into a file that nobody reads: a page that is not there is then a
// failed system call, where an access of ours would end the program.
absl::Status MappedMemory::TouchPages() {
  static const uint64_t kPagesPerCall = 1024;  // IOV_MAX.
  const UniqueFd sink(::memfd_create("devmem touch", MFD_CLOEXEC));
  std::array<struct iovec, kPagesPerCall> run;
  for (uint64_t offset = 0; offset < bytes_;) {
    const uint64_t pages = std::min<uint64_t>(kPagesPerCall, (bytes_ - offset) / kSmallPageBytes);
    for (uint64_t page = 0; page < pages; ++page) {
      run[page] = {address_ + offset + page * kSmallPageBytes, 1};
    }
    const ssize_t touched = ::pwritev(sink.get(), run.data(), static_cast<int>(pages), 0);
    if (touched != static_cast<ssize_t>(pages)) {
      return absl::UnavailableError(
          absl::StrCat("the device's driver does not supply all pages from byte ", offset, " of ",
                       bytes_, " on; is its device still there?"));
    }
    offset += pages * kSmallPageBytes;
  }
  return absl::OkStatus();
}

bool MappedMemory::PopulateRange(uint64_t offset, uint64_t bytes) {
  if (::syscall(SYS_madvise, address_ + offset, bytes, MADV_POPULATE_WRITE) != 0) return false;
  (void)::syscall(SYS_mlock2, address_ + offset, bytes, 0);
  return true;
}

bool MappedMemory::CoverWithScratch(uint64_t offset, uint64_t bytes) {
  if (device_ != nullptr) device_->replaced_.store(true, std::memory_order_release);
  return MapFixed(address_ + offset, bytes, Protection(access_),
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

bool MappedMemory::CoverWithFile(uint64_t offset, uint64_t bytes, int fd, uint64_t fd_offset) {
  return MapFixed(address_ + offset, bytes, Protection(access_), MAP_SHARED, fd, fd_offset);
}

void MappedMemory::TrimTo(uint64_t offset, uint64_t bytes) {
  const uint64_t behind = bytes_ - offset - bytes;
  if (offset > 0) (void)::munmap(address_, offset);
  address_ += offset;
  if (behind > 0) (void)::munmap(address_ + bytes, behind);
  bytes_ = bytes;
}

absl::Status MappedMemory::Lock() {
  if (device_ != nullptr) return absl::OkStatus();
  // mlock2 without flags is mlock, except that the sanitizers do not replace it by nothing.
  if (::mlock2(address_, bytes_, 0) == 0) return absl::OkStatus();
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("mlock of ", bytes_, " bytes"));
}

}  // namespace devmem
