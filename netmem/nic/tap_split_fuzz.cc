// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a frame behind a virtio-net header, cut as readv cuts it at any prediction and any
// posted room: the headers that the parser finds and the payload that the split finds must be those
// of the whole frame. Run by libFuzzer, and over its corpus by ctest.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "netmem/nic/header_prediction.h"
#include "netmem/nic/limits.h"
#include "netmem/nic/tap_split.h"
#include "netmem/nic/tap_vnet_header.h"
#include "netmem/wire/frame.h"

namespace devmem {
namespace {

using Bytes = std::span<const uint8_t>;

// Choices of the fuzzer in front of the frame.
constexpr size_t kChoiceBytes = 3;

void Require(bool holds) {
  if (!holds) std::abort();
}

void Append(std::vector<uint8_t>& out, Bytes place, const TapExtent& extent) {
  // subspan() would accept less than it is asked for: an extent outside its place must not pass.
  Require(extent.end() <= place.size());
  const Bytes part = place.subspan(extent.offset, extent.bytes);
  out.insert(out.end(), part.begin(), part.end());
}

// As TapQueue does it: from the slot, and if that is not enough, from as much as a slot can hold.
FrameHeaders Parse(Bytes frame, uint32_t slot_bytes) {
  const uint32_t frame_bytes = static_cast<uint32_t>(frame.size());
  FrameHeaders headers = ParseFrame(frame.first(slot_bytes), frame_bytes);
  if (headers.error == FrameError::kTruncated) {
    headers =
        ParseFrame(frame.first(std::min<size_t>(frame.size(), kHeaderSlotBytes)), frame_bytes);
  }
  return headers;
}

void Check(Bytes frame, uint32_t slot_room, uint32_t posted_room) {
  const TapLayout layout = LayOutFrame(static_cast<uint32_t>(frame.size()), slot_room, posted_room);
  Require(layout.frame_bytes() == frame.size());
  const FrameHeaders headers = Parse(frame, layout.slot_bytes);
  if (headers.kind >= FrameKind::kOther) return;
  Require(headers.header_bytes <= kHeaderSlotBytes);
  Require(headers.header_bytes + headers.payload_bytes <= frame.size());

  const TapSplit split = SplitPayload(layout, headers.header_bytes, headers.payload_bytes);
  std::vector<uint8_t> payload;
  Append(payload, frame.first(layout.slot_bytes), split.slot);
  Append(payload, frame.subspan(layout.slot_bytes, layout.posted_bytes), split.posted);
  Append(payload, frame.last(layout.spill_bytes), split.spill);
  const Bytes expected = frame.subspan(headers.header_bytes, headers.payload_bytes);
  Require(std::ranges::equal(payload, expected));
}

}  // namespace
}  // namespace devmem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace devmem;
  if (size < kChoiceBytes + kVnetHeaderBytes) return 0;
  const uint32_t slot_room = HeaderPrediction::kHeaderBytesMin +
                             data[0] % (kHeaderSlotBytes - HeaderPrediction::kHeaderBytesMin + 1);
  const uint32_t posted_room = data[1] + 256u * data[2];
  const VnetHeader vnet = VnetHeader::Load(data + kChoiceBytes);
  const Bytes frame = Bytes(data, size).subspan(kChoiceBytes + kVnetHeaderBytes);
  Require(vnet.SegmentCount(static_cast<uint32_t>(frame.size())) >= 1);
  Check(frame, slot_room, posted_room);
  return 0;
}
