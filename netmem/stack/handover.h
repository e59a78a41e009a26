// SPDX-License-Identifier: Apache-2.0
//
// Frames that reached one worker and belong to another: the SYN of a steered flow that RSS put
// elsewhere, frames of a flow that was steered anew or spread anew, and ARP, which every worker wants to
// hear. A frame that its worker does not know goes on to the next one until somebody does. Only header
// bytes cross. Each ordered pair of workers has a ring of its own, so each ring has one producer and one
// consumer; a full ring drops, which its producer counts.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "netmem/nic/netdev.h"
#include "netmem/spsc_ring.h"
#include "netmem/stack/limits.h"

namespace devmem {

struct HandedFrame {
  uint32_t frame_bytes = 0;   // Of the whole frame, payload included.
  uint16_t header_bytes = 0;  // Of these, the first ones, in `header`.
  uint16_t visited = 0;       // Workers that looked at it; the last of all of them answers.
  std::array<uint8_t, kHeaderSlotBytes> header;
};

// Wakes the thread that runs a worker; any thread. For workers that are run in threads of their own.
class WorkerWaker {
 public:
  virtual ~WorkerWaker() = default;
  virtual void Wake(uint32_t worker) = 0;
};

class HandoverRings {
 public:
  // Set while no worker runs; outlives its use. nullptr: nobody sleeps.
  void SetWaker(WorkerWaker* waker) { waker_ = waker; }
  void Wake(uint32_t worker) const {
    if (waker_ != nullptr) waker_->Wake(worker);
  }

  explicit HandoverRings(uint32_t workers) : workers_(workers) {
    for (uint32_t i = 0; i < workers * workers; ++i) {
      rings_.push_back(std::make_unique<SpscRing<HandedFrame>>(kHandoverFrames));
    }
  }

  uint32_t workers() const { return workers_; }
  SpscRing<HandedFrame>& ring(uint32_t from, uint32_t to) { return *rings_[from * workers_ + to]; }

 private:
  const uint32_t workers_;
  WorkerWaker* waker_ = nullptr;
  std::vector<std::unique_ptr<SpscRing<HandedFrame>>> rings_;
};

}  // namespace devmem
