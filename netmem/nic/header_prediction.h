// SPDX-License-Identifier: Apache-2.0
//
// Guesses how long the headers of the next frame are, for a NIC that must say where header and
// payload go before it has seen the frame (a TAP, read with one readv). One per rx queue, used by
// the worker that polls it. architecture.md, "Life of a packet".

#pragma once

#include <algorithm>
#include <cstdint>

#include "netmem/nic/limits.h"

namespace devmem {

// A guess that is too short is cheap: the header bytes that are left over land in front of the
// payload and are skipped by offset. One that is too long is what must not happen: it leaves the
// first payload bytes in host memory. So the guess is the queue's shortest header, and it rises
// slowly:
//
//   shorter than the guess  the guess falls to it at once, and a rise takes twice as many frames
//   now; as long as the guess    nothing changes, and counting begins again; longer after that many
//   of these in a row, the guess rises to their shortest.
//
// Invariants:
//   1. bytes() is from kHeaderBytesMin to kHeaderSlotBytes.
//   2. With frames of one header length, the guess is never too long. With a mix it is too long at
//      most log2(kPatienceFramesMax / kPatienceFramesMin) times, and after that once for every
//      kPatienceFramesMax frames that were all longer.
class HeaderPrediction {
 public:
  // Ethernet, IPv4 and TCP without options: no TCP frame is shorter.
  static constexpr uint32_t kHeaderBytesMin = 14 + 20 + 20;
  static constexpr uint32_t kPatienceFramesMin = 16;
  static constexpr uint32_t kPatienceFramesMax = 1u << 16;

  // The bytes of the next frame that go to its header slot.
  uint32_t bytes() const { return bytes_; }

  // Learns from a frame that carried payload, `header_bytes` of headers in front of it. Frames
  // without payload teach nothing: their headers (SYN options, SACK blocks) end where no payload
  // begins.
  void Learn(uint32_t header_bytes) {
    if (header_bytes == bytes_) [[likely]] {
      longer_frames_ = 0;
    } else if (header_bytes < bytes_) {
      Fall(header_bytes);
    } else {
      CountLonger(header_bytes);
    }
  }

 private:
  void Fall(uint32_t header_bytes) {
    bytes_ = std::max(header_bytes, kHeaderBytesMin);
    patience_frames_ = std::min(2 * patience_frames_, kPatienceFramesMax);
    longer_frames_ = 0;
  }

  void CountLonger(uint32_t header_bytes) {
    shortest_longer_bytes_ =
        longer_frames_ == 0 ? header_bytes : std::min(shortest_longer_bytes_, header_bytes);
    if (++longer_frames_ < patience_frames_) return;
    bytes_ = std::min(shortest_longer_bytes_, kHeaderSlotBytes);
    longer_frames_ = 0;
  }

  uint32_t bytes_ = kHeaderBytesMin;
  uint32_t longer_frames_ = 0;          // In a row, up to now.
  uint32_t shortest_longer_bytes_ = 0;  // Of these; means something while longer_frames_ is not 0.
  uint32_t patience_frames_ = kPatienceFramesMin;
};

static_assert(HeaderPrediction::kHeaderBytesMin <= kHeaderSlotBytes);

}  // namespace devmem
