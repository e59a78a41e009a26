// SPDX-License-Identifier: Apache-2.0
//
// How the control plane describes the queues of a virtual gVNIC to its data plane: what the guest
// said in CREATE_TX_QUEUE and CREATE_RX_QUEUE, in this machine's byte order, not yet checked; and
// the faults that a test can ask of the receive side.

#pragma once

#include <cstdint>

namespace devmem {

// Addresses are guest physical.
struct TxRingConfig {
  uint32_t queue = 0;
  uint64_t descriptor_ring = 0;  // 16 bytes an entry.
  uint64_t completion_ring = 0;  // 8 bytes an entry.
  uint16_t descriptor_entries = 0;
  uint16_t completion_entries = 0;
  uint32_t notify_block = 0;
};

struct RxRingConfig {
  uint32_t queue = 0;
  uint64_t buffer_ring = 0;      // 32 bytes an entry.
  uint64_t completion_ring = 0;  // 32 bytes an entry.
  uint16_t buffer_entries = 0;
  uint16_t completion_entries = 0;
  uint16_t buffer_bytes = 0;
  uint16_t header_bytes = 0;  // Room for headers of their own; 0: no header split.
  bool gro_hw = false;        // Super-frames may be delivered whole.
  uint32_t notify_block = 0;
};

// Each count is of packets that are still to suffer it; UINT64_MAX is for good.
struct RxFaults {
  uint64_t unsplittable = 0;      // Delivered without header split.
  uint64_t header_overflow = 0;   // Headers and payload together, with the overflow bit.
  uint64_t rx_error = 0;          // With the error bit.
  bool withhold_buffers = false;  // As if no queue had a buffer.
};

}  // namespace devmem
