// SPDX-License-Identifier: Apache-2.0
//
// What the kernel backend counts beyond what all sessions over kernel sockets do. Written by
// whichever thread receives or releases, read by any thread; names in kernel_backend.cc.

#pragma once

#include "uapi/socket_stats.h"

namespace devmem {

// Monotonic, except where it says otherwise.
struct KernelStats {
  SharedCounter linear_bytes;        // On a bound queue, but in host memory: the NIC did not split.
  SharedCounter unbound_bytes;       // On bound connections, by a queue that is not bound.
  SharedCounter kernel_tokens;       // Ids that the kernel gave out.
  SharedCounter kernel_tokens_back;  // Ids that it took back.
  SharedCounter dontneed_calls;
  SharedCounter dontneed_retries;  // Calls that freed fewer ids than they named, or none.
  SharedCounter dontneed_lost;     // Ids that the kernel did not know (any more).
  SharedCounter control_grown;     // recvmsg() calls repeated with a larger control buffer.
  SharedCounter control_damaged;   // Calls of which control messages were cut or wrong.
  SharedCounter held_back;         // Times that nothing was received because so much was held.
  SharedCounter sockets_kept;      // Closed connections whose socket waited for its last token.
  SharedCounter sent_from_device;  // Bytes given to the NIC out of device memory.
};

}  // namespace devmem
