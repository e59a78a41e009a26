// SPDX-License-Identifier: Apache-2.0
//
// What passes between a virtual gVNIC and the network: packets, and the places that take them. A
// port is anything that packets can be sent to: the other device of a pair, a TAP, a wire with
// faults, a recorder in front of any of these. Ports are called by the event loop's one thread.

#pragma once

#include <cstdint>
#include <vector>

namespace devmem {

// An Ethernet frame, or a super-frame: the headers of one frame and the payload of several, which
// whoever cannot take it whole cuts into frames (segmenter.h).
struct Packet {
  std::vector<uint8_t> bytes = {};
  // 0: an ordinary frame. Otherwise a TCP or UDP super-frame is cut into so many bytes of payload
  // each, and its layer-4 checksum and IP length are made anew for each.
  uint16_t segment_bytes = 0;
  // Of a super-frame: Ethernet through the end of the layer-4 header. Not used otherwise.
  uint16_t header_bytes = 0;
  // The layer-4 checksum was made or verified by a device on this machine: nobody needs to look
  // again. False: whoever receives the packet verifies it.
  bool checksum_good = false;
};

class Port {
 public:
  virtual ~Port() = default;

  // Takes a packet. A port that is full drops it and counts that.
  virtual void Transmit(Packet packet) = 0;

  // What was transmitted since the last call belongs together: a doorbell's packets, or
  // those of one read. Ports that act once per batch act here.
  virtual void EndBatch() {}
};

}  // namespace devmem
