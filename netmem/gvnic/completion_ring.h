// SPDX-License-Identifier: Apache-2.0
//
// The device's end of a completion ring in guest memory: entries are written one after another,
// each marked with a generation bit that flips at every wrap, so that the driver sees what is new
// without a shared index. One belongs to each tx and rx ring, on the thread of the device.

#pragma once

#include <cstdint>
#include <span>

#include "netmem/gvnic/guest_memory.h"

namespace devmem {

// Where the generation bit stands: in the word of `word_bytes` at the entry's beginning, which is
// written last, as one store-release. The guest's rings start zeroed, the first lap writes 1.
struct CompletionFormat {
  uint32_t entry_bytes = 0;
  uint32_t word_bytes = 0;  // 4 or 8.
  uint64_t generation_bit = 0;
};
inline constexpr CompletionFormat kTxCompletionFormat = {8, 4, uint64_t{1} << 15};
inline constexpr CompletionFormat kRxCompletionFormat = {32, 8, uint64_t{1} << (4 * 8 + 14)};

class CompletionRing {
 public:
  // `entries` is a power of two; `address` is a multiple of the entry's size.
  CompletionRing(GuestMemory& memory, const CompletionFormat& format, uint64_t address,
                 uint32_t entries)
      : memory_(&memory), format_(format), address_(address), entries_(entries) {}

  // Writes the next entry, of which the generation bit is clear. False: the ring is no longer in
  // the guest's memory; the place counts as used.
  bool Write(std::span<const uint8_t> entry);

 private:
  GuestMemory* memory_;
  CompletionFormat format_;
  uint64_t address_;
  uint32_t entries_;
  uint32_t next_ = 0;
  bool generation_ = true;
};

}  // namespace devmem
