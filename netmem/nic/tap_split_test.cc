// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of the split, over every position of the boundaries, against a frame that is cut
// byte by byte; and what the virtio-net header says and is told.

#include "netmem/nic/tap_split.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/nic/tap_vnet_header.h"

namespace devmem {
namespace {

// The payload's bytes of one place, by asking each byte of the frame where it went.
TapExtent ByteByByte(uint32_t first, uint32_t last, uint32_t payload_first, uint32_t payload_last) {
  TapExtent extent;
  for (uint32_t byte = first; byte < last; ++byte) {
    if (byte < payload_first || byte >= payload_last) continue;
    if (extent.bytes == 0) extent.offset = byte - first;
    ++extent.bytes;
  }
  return extent;
}

TEST(TapSplitTest, EveryPositionOfTheBoundariesGivesEachPayloadByteOnePlace) {
  constexpr uint32_t kFrame = 9;
  for (uint32_t slot = 0; slot <= kFrame + 1; ++slot) {
    for (uint32_t posted = 0; posted <= kFrame + 1; ++posted) {
      const TapLayout layout = LayOutFrame(kFrame, slot, posted);
      ASSERT_EQ(layout.frame_bytes(), kFrame);
      const uint32_t window = layout.slot_bytes;
      const uint32_t spill = window + layout.posted_bytes;
      for (uint32_t header = 0; header <= kFrame; ++header) {
        for (uint32_t payload = 0; header + payload <= kFrame; ++payload) {
          const TapSplit split = SplitPayload(layout, header, payload);
          const uint32_t end = header + payload;
          EXPECT_EQ(split.slot, ByteByByte(0, window, header, end));
          EXPECT_EQ(split.posted, ByteByByte(window, spill, header, end));
          EXPECT_EQ(split.spill, ByteByByte(spill, kFrame, header, end));
          EXPECT_EQ(split.slot.bytes + split.posted.bytes + split.spill.bytes, payload);
        }
      }
    }
  }
}

TEST(TapSplitTest, APredictionThatIsRightGivesTheSlotTheHeaderAndTheWindowThePayload) {
  const TapSplit split = SplitPayload(LayOutFrame(66 + 1448, 66, 65536), 66, 1448);
  EXPECT_EQ(split.slot, TapExtent());
  EXPECT_EQ(split.posted, (TapExtent{.offset = 0, .bytes = 1448}));
  EXPECT_EQ(split.spill, TapExtent());
}

TEST(TapSplitTest, OnlyEthernetsMinimumExcusesAFrameThatIsLongerThanItsIpLength) {
  EXPECT_TRUE(LengthIsTrue(1000, 1000));
  EXPECT_TRUE(LengthIsTrue(60, 54));
  EXPECT_FALSE(LengthIsTrue(61, 54));
  EXPECT_FALSE(LengthIsTrue(1001, 1000));
  EXPECT_FALSE(LengthIsTrue(53, 54));
}

TEST(TapVnetHeaderTest, OnlyTheTwoChecksumFlagsMakeAChecksumGood) {
  for (uint32_t flags = 0; flags < 256; ++flags) {
    std::array<uint8_t, kVnetHeaderBytes> bytes{static_cast<uint8_t>(flags)};
    EXPECT_EQ(VnetHeader::Load(bytes.data()).checksum_is_good(), (flags & 3) != 0) << flags;
  }
}

TEST(TapVnetHeaderTest, SegmentsAreCountedByTheGsoSizeRoundedUp) {
  std::array<uint8_t, kVnetHeaderBytes> bytes{};
  VnetFields fields{.gso_type = kVnetGsoTcpV4, .gso_segment_bytes = 1448};
  std::memcpy(bytes.data(), &fields, sizeof(fields));
  const VnetHeader header = VnetHeader::Load(bytes.data());
  EXPECT_EQ(header.SegmentCount(0), 1);
  EXPECT_EQ(header.SegmentCount(1448), 1);
  EXPECT_EQ(header.SegmentCount(1449), 2);
  EXPECT_EQ(header.SegmentCount(65535), 46);
}

TEST(TapVnetHeaderTest, AFrameWithoutGsoStandsForOneSegmentWhateverItsOtherFieldsSay) {
  std::array<uint8_t, kVnetHeaderBytes> bytes{};
  for (const VnetFields& fields :
       {VnetFields{.gso_segment_bytes = 1448}, VnetFields{.gso_type = kVnetGsoTcpV4}}) {
    std::memcpy(bytes.data(), &fields, sizeof(fields));
    EXPECT_EQ(VnetHeader::Load(bytes.data()).SegmentCount(10'000), 1);
  }
}

TEST(TapVnetHeaderTest, WhatWeSendAsksTheKernelForNoMoreThanItNeeds) {
  const std::vector<uint8_t> header(66);
  const std::vector<uint8_t> payload(3000);
  TxFrame frame{.header = header, .payload = payload};
  EXPECT_EQ(VnetHeader::For(frame, false).fields().flags, 0);

  frame.gso_segment_bytes = 1448;
  frame.l4_offset = 34;
  const VnetFields super = VnetHeader::For(frame, false).fields();
  EXPECT_EQ(super.flags, kVnetNeedsChecksum);
  EXPECT_EQ(super.gso_type, kVnetGsoTcpV4);
  EXPECT_EQ(super.gso_segment_bytes, 1448);
  EXPECT_EQ(super.header_bytes, 66);
  EXPECT_EQ(super.checksum_start, 34);
  EXPECT_EQ(super.checksum_offset, 16);
  EXPECT_EQ(VnetHeader::For(frame, true).fields().gso_type, kVnetGsoTcpV6);

  frame.payload = std::span(payload).first(1448);
  const VnetFields single = VnetHeader::For(frame, false).fields();
  EXPECT_EQ(single.flags, kVnetNeedsChecksum);
  EXPECT_EQ(single.gso_type, kVnetGsoNone);
}

}  // namespace
}  // namespace devmem
