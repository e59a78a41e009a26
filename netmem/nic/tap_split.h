// SPDX-License-Identifier: Apache-2.0
//
// Where the bytes of a frame lie after one readv into {header slot, posted window, spill}, and
// which of them are payload. Pure arithmetic, apart from TapQueue so that it can be fuzzed. See
// architecture.md, "Life of a packet".
//
//      frame     |eth ip tcp options|payload payload payload payload payload|padding|
//      readv     |slot          |posted window ...................|spill .............|
//                                ^^^ surplus header bytes, skipped by offset
//
// or, after a guess that was too long:
//
//      frame     |eth ip tcp|payload payload payload payload payload|
//      readv     |slot          |posted window ......................|
//                           ^^^^ payload in the slot: bounced through host memory

#pragma once

#include <algorithm>
#include <cstdint>

namespace devmem {

// How much of a frame of frame_bytes() went where, in the order of the vector.
struct TapLayout {
  uint32_t slot_bytes = 0;
  uint32_t posted_bytes = 0;
  uint32_t spill_bytes = 0;

  constexpr uint32_t frame_bytes() const { return slot_bytes + posted_bytes + spill_bytes; }
};

// What readv did with a frame of `frame_bytes` bytes when its vector offered this much room; the
// spill takes the rest.
constexpr TapLayout LayOutFrame(uint32_t frame_bytes, uint32_t slot_room_bytes,
                                uint32_t posted_room_bytes) {
  TapLayout layout;
  layout.slot_bytes = std::min(frame_bytes, slot_room_bytes);
  layout.posted_bytes = std::min(frame_bytes - layout.slot_bytes, posted_room_bytes);
  layout.spill_bytes = frame_bytes - layout.slot_bytes - layout.posted_bytes;
  return layout;
}

// A part of one of the three places: bytes from its start, and how many.
struct TapExtent {
  uint32_t offset = 0;
  uint32_t bytes = 0;

  constexpr uint32_t end() const { return offset + bytes; }
  friend constexpr bool operator==(const TapExtent&, const TapExtent&) = default;
};

// The payload, in stream order. The three add up to the payload's length; an empty one has offset
// 0.
struct TapSplit {
  TapExtent slot;
  TapExtent posted;
  TapExtent spill;
};

// The bytes that [from, to) and the `room` bytes at `start` share, counted from `start`.
constexpr TapExtent Overlap(uint32_t from, uint32_t to, uint32_t start, uint32_t room) {
  const uint32_t first = std::max(from, start);
  const uint32_t last = std::min(to, start + room);
  if (first >= last) return {};
  return {.offset = first - start, .bytes = last - first};
}

// Finds the payload of a frame that has `header_bytes` of headers; both together are at most
// layout.frame_bytes(). What follows them is padding and in no extent.
constexpr TapSplit SplitPayload(const TapLayout& layout, uint32_t header_bytes,
                                uint32_t payload_bytes) {
  const uint32_t end = header_bytes + payload_bytes;
  const uint32_t posted_start = layout.slot_bytes;
  const uint32_t spill_start = posted_start + layout.posted_bytes;
  return {.slot = Overlap(header_bytes, end, 0, layout.slot_bytes),
          .posted = Overlap(header_bytes, end, posted_start, layout.posted_bytes),
          .spill = Overlap(header_bytes, end, spill_start, layout.spill_bytes)};
}

// The smallest Ethernet frame without its checksum (IEEE 802.3 section 4.2.3.3): shorter ones are
// padded on a real link, and come so through a bridge.
inline constexpr uint32_t kEthernetFrameBytesMin = 60;

// Whether a frame is as long as its IP length says. It may be longer only by the padding that
// brings a short frame to Ethernet's minimum; any other difference means that one of the two
// lengths lies.
constexpr bool LengthIsTrue(uint32_t frame_bytes, uint32_t frame_bytes_expected) {
  return frame_bytes == frame_bytes_expected ||
         (frame_bytes > frame_bytes_expected && frame_bytes <= kEthernetFrameBytesMin);
}

}  // namespace devmem
