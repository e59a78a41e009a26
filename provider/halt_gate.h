// SPDX-License-Identifier: Apache-2.0
// HaltGate: lets one thread work, and any thread end that work for good and wait until it has
// stopped, without a lock on the worker's side. A DMA engine's thread passes it around each series
// of calls to a device; a revoke closes it.
#pragma once

#include <atomic>

namespace devmem {

// The two flags are written and then the other one read, in the single order of sequentially
// consistent operations: either the worker sees that the gate is closed, or the closer sees that
// the worker is inside, and waits for it.
class HaltGate {
 public:
  // The worker's: false once the gate is closed; otherwise it is inside until Leave().
  bool Enter() {
    inside_.store(true, std::memory_order_seq_cst);
    if (!closed_.load(std::memory_order_seq_cst)) [[likely]]
      return true;
    Leave();
    return false;
  }

  // Everything that the worker did inside happens before the return of a Close() that waits.
  void Leave() {
    inside_.store(false, std::memory_order_seq_cst);
    if (closed_.load(std::memory_order_seq_cst)) [[unlikely]]
      inside_.notify_all();
  }

  // Any thread but a worker who is inside. Returns when the worker is outside, for good.
  void Close() {
    closed_.store(true, std::memory_order_seq_cst);
    inside_.wait(true, std::memory_order_seq_cst);
  }

  bool closed() const { return closed_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> closed_{false};
  std::atomic<bool> inside_{false};
};

}  // namespace devmem
