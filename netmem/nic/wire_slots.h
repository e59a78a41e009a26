// SPDX-License-Identifier: Apache-2.0
//
// The frame memory of one end of the in-memory wire: every frame that is on its way to this end, or
// waits in one of its rings, lies in a slot that was made at start. Header and payload lie apart,
// as a NIC with header split keeps them, so that polling frames without payload walks through
// compact memory. Used by the thread that drives the wire; nothing here allocates after
// construction.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "netmem/nic/limits.h"
#include "provider/lazy_array.h"

namespace devmem {

// A frame as it lies in memory. The payload is in WireSlots::payload().
struct alignas(64) WireSlot {
  uint32_t frame_bytes;    // As the link says; the headers inside may say less.
  uint16_t header_bytes;   // Of `header`: what the headers take, or as much of them as fits.
  uint16_t segment_count;  // MTU-sized segments that the frame stands for.
  bool suspect;            // The TCP checksum is to be verified.
  bool corrupted;          // A bit was flipped on the way.
  bool cut;                // The frame is longer than a slot; the rest is gone.
  uint8_t header[kHeaderSlotBytes];
};

// Invariants:
//   1. A slot is free, on its way (in the link's schedule), in a ring, or delivered until the next
//      poll; exactly one of these.
//   2. Slots are handed out last-in first-out, so that memory once touched is touched again.
class WireSlots {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Check ok() afterwards.
  WireSlots(uint32_t count, uint32_t payload_bytes)
      : payload_bytes_(payload_bytes),
        slots_(count),
        payload_(size_t{count} * payload_bytes),
        free_(count) {}

  bool ok() const { return slots_.ok() && payload_.ok() && free_.ok(); }

  // A slot, or kNone when all are taken.
  uint32_t Alloc() {
    if (free_count_ > 0) return free_[--free_count_];
    return fresh_ < slots_.size() ? fresh_++ : kNone;
  }
  void Free(uint32_t index) { free_[free_count_++] = index; }
  void Free(std::span<const uint32_t> indices) {
    std::copy(indices.begin(), indices.end(), free_.data() + free_count_);
    free_count_ += static_cast<uint32_t>(indices.size());
  }

  WireSlot& operator[](uint32_t index) { return slots_[index]; }
  // The whole room for payload, of which the frame uses the beginning.
  std::span<uint8_t> payload(uint32_t index) {
    return {payload_.data() + size_t{index} * payload_bytes_, payload_bytes_};
  }
  uint32_t payload_bytes_max() const { return payload_bytes_; }
  uint32_t taken() const { return fresh_ - free_count_; }

 private:
  const uint32_t payload_bytes_;
  LazyArray<WireSlot> slots_;
  LazyArray<uint8_t> payload_;
  LazyArray<uint32_t> free_;  // A stack of free_count_ slots.
  uint32_t free_count_ = 0;
  uint32_t fresh_ = 0;  // Slots from here on were never used.
};

}  // namespace devmem
