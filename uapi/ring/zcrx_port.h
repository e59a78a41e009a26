// SPDX-License-Identifier: Apache-2.0
//
// One zcrx instance as its user sees it: an io_uring with one rx queue's receive requests, the ring
// on which they complete and the one on which buffers go back. ZcrxInstance is the kernel's; tests
// put another in its place. Belongs to one thread, the one that made it: a ring with deferred task
// work takes no other.

#pragma once

#include <cstdint>

#include "uapi/ring/completion_ring.h"
#include "uapi/ring/refill_ring.h"

namespace devmem {

// What the kernel copied because it had not landed in the area by itself.
struct ZcrxCopies {
  bool known = false;  // Linux 7.2 counts them.
  uint64_t count = 0;
  uint64_t bytes = 0;
};

class ZcrxPort {
 public:
  static constexpr uint64_t kEventUserData = UINT64_MAX;

  virtual ~ZcrxPort() = default;

  // Begins to receive from a TCP socket, until `budget_bytes` (0: without end) have come, the
  // stream ends or the request fails: each piece is a completion with `user_data`. The kernel sees
  // it with the next Enter(). False when the kernel takes no more requests now.
  virtual bool Arm(int socket, uint64_t user_data, uint32_t budget_bytes) = 0;
  // Ends the request that was armed with `target`; its last completion says ECANCELED. The
  // cancellation itself completes with `user_data`.
  virtual bool Cancel(uint64_t target, uint64_t user_data) = 0;
  // Hands over what was asked and lets the kernel complete what it can, without waiting. Returns 0,
  // or minus an errno.
  virtual int Enter() = 0;

  // Lets the kernel take what the refill ring holds. Returns 0, or minus an errno: EOPNOTSUPP where
  // it takes it only when the NIC runs dry.
  virtual int FlushRefill() = 0;
  virtual ZcrxCopies copies() const = 0;
  // Lets an event (ZCRX_EVENT_*) be told again: each is told once, as a completion with
  // kEventUserData whose result is the event.
  virtual void ArmEvent(uint32_t event) = 0;

  // Readable when Enter() has something to bring.
  virtual int fd() const = 0;

  CompletionRing& completions() { return completions_; }
  RefillRing& refill() { return refill_; }

 protected:
  CompletionRing completions_;
  RefillRing refill_;
};

}  // namespace devmem
