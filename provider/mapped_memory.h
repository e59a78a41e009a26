// SPDX-License-Identifier: Apache-2.0
// MappedMemory: a mapping of a region into this process, before it is given to the one class that
// may use its address. Made by the providers on the control thread, handed to DmaMapping (for a
// NIC) or RegionView (for the region's owner); nobody else can learn the address.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace devmem {

enum class MapAccess {
  kReadOnly,
  kReadWrite,
};

// Memory of a device or of another driver, mapped by a provider whose last word is more than an
// munmap, or which cannot be mapped a second time. Its pages belong to the driver: they are touched
// to be present, and never swapped. Lent to one MappedMemory at a time.
class DeviceMapping {
 public:
  // Takes over the mapping [address, address + bytes).
  DeviceMapping(void* address, size_t bytes) : address_(address), bytes_(bytes) {}
  // Unmaps. A subclass may have more to do after that.
  virtual ~DeviceMapping();
  DeviceMapping(const DeviceMapping&) = delete;
  DeviceMapping& operator=(const DeviceMapping&) = delete;

 protected:
  void Unmap();

 private:
  friend class MappedMemory;

  void* address_;
  const size_t bytes_;
  std::atomic<bool> lent_{false};
  // Whether a revoke put scratch memory in its place; there is nothing left to lend then.
  std::atomic<bool> replaced_{false};
};

// Invariants:
//   1. address_ is null and bytes_ is 0 (moved from), or [address_, address_ + bytes_) is one
//      mapping that this object alone unmaps, or that device_ lends to it alone.
//   2. The address leaves this object only through the two friends.
class MappedMemory {
 public:
  // Maps `bytes` bytes of the file `fd`, from `fd_offset` on, as shared memory. The mapping keeps
  // the memory alive without the descriptor.
  static absl::StatusOr<MappedMemory> MapFile(int fd, uint64_t bytes, MapAccess access,
                                              uint64_t fd_offset = 0);

  // Borrows a device's mapping and keeps it alive. kFailedPrecondition while somebody else has it,
  // and once it was revoked.
  static absl::StatusOr<MappedMemory> Borrow(std::shared_ptr<DeviceMapping> device,
                                             MapAccess access);

  ~MappedMemory();
  MappedMemory(MappedMemory&& other) noexcept;
  MappedMemory& operator=(MappedMemory&& other) noexcept;
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;

  size_t bytes() const { return bytes_; }

  // Makes every page present and writable now, so that a later access does not fault. Fails when
  // the machine cannot supply the pages. Needs MapAccess::kReadWrite and Linux 5.14. A device's
  // pages are looked at instead: their driver made them.
  absl::Status Populate();

  // The same for a part, by system calls that a sanitizer does not take for accesses, and locks it
  // where that is allowed.
  bool PopulateRange(uint64_t offset, uint64_t bytes);

  // Replaces a part by private memory of zeroes, or by a part of a file, in one step: at no moment
  // is there a hole. Ranges are of whole pages inside the mapping. False: the kernel refused, and
  // the part is as before.
  bool CoverWithScratch(uint64_t offset, uint64_t bytes);
  bool CoverWithFile(uint64_t offset, uint64_t bytes, int fd, uint64_t fd_offset);

  // Unmaps all but a range, which is of whole pages.
  void TrimTo(uint64_t offset, uint64_t bytes);

  // Keeps the pages in memory until unmapped. kResourceExhausted or kPermissionDenied where
  // RLIMIT_MEMLOCK is in the way. A device's pages need no lock.
  absl::Status Lock();

 private:
  friend class DmaMapping;
  friend class HostResidence;
  friend class RegionView;

  friend class UserMapping;

  MappedMemory(uint8_t* address, size_t bytes, MapAccess access)
      : address_(address), bytes_(bytes), access_(access) {}

  absl::Status TouchPages();

  uint8_t* address_;
  size_t bytes_;
  MapAccess access_;
  std::shared_ptr<DeviceMapping> device_;  // Null for the mapping of a file.
};

}  // namespace devmem
