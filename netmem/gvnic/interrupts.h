// SPDX-License-Identifier: Apache-2.0
//
// From a queue's news to an eventfd that QEMU turns into an MSI-X message. A queue's notification
// block is the vector of the same number; the management vector comes behind the last block. The
// data path raises blocks, the guest arms them through the doorbells, all on the thread of the
// device. Linux, drivers/net/ethernet/google/gve/gve_main.c, gve_intr_dqo() and
// gve_napi_poll_dqo().
//
//              event                                event
//    armed ------------> sent, disarmed     disarmed ------> disarmed, pending
//    disarmed, pending --- guest arms ---> sent, disarmed

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "netmem/nic/nanos.h"
#include "provider/unique_fd.h"

namespace devmem {

// What a test does to interrupts. Management interrupts are not touched.
struct InterruptFaults {
  uint64_t drop = 0;   // So many are lost.
  uint64_t delay = 0;  // So many are sent late.
  Nanos delay_ns = 0;
};

struct InterruptStats {
  uint64_t sent = 0;
  uint64_t management = 0;  // Of sent.
  uint64_t coalesced = 0;   // Events while the block was disarmed.
  uint64_t dropped = 0;     // By a fault.
  uint64_t delayed = 0;     // By a fault.
  uint64_t bad_doorbells = 0;
};

// Invariant: an event of a block is never lost but by a fault. It is sent, or pending until the
// guest arms the block, or waits for the client to give the vector an eventfd.
class Interrupts {
 public:
  // `clock` tells the time of the event loop; only interrupts that are held back ask for it.
  Interrupts(uint32_t block_count, std::function<Nanos()> clock)
      : clock_(std::move(clock)), blocks_(block_count), vectors_(block_count + 1) {}

  uint32_t block_count() const { return static_cast<uint32_t>(blocks_.size()); }
  uint32_t vector_count() const { return static_cast<uint32_t>(vectors_.size()); }

  // Where a vector's interrupts go; a descriptor that owns nothing: nowhere. The vector exists.
  void SetVector(uint32_t vector, UniqueFd eventfd);

  // A queue of this block has news. A block that does not exist is counted.
  void Raise(uint32_t block);
  void RaiseManagement() { ++stats_.management, Send(block_count()); }
  // What the guest wrote to the doorbell of a block that exists.
  void Doorbell(uint32_t block, uint32_t value);
  // A write to a doorbell that is nobody's.
  void CountBadDoorbell() { ++stats_.bad_doorbells; }

  // All blocks disarmed, nothing pending, nothing held back. The vectors stay the client's.
  void Reset();

  const InterruptFaults& faults() const { return faults_; }
  // Interrupts that are held back already stay so until they are due.
  void SetFaults(const InterruptFaults& faults) { faults_ = faults; }
  // Sends what is due, by the clock's time.
  void Advance(Nanos now);
  std::optional<Nanos> NextDue() const;

  const InterruptStats& stats() const { return stats_; }

 private:
  struct Block {
    bool enabled = false;
    bool pending = false;
  };
  struct Vector {
    UniqueFd eventfd;
    bool waiting = false;  // Raised while there was no eventfd.
  };
  struct Delayed {
    Nanos due = 0;
    uint32_t vector = 0;
  };

  void Fire(uint32_t block);
  void Send(uint32_t vector);

  const std::function<Nanos()> clock_;
  std::vector<Block> blocks_;
  std::vector<Vector> vectors_;
  InterruptFaults faults_;
  std::deque<Delayed> delayed_;  // In the order in which they are due, or nearly.
  InterruptStats stats_;
};

}  // namespace devmem
