// SPDX-License-Identifier: Apache-2.0
//
// A bounded queue from one thread to one other thread: frames handed from worker to worker, frags
// to the application, tokens back. A full ring refuses, and the producer counts or waits; nothing
// is overwritten. Memory is taken when the ring is made and never again.

#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>

namespace devmem {

template <typename T>
class SpscRing {
 public:
  // `capacity` is rounded up to a power of two.
  explicit SpscRing(uint32_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), slots_(std::make_unique<T[]>(mask_ + 1)) {}

  uint32_t capacity() const { return mask_ + 1; }

  // Producer. The slot to fill for the next element, or nullptr when the ring is full; Push()
  // publishes it.
  T* Reserve() {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - cached_head_ > mask_) {
      // Pairs with the release in Pop(): a slot seen as free has been read.
      cached_head_ = head_.load(std::memory_order_acquire);
      if (tail - cached_head_ > mask_) return nullptr;
    }
    return &slots_[tail & mask_];
  }
  // Publishes the reserved slot. Release: the consumer that sees the new tail sees the element.
  void Push() { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  bool TryPush(const T& element) {
    T* slot = Reserve();
    if (slot == nullptr) return false;
    *slot = element;
    Push();
    return true;
  }

  // Consumer. The oldest element, or nullptr; Pop() frees its slot.
  T* Front() {
    const uint32_t head = head_.load(std::memory_order_relaxed);
    if (head == cached_tail_) {
      // Pairs with the release in Push().
      cached_tail_ = tail_.load(std::memory_order_acquire);
      if (head == cached_tail_) return nullptr;
    }
    return &slots_[head & mask_];
  }
  void Pop() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // Any thread; a moment's answer.
  bool empty() const {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
  }

 private:
  const uint32_t mask_;
  const std::unique_ptr<T[]> slots_;
  // Each side's own index and its copy of the other's, on a line of their own.
  alignas(64) std::atomic<uint32_t> head_{0};
  uint32_t cached_tail_ = 0;
  alignas(64) std::atomic<uint32_t> tail_{0};
  uint32_t cached_head_ = 0;
};

}  // namespace devmem
