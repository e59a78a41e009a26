// SPDX-License-Identifier: Apache-2.0
//
// A guest of a virtual gVNIC, for tests: memory in a memfd that the device shares, and a bump
// allocator in it. The rings' drivers (gvnic_ring_driver.h) and tests of the control plane put
// their structures there, on the test's thread.

#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "netmem/gvnic/dqo_format.h"
#include "netmem/gvnic/guest_memory.h"
#include "provider/check.h"
#include "provider/unique_fd.h"

namespace devmem::testing {

class GvnicGuest {
 public:
  // Where the memory begins, seen by the device: not at 0, so that a null address is a wrong one.
  static constexpr uint64_t kBase = 0x100000;

  explicit GvnicGuest(uint64_t bytes = 8u << 20) : bytes_(bytes) {
    file_ = UniqueFd(::memfd_create("gvnic-guest", MFD_CLOEXEC));
    DEVMEM_CHECK(file_.valid(), "memfd_create gave the guest's memory");
    DEVMEM_CHECK(::ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0, "the memfd has a size");
    DEVMEM_CHECK(memory_.Map(kBase, bytes, file_.get(), 0, true).ok(), "the memory is mapped");
  }

  GuestMemory& memory() { return memory_; }
  int fd() const { return file_.get(); }
  uint64_t end() const { return kBase + bytes_; }

  // Zeroed memory at a multiple of `alignment`.
  uint64_t Alloc(uint64_t bytes, uint64_t alignment = 4096) {
    next_ = (next_ + alignment - 1) / alignment * alignment;
    const uint64_t address = next_;
    next_ += bytes;
    DEVMEM_CHECK(next_ <= end(), "the guest has enough memory");
    std::memset(At(address, bytes), 0, bytes);
    return address;
  }

  uint8_t* At(uint64_t address, uint64_t bytes) {
    uint8_t* const at = memory_.Write(address, bytes);
    DEVMEM_CHECK(at != nullptr, "the address is in the guest's memory");
    return at;
  }
  std::vector<uint8_t> Bytes(uint64_t address, uint64_t bytes) {
    if (bytes == 0) return {};
    const uint8_t* const at = At(address, bytes);
    return {at, at + bytes};
  }
  uint64_t Put(std::span<const uint8_t> bytes) {
    const uint64_t address = Alloc(bytes.size(), 64);
    std::memcpy(At(address, bytes.size()), bytes.data(), bytes.size());
    return address;
  }

  template <typename Word>
  Word Load(uint64_t address) {
    return LoadLe<Word>(At(address, sizeof(Word)));
  }
  template <typename Word>
  void Store(uint64_t address, Word word) {
    StoreLe<Word>(At(address, sizeof(Word)), word);
  }

 private:
  const uint64_t bytes_;
  UniqueFd file_;
  GuestMemory memory_;
  uint64_t next_ = kBase;
};

}  // namespace devmem::testing
