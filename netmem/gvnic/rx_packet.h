// SPDX-License-Identifier: Apache-2.0
//
// A packet on its way into an rx queue of a virtual gVNIC, with what the device has found out about
// it, and how many of the queue's buffers it takes. Made by the data path, read by what merges and
// what places packets, on the thread of the device.

#pragma once

#include <algorithm>
#include <cstdint>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/frame_layout.h"
#include "netmem/gvnic/port.h"
#include "netmem/gvnic/ring_config.h"

namespace devmem {

struct RxPacket {
  Packet packet = {};
  FrameLayout layout = {};
  uint32_t hash = 0;
  L4Check check = L4Check::kNone;
};

// Whether the queue puts the headers of such a frame apart.
inline bool SplitsHeaders(const RxRingConfig& queue, const FrameLayout& frame) {
  return queue.header_bytes != 0 && frame.is_tcp() && frame.header_bytes <= queue.header_bytes;
}

// Nothing to place still takes one buffer, for its completion.
inline uint32_t BuffersForBytes(const RxRingConfig& queue, uint32_t bytes) {
  return std::max(1u, (bytes + queue.buffer_bytes - 1) / queue.buffer_bytes);
}

inline uint32_t BuffersFor(const RxRingConfig& queue, const FrameLayout& frame) {
  const uint32_t apart = SplitsHeaders(queue, frame) ? frame.header_bytes : 0;
  return BuffersForBytes(queue, frame.frame_bytes - apart);
}

}  // namespace devmem
