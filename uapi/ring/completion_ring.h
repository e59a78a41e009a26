// SPDX-License-Identifier: Apache-2.0
//
// The consumer's side of an io_uring completion ring whose entries carry the place of received
// bytes: all 32 bytes long (IORING_SETUP_CQE32), or of both lengths (IORING_SETUP_CQE_MIXED). The
// memory is shared with the kernel, which writes the tail. One thread. Linux's
// Documentation/networking/iou-zcrx.rst and io_uring_setup(2).

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "uapi/abi/io_uring_zcrx.h"

namespace devmem {

struct Completion {
  uint64_t user_data = 0;
  int32_t result = 0;   // Bytes, or minus an errno.
  uint32_t flags = 0;   // IORING_CQE_F_*.
  uint64_t offset = 0;  // io_uring_zcrx_cqe::off; 0 in a short entry.

  bool more() const { return (flags & IORING_CQE_F_MORE) != 0; }
};

class CompletionRing {
 public:
  // Where the ring lies; owned by whoever made it, for longer than this.
  struct Memory {
    uint32_t* head = nullptr;        // Ours.
    const uint32_t* tail = nullptr;  // The kernel's.
    const uint8_t* entries = nullptr;
    uint32_t slots = 0;  // A power of two; of 32 bytes, or of 16 where the lengths are mixed.
    bool mixed = false;
  };

  CompletionRing() = default;
  explicit CompletionRing(const Memory& memory)
      : memory_(memory), mask_(memory.slots - 1), head_(*memory.head) {}

  // Takes the next completion. False when there is none. Its slot is the kernel's again with the
  // next Publish().
  bool Next(Completion* completion) {
    for (;;) {
      if (head_ == tail_) {
        // Pairs with the kernel's release of the tail: the entries before it are written.
        tail_ =
            std::atomic_ref(*const_cast<uint32_t*>(memory_.tail)).load(std::memory_order_acquire);
        if (head_ == tail_) return false;
      }
      const size_t slot_bytes = memory_.mixed ? kShortBytes : kLongBytes;
      const uint8_t* const entry = memory_.entries + (head_ & mask_) * slot_bytes;
      completion->user_data = Load<uint64_t>(entry);
      completion->result = Load<int32_t>(entry + 8);
      completion->flags = Load<uint32_t>(entry + 12);
      const bool is_long = !memory_.mixed || (completion->flags & IORING_CQE_F_32) != 0;
      head_ += memory_.mixed && is_long ? 2 : 1;
      // A long entry does not run over the ring's end: the kernel fills the last slot with this.
      if (memory_.mixed && (completion->flags & IORING_CQE_F_SKIP) != 0) continue;
      completion->offset = is_long ? Load<uint64_t>(entry + kShortBytes) : 0;
      return true;
    }
  }

  // Gives the slots of what was taken back to the kernel.
  void Publish() {
    // Pairs with the kernel's acquire of the head: what was read from the slots is read.
    std::atomic_ref(*memory_.head).store(head_, std::memory_order_release);
  }

 private:
  static constexpr size_t kShortBytes = 16;
  static constexpr size_t kLongBytes = 32;

  template <typename T>
  static T Load(const uint8_t* from) {
    T value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }

  Memory memory_;
  uint32_t mask_ = 0;
  uint32_t head_ = 0;  // The next slot to look at.
  uint32_t tail_ = 0;  // As last read.
};

}  // namespace devmem
