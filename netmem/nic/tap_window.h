// SPDX-License-Identifier: Apache-2.0
//
// The posted window of a page pool as one readv sees it: a snapshot of its runs, as far as one
// frame can reach. TapQueue makes one before each read and looks through it at what the read
// brought, before anything is taken from the pool. Worker's thread; lives on the stack.

#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "netmem/limits.h"
#include "netmem/nic/netdev.h"
#include "netmem/wire/checksum.h"
#include "provider/dma_mapping.h"

namespace devmem {

// Invariants:
//   1. The parts are the front of the pool's posted window, in the order in which Take() gives them
//   out,
//      until the next Take().
//   2. bytes() is the sum of their lengths and at most the `bytes_max` of Post().
class TapWindow {
 public:
  // Without Post() it has no part: so for a queue whose mapping was revoked. Called once.
  void Post(const QueueMemory& memory, uint32_t bytes_max) {
    mapping_ = memory.mapping;
    const uint64_t base = memory.pool->provider().region_offset;
    for (const PagePool::Run& run : memory.pool->Posted()) {
      if (bytes_ == bytes_max) return;
      const uint32_t part_bytes = std::min(run.bytes, bytes_max - bytes_);
      parts_[count_++] = {base + run.offset, part_bytes};
      bytes_ += part_bytes;
    }
  }

  uint32_t bytes() const { return bytes_; }

  // Writes one entry a part to `vector`, which has room for kPartsMax, and returns how many.
  uint32_t FillVector(iovec* vector) const {
    for (uint32_t n = 0; n < count_; ++n)
      vector[n] = mapping_->Iov(parts_[n].offset, parts_[n].bytes);
    return count_;
  }

  // Whether no part of it is evicted.
  bool IsInPlace() const {
    return std::all_of(parts_.begin(), parts_.begin() + count_,
                       [&](const Part& part) { return mapping_->IsHome(part.offset, part.bytes); });
  }

  // Copies the first bytes of the window to host memory.
  void CopyOut(std::span<uint8_t> to) const {
    ForEach(0, static_cast<uint32_t>(to.size()), [&](uint64_t offset, uint32_t part_bytes) {
      mapping_->CopyOut(offset, to.first(part_bytes));
      to = to.subspan(part_bytes);
    });
  }

  // The partial Internet sum of `bytes` bytes from `skip_bytes` on.
  uint32_t Sum(uint32_t skip_bytes, uint32_t bytes) const {
    uint32_t sum = 0;
    bool odd = false;
    ForEach(skip_bytes, bytes, [&](uint64_t offset, uint32_t part_bytes) {
      sum = Combine(sum, mapping_->Checksum(offset, part_bytes), odd);
      odd ^= (part_bytes & 1) != 0;
    });
    return sum;
  }

  static constexpr uint32_t kPartsMax = kPostedRunsMax + 1;

 private:
  struct Part {
    uint64_t offset;  // In the region.
    uint32_t bytes;
  };

  template <typename Visit>
  void ForEach(uint32_t skip_bytes, uint32_t bytes, Visit visit) const {
    for (uint32_t n = 0; n < count_ && bytes > 0; ++n) {
      const uint32_t skipped = std::min(skip_bytes, parts_[n].bytes);
      skip_bytes -= skipped;
      const uint32_t part_bytes = std::min(bytes, parts_[n].bytes - skipped);
      if (part_bytes > 0) visit(parts_[n].offset + skipped, part_bytes);
      bytes -= part_bytes;
    }
  }

  DmaMapping* mapping_ = nullptr;
  uint32_t count_ = 0;
  uint32_t bytes_ = 0;
  std::array<Part, kPartsMax> parts_;
};

}  // namespace devmem
