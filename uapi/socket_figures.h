// SPDX-License-Identifier: Apache-2.0
//
// What the queues of sessions over kernel sockets publish. What is counted over all of a session's
// queues (SocketStats) is told by the session.

#pragma once

#include <cstdint>

#include "netmem/account.h"
#include "uapi/stats_layout.h"

namespace devmem {

// `account` counts chunks of `net_iov_bytes`.
inline StatsFigures QueueFigures(uint32_t queue, const Account& account, uint64_t net_iov_bytes,
                                 uint64_t tokens_held, uint64_t held_bytes) {
  return {.kind = StatsKind::kQueue,
          .queue = queue,
          .region_bytes = account.total * net_iov_bytes,
          .net_iov_bytes = net_iov_bytes,
          .net_iovs = account.total,
          .net_iovs_used = account.used + account.staged + account.quarantined,
          .tokens_held = tokens_held,
          .held_bytes = held_bytes};
}

}  // namespace devmem
