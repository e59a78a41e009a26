// SPDX-License-Identifier: Apache-2.0
//
// The guest's memory as a virtual NIC sees it: ranges of guest physical addresses that QEMU shares
// by file descriptors (vfio-user DMA_MAP), and the one place where an address from a guest becomes
// a pointer. The vfio-user server fills it, the rings and the admin queue read and write through
// it, all on the thread of the device.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "netmem/gvnic/limits.h"

namespace devmem {

// Invariants:
//   1. ranges_ is sorted by address, and no two ranges share a byte.
//   2. No range ends beyond the last address, so that `address + bytes - 1` never wraps.
//   3. A pointer from Read() or Write() is good until the next Map(), Unmap() or UnmapAll(). The
//      guest may change what it points to at any time: load once, then judge what was loaded.
class GuestMemory {
 public:
  GuestMemory() = default;
  ~GuestMemory() { UnmapAll(); }
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // Makes `bytes` of the file behind `fd` the guest's memory at `address`. The descriptor stays the
  // caller's and may be closed afterwards. With fd -1 (memory that cannot be shared, a ROM) the
  // range is remembered, so that nothing else is put there, and never touched.
  //
  // Errors: kInvalidArgument    no bytes, addresses that wrap, or a file offset that no page has.
  //         kOutOfRange         the file ends before the range does; touching it would be fatal.
  //         kAlreadyExists      a byte of the range is mapped already.
  //         kResourceExhausted  kGuestRangesMax ranges are mapped.
  //         others              as mmap(2) has them. The map is unchanged after every error.
  absl::Status Map(uint64_t address, uint64_t bytes, int fd, uint64_t file_offset, bool writable);

  // Errors: kNotFound  no range has exactly this address and size.
  absl::Status Unmap(uint64_t address, uint64_t bytes);
  void UnmapAll();

  // The bytes at a guest physical address, or nullptr unless every one of them lies in one range
  // that is shared and, for Write(), writable. No bytes are nowhere: nullptr.
  const uint8_t* Read(uint64_t address, uint64_t bytes) const {
    const Range* range = Find(address, bytes);
    return range == nullptr ? nullptr : range->memory + (address - range->address);
  }
  uint8_t* Write(uint64_t address, uint64_t bytes) {
    const Range* range = Find(address, bytes);
    return range == nullptr || !range->writable ? nullptr
                                                : range->memory + (address - range->address);
  }

  size_t range_count() const { return ranges_.size(); }
  uint64_t mapped_bytes() const;  // Of the ranges that are shared.

 private:
  struct Range {
    uint64_t address = 0;
    uint64_t bytes = 0;
    uint8_t* memory = nullptr;  // nullptr: not shared.
    bool writable = false;

    bool Holds(uint64_t first, uint64_t count) const {
      return first >= address && count <= bytes && first - address <= bytes - count;
    }
  };

  // The shared range around `bytes` at `address`. Looks first where it found the last one: rings
  // and buffers of one guest nearly always lie in the same range.
  const Range* Find(uint64_t address, uint64_t bytes) const {
    if (last_ < ranges_.size() && bytes != 0 && ranges_[last_].Holds(address, bytes)) {
      return ranges_[last_].memory == nullptr ? nullptr : &ranges_[last_];
    }
    return FindSlow(address, bytes);
  }
  const Range* FindSlow(uint64_t address, uint64_t bytes) const;
  size_t FirstEndingAfter(uint64_t address) const;

  std::vector<Range> ranges_;
  mutable size_t last_ = 0;  // An index into ranges_, or beyond them.
};

}  // namespace devmem
