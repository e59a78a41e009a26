// SPDX-License-Identifier: Apache-2.0
//
// Maps and unmaps what QEMU shares of a guest's memory. Runs on the thread of the device; only the
// slow path of a lookup is here, the fast one is in the header.

#include "netmem/gvnic/guest_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "provider/limits.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

std::string RangeToString(uint64_t address, uint64_t bytes) {
  return absl::StrCat("guest memory 0x", absl::Hex(address), ", ", bytes, " bytes");
}

absl::Status CheckExtent(uint64_t address, uint64_t bytes, uint64_t file_offset) {
  if (bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(RangeToString(address, bytes), ": an empty range cannot be mapped"));
  }
  if (bytes - 1 > UINT64_MAX - address) {
    return absl::InvalidArgumentError(absl::StrCat(
        RangeToString(address, bytes), " goes beyond the last address; map less of it"));
  }
  if (file_offset % kSmallPageBytes != 0 || bytes > INT64_MAX || file_offset > INT64_MAX - bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(RangeToString(address, bytes), ": the file offset ", file_offset,
                     " is not the multiple of ", kSmallPageBytes,
                     " bytes that mmap needs, or lies beyond the largest file"));
  }
  return absl::OkStatus();
}

// A mapping that reaches beyond its file ends the process at the first access there.
absl::Status CheckFile(uint64_t address, uint64_t bytes, int fd, uint64_t file_offset) {
  struct stat file;
  if (::fstat(fd, &file) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat(RangeToString(address, bytes), ": its descriptor ", fd,
                                           " cannot be examined"));
  }
  const uint64_t file_bytes = static_cast<uint64_t>(file.st_size);
  if (file_offset + bytes <= file_bytes) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat(RangeToString(address, bytes), " at file offset ",
                                            file_offset, " ends behind its file of ", file_bytes,
                                            " bytes; share a memfd of the guest's whole memory"));
}

}  // namespace

absl::Status GuestMemory::Map(uint64_t address, uint64_t bytes, int fd, uint64_t file_offset,
                              bool writable) {
  absl::Status checked = CheckExtent(address, bytes, file_offset);
  if (checked.ok() && fd >= 0) checked = CheckFile(address, bytes, fd, file_offset);
  if (!checked.ok()) return checked;
  const size_t place = FirstEndingAfter(address);
  if (place < ranges_.size() && ranges_[place].address <= address + (bytes - 1)) {
    return absl::AlreadyExistsError(absl::StrCat(
        RangeToString(address, bytes), " overlaps ",
        RangeToString(ranges_[place].address, ranges_[place].bytes), "; unmap that first"));
  }
  if (ranges_.size() >= kGuestRangesMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        ranges_.size(), " ranges of guest memory are mapped, the most is ", kGuestRangesMax));
  }
  Range range{.address = address, .bytes = bytes, .memory = nullptr, .writable = writable};
  if (fd >= 0) {
    const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void* const memory =
        ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, static_cast<off_t>(file_offset));
    if (memory == MAP_FAILED) {
      const int err = errno;
      return ErrnoToStatus(err,
                           absl::StrCat(RangeToString(address, bytes), " cannot be mapped here"));
    }
    range.memory = static_cast<uint8_t*>(memory);
  }
  ranges_.insert(ranges_.begin() + static_cast<ptrdiff_t>(place), range);
  return absl::OkStatus();
}

absl::Status GuestMemory::Unmap(uint64_t address, uint64_t bytes) {
  const size_t place = FirstEndingAfter(address);
  if (place == ranges_.size() || ranges_[place].address != address ||
      ranges_[place].bytes != bytes) {
    return absl::NotFoundError(absl::StrCat(RangeToString(address, bytes),
                                            " is not mapped; name a range as it was mapped"));
  }
  if (ranges_[place].memory != nullptr) ::munmap(ranges_[place].memory, bytes);
  ranges_.erase(ranges_.begin() + static_cast<ptrdiff_t>(place));
  return absl::OkStatus();
}

void GuestMemory::UnmapAll() {
  for (const Range& range : ranges_) {
    if (range.memory != nullptr) ::munmap(range.memory, range.bytes);
  }
  ranges_.clear();
}

uint64_t GuestMemory::mapped_bytes() const {
  uint64_t sum = 0;
  for (const Range& range : ranges_) sum += range.memory == nullptr ? 0 : range.bytes;
  return sum;
}

const GuestMemory::Range* GuestMemory::FindSlow(uint64_t address, uint64_t bytes) const {
  const size_t place = FirstEndingAfter(address);
  if (bytes == 0 || place == ranges_.size() || !ranges_[place].Holds(address, bytes)) {
    return nullptr;
  }
  last_ = place;
  return ranges_[place].memory == nullptr ? nullptr : &ranges_[place];
}

// The index of the first range whose last byte is not below `address`.
size_t GuestMemory::FirstEndingAfter(uint64_t address) const {
  const auto first = std::partition_point(
      ranges_.begin(), ranges_.end(),
      [address](const Range& range) { return range.address + (range.bytes - 1) < address; });
  return static_cast<size_t>(first - ranges_.begin());
}

}  // namespace devmem
