// SPDX-License-Identifier: Apache-2.0
//
// The producer's side of a zcrx refill ring: buffers going back to the kernel, one entry for each
// completion that named one. The memory is shared with the kernel, which writes the head when its
// NIC wants buffers. One thread. Linux's Documentation/networking/iou-zcrx.rst.

#pragma once

#include <atomic>
#include <cstdint>

#include "uapi/abi/io_uring_zcrx.h"

namespace devmem {

class RefillRing {
 public:
  // Where the ring lies; owned by whoever made it, for longer than this.
  struct Memory {
    const uint32_t* head = nullptr;  // The kernel's.
    uint32_t* tail = nullptr;        // Ours.
    abi::io_uring_zcrx_rqe* entries = nullptr;
    uint32_t entry_count = 0;  // A power of two.
    uint64_t area_token = 0;   // io_uring_zcrx_area_reg::rq_area_token.
  };

  RefillRing() = default;
  explicit RefillRing(const Memory& memory)
      : memory_(memory), mask_(memory.entry_count - 1), tail_(*memory.tail), head_(*memory.head) {}

  // Gives the buffer back that lies at `offset` of the area, in bytes. Any offset inside of it will
  // do. False when the ring is full: the kernel has not yet taken what it holds.
  bool Push(uint64_t offset) {
    if (tail_ - head_ == memory_.entry_count) {
      // Pairs with the kernel's release of the head: it has read the entries before it.
      head_ = std::atomic_ref(*const_cast<uint32_t*>(memory_.head)).load(std::memory_order_acquire);
      if (tail_ - head_ == memory_.entry_count) return false;
    }
    memory_.entries[tail_ & mask_] = {
        .off = (offset & ~IORING_ZCRX_AREA_MASK) | memory_.area_token, .len = 0, .__pad = 0};
    ++tail_;
    return true;
  }

  // Shows the kernel what was pushed.
  void Publish() {
    // Pairs with the kernel's acquire of the tail: the entries before it are written.
    std::atomic_ref(*memory_.tail).store(tail_, std::memory_order_release);
  }

  uint32_t entry_count() const { return memory_.entry_count; }

 private:
  Memory memory_;
  uint32_t mask_ = 0;
  uint32_t tail_ = 0;
  uint32_t head_ = 0;  // As last read.
};

}  // namespace devmem
