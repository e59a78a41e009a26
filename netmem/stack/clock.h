// SPDX-License-Identifier: Apache-2.0
//
// Where the stack gets the time and how it waits. A session on a real NIC uses the system's
// monotonic clock and ppoll(2); tests put a virtual clock in its place, which moves when somebody
// waits. One object serves all threads of a session.

#pragma once

#include <span>

#include "netmem/tcp/time.h"

namespace devmem {

class Clock {
 public:
  virtual ~Clock() = default;

  // Nanoseconds since an arbitrary start; never goes back.
  virtual Nanos Now() = 0;

  // Returns when one of `fds` is readable, or at `until` (kNever: no limit), or earlier for any
  // other reason; the caller looks again. An fd of -1 is ignored.
  virtual void Wait(std::span<const int> fds, Nanos until) = 0;

  // The real thing; lives for ever.
  static Clock& System();
};

}  // namespace devmem
