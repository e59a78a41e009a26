// SPDX-License-Identifier: Apache-2.0
// DmaEngine: copies what a NIC wrote into staging memory on to its final place in a region that the
// NIC cannot write itself: a GPU's memory, or memory that moves under an importer that cannot
// follow. Made by a region for one staging memory, owned by one rx queue's staging (nic/), called
// on the thread that polls the queue, except for Halt(). Documentation/providers.md.
#pragma once

#include <cstdint>
#include <span>

namespace devmem {

// One copy from host to device: `bytes` bytes from `staging_offset` of the staging memory to
// `region_offset` of the region. Both ranges lie inside.
struct DmaCopy {
  uint64_t staging_offset = 0;
  uint64_t region_offset = 0;
  uint32_t bytes = 0;
};

// Batches are numbered from 1 in the order of Submit(), and complete in that order. What a batch
// wrote is visible to work that is given to the device after the batch was found complete: where a
// device needs a flush for that, the engine makes it before it counts the batch.
//
// After Create nothing of Submit(), completed() and full() allocates, locks or builds a Status.
//
// Lifetimes: the staging memory outlives the engine. The engine keeps the region's memory alive,
// also without the Region.
class DmaEngine {
 public:
  // Waits until the device has finished with everything submitted, or is lost.
  virtual ~DmaEngine() = default;

  // Queues a batch of copies, and returns its number. 0: the device is lost or halted, and nothing
  // was queued. The caller asked full() before, and a batch has at most kDmaBatchCopiesMax copies.
  virtual uint64_t Submit(std::span<const DmaCopy> copies) = 0;

  // Whether so many batches are on their way that no other can be queued now.
  virtual bool full() const = 0;

  // Asks the device, without waiting, and returns the number of the last batch that is complete.
  virtual uint64_t Completed() = 0;

  // Waits until no copy is on its way: afterwards the device touches neither memory on behalf of
  // what was submitted. True: all of that is complete. False: the rest has not begun (its place is
  // away), or never will (the device is lost). Bounded by the device's own time for the copies.
  virtual bool Fence() = 0;

  // Copies bytes of the region to host memory and waits for it. False: the device is lost, or the
  // bytes cannot be reached now.
  virtual bool ReadBack(uint64_t region_offset, std::span<uint8_t> to) = 0;

  // From any thread, at a revoke: no further copy starts, and when it returns none is on its way.
  // Submit() returns 0 from then on.
  virtual void Halt() = 0;

  // Whether the device has gone (unplugged, context lost) or was halted. Any thread.
  virtual bool lost() const = 0;
};

}  // namespace devmem
