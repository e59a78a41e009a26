// SPDX-License-Identifier: Apache-2.0
//
// Two virtual gVNICs of one process, back to back: what one sends, the other receives. The event
// loop drains it after it has handled what woke it up, so that neither device calls the other. One
// thread.

#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "netmem/gvnic/port.h"

namespace devmem {

struct PairLinkStats {
  uint64_t packets = 0;  // Super-frames count once.
  uint64_t drops = 0;    // For want of room until the next Deliver().
};

// Invariant: a packet is delivered at the first Deliver() after it was sent, in order, or dropped
// and counted when it is sent.
class PairLink {
 public:
  // Where end 0 sends to end 1 and the other way round. A device's port; lives as long as the link.
  Port& end(uint32_t index) { return ends_[index]; }

  // Where what arrives at end `index` goes: its device, seen as a port (DevicePort), or whatever
  // stands before it. Outlives the link or is replaced; nullptr drops what arrives.
  void SetReceiver(uint32_t index, Port* receiver) { ends_[index].receiver = receiver; }

  // Delivers what was sent, to both ends. True if there was anything. What is sent meanwhile waits
  // for the next call.
  bool Deliver();
  bool has_packets() const { return !ends_[0].queue.empty() || !ends_[1].queue.empty(); }

  // Of the packets that end `index` sent.
  const PairLinkStats& stats(uint32_t index) const { return ends_[index].stats; }

 private:
  struct End final : Port {
    void Transmit(Packet packet) override;

    Port* receiver = nullptr;  // At this end; what it sends goes to the other's.
    std::vector<Packet> queue;
    uint64_t queue_bytes = 0;
    PairLinkStats stats;
  };

  std::array<End, 2> ends_;
};

}  // namespace devmem
