// SPDX-License-Identifier: Apache-2.0
//
// What the data plane of a virtual gVNIC counts, and the names under which tools show it. Written
// and read on the thread of the device.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace devmem {

struct NamedCount {
  std::string name;
  uint64_t value = 0;
};

// Of one queue since it was made.
struct QueueStats {
  uint64_t packets = 0;  // Super-frames count once.
  uint64_t bytes = 0;
};

// Of the device since it was made. Every packet that a queue fetched or that came from the network
// is in exactly one of its direction's counts of packets or drops; of received frames that were
// merged, the packet is.
struct DataPathStats {
  uint64_t tx_packets = 0;  // Handed to the port.
  uint64_t tx_bytes = 0;
  uint64_t tx_super_frames = 0;       // Of tx_packets.
  uint64_t tx_checksums = 0;          // Layer-4 checksums that the device made.
  uint64_t tx_checksums_skipped = 0;  // Asked for on what is neither whole TCP nor UDP.
  uint64_t tx_drop_link_down = 0;     // The link is down, or leads nowhere.
  uint64_t tx_drop_descriptor = 0;    // A descriptor of no known type, without bytes, or too many.
  uint64_t tx_drop_tag = 0;           // Tags of one packet that differ, or use the reserved bit.
  uint64_t tx_drop_memory = 0;        // An address where no memory of the guest is.
  uint64_t tx_drop_tso = 0;           // A super-frame whose lengths or headers lie.
  uint64_t tx_drop_size = 0;          // Shorter than Ethernet's header, or longer than the most.
  uint64_t tx_ring_faults = 0;        // A ring that is no longer in the guest's memory.
  uint64_t bad_doorbells = 0;         // For no queue, or with a tail outside the ring.
  uint64_t rx_packets = 0;            // Delivered.
  uint64_t rx_bytes = 0;
  uint64_t rx_super_frames = 0;      // Of rx_packets: came whole, or were merged here.
  uint64_t rx_cut_super_frames = 0;  // Came whole and were delivered as frames.
  uint64_t rx_rsc_packets = 0;       // Merged here, from rx_rsc_frames.
  uint64_t rx_rsc_frames = 0;
  uint64_t rx_rsc_end_push = 0;  // Why packets, of one frame or more, grew no further: RscEnd.
  uint64_t rx_rsc_end_segment_size = 0;
  uint64_t rx_rsc_end_order = 0;
  uint64_t rx_rsc_end_headers = 0;
  uint64_t rx_rsc_end_not_data = 0;
  uint64_t rx_rsc_end_full = 0;
  uint64_t rx_rsc_end_evicted = 0;
  uint64_t rx_rsc_end_batch = 0;
  uint64_t rx_rsc_end_stop = 0;
  uint64_t rx_split = 0;             // With their headers apart.
  uint64_t rx_header_overflows = 0;  // Not split for the length of their headers, or by a fault.
  uint64_t rx_checksum_errors = 0;   // Delivered with the error bit.
  uint64_t rx_steered_by_rule = 0;
  uint64_t rx_held = 0;  // Had to wait for buffers.
  uint64_t rx_drop_link_down = 0;
  uint64_t rx_drop_no_queue = 0;  // Steered to a queue that does not exist.
  uint64_t rx_drop_held = 0;      // Too many waited for buffers, or their queue went away.
  uint64_t rx_drop_size = 0;      // Needs more buffers than the ring has, or is no frame.
  uint64_t rx_drop_uncut = 0;     // A super-frame that cannot be cut.
  uint64_t rx_drop_memory = 0;    // A buffer where no memory of the guest is.
  uint64_t rx_ring_faults = 0;    // A ring that is no longer in the guest's memory.
  uint64_t interrupts = 0;

  // Every count with its name, in the order above.
  std::vector<NamedCount> Named() const;
};

}  // namespace devmem
