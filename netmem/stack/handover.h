// SPDX-License-Identifier: Apache-2.0
//
// Frames that reached one worker and belong to another: the SYN of a steered flow that RSS put
// elsewhere, frames of a flow that was steered anew or spread anew, and ARP, which every worker
// wants to hear. A frame that its worker does not know goes on to the next one until somebody does.
// Payload that was received into host memory is copied along; what belongs into a binding stays
// behind, and the peer sends it again. Each ordered pair of workers has a ring of its own, so each
// ring has one producer and one consumer; a full ring drops, which its producer counts.

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "netmem/nic/netdev.h"
#include "netmem/spsc_ring.h"
#include "netmem/stack/limits.h"
#include "provider/lazy_array.h"

namespace devmem {

struct HandedFrame {
  uint32_t frame_bytes = 0;    // Of the whole frame, payload included.
  uint32_t payload_bytes = 0;  // Of its payload, those that come along.
  uint64_t payload_at = 0;     // Where they are, see HandoverRing.
  uint16_t header_bytes = 0;   // In `header`.
  uint16_t visited = 0;        // Workers that looked at it; the last of all of them answers.
  std::array<uint8_t, kHeaderSlotBytes> header;
};

// From one worker to one other. Payload lies in a second ring of plain bytes:
//
//      freed_bytes_                filled_bytes_
//          |--- frames in the ring ---|--- room ---|     positions; modulo kHandoverBytes in memory
//
// No payload is split by the end of the memory; what is left there is skipped.
class HandoverRing {
 public:
  HandoverRing() : bytes_(kHandoverBytes) {}

  // Producer. A frame to fill, with payload() in place; nullptr when there is no room. Publish with
  // Push().
  HandedFrame* Reserve(uint32_t payload_bytes) {
    uint64_t at = filled_bytes_;
    if (at % kHandoverBytes + payload_bytes > kHandoverBytes) {
      at += kHandoverBytes - at % kHandoverBytes;
    }
    // Pairs with the release in Pop(): bytes seen as freed have been read.
    const uint64_t freed = freed_bytes_.load(std::memory_order_acquire);
    if (!bytes_.ok() || at + payload_bytes - freed > kHandoverBytes) return nullptr;
    HandedFrame* frame = frames_.Reserve();
    if (frame == nullptr) return nullptr;
    frame->payload_at = at;
    frame->payload_bytes = payload_bytes;
    return frame;
  }
  void Push(const HandedFrame& frame) {
    filled_bytes_ = frame.payload_at + frame.payload_bytes;
    frames_.Push();
  }

  // Consumer. The oldest frame, or nullptr; Pop() ends it and its payload.
  const HandedFrame* Front() { return frames_.Front(); }
  void Pop(const HandedFrame& frame) {
    const uint64_t end = frame.payload_at + frame.payload_bytes;
    frames_.Pop();
    freed_bytes_.store(end, std::memory_order_release);
  }

  // Of a frame between Reserve() and Push(), or between Front() and Pop().
  std::span<uint8_t> payload(const HandedFrame& frame) {
    return {bytes_.data() + frame.payload_at % kHandoverBytes, frame.payload_bytes};
  }

 private:
  SpscRing<HandedFrame> frames_{kHandoverFrames};
  LazyArray<uint8_t> bytes_;
  uint64_t filled_bytes_ = 0;  // The producer's.
  std::atomic<uint64_t> freed_bytes_{0};
};

// Wakes the thread that runs a worker; any thread. For workers that are run in threads of their
// own.
class WorkerWaker {
 public:
  virtual ~WorkerWaker() = default;
  virtual void Wake(uint32_t worker) = 0;
};

class HandoverRings {
 public:
  explicit HandoverRings(uint32_t workers) : workers_(workers) {
    for (uint32_t i = 0; i < workers * workers; ++i) {
      rings_.push_back(std::make_unique<HandoverRing>());
    }
  }

  // Set while no worker runs; outlives its use. nullptr: nobody sleeps.
  void SetWaker(WorkerWaker* waker) { waker_ = waker; }
  void Wake(uint32_t worker) const {
    if (waker_ != nullptr) waker_->Wake(worker);
  }

  uint32_t workers() const { return workers_; }
  HandoverRing& ring(uint32_t from, uint32_t to) { return *rings_[from * workers_ + to]; }

 private:
  const uint32_t workers_;
  WorkerWaker* waker_ = nullptr;
  std::vector<std::unique_ptr<HandoverRing>> rings_;
};

}  // namespace devmem
