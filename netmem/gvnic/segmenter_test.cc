// SPDX-License-Identifier: Apache-2.0
//
// Cut super-frames: every field that changes from frame to frame, both IP versions, TCP and UDP.
// That lengths and sums are right is netmem/wire's parser's word, which knows nothing of the cut.

#include "netmem/gvnic/segmenter.h"

#include <gtest/gtest.h>

#include <vector>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/frame_layout.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/tcp_header.h"
#include "selftests/testing/gvnic_frames.h"

namespace devmem {
namespace {

using testing::TestFrame;
using testing::TestPayload;
using testing::UdpFrame;
using testing::WithExtension;

Packet SuperFrame(std::vector<uint8_t> bytes, uint16_t segment_bytes) {
  const FrameLayout layout = ReadFrameLayout(bytes);
  return {.bytes = std::move(bytes),
          .segment_bytes = segment_bytes,
          .header_bytes = static_cast<uint16_t>(layout.header_bytes)};
}

// Every frame is sound by itself and vouched for; their payloads together are `payload`.
void ExpectSound(const std::vector<Packet>& frames, const std::vector<uint8_t>& payload,
                 uint16_t segment_bytes) {
  std::vector<uint8_t> together;
  for (const Packet& frame : frames) {
    const FrameLayout layout = ReadFrameLayout(frame.bytes);
    EXPECT_EQ(layout.frame_bytes, frame.bytes.size());
    EXPECT_EQ(VerifyL4Checksum(frame.bytes, layout), L4Check::kGood);
    EXPECT_TRUE(frame.checksum_good);
    EXPECT_EQ(frame.segment_bytes, 0);
    if (&frame != &frames.back()) {
      EXPECT_EQ(layout.frame_bytes - layout.header_bytes, segment_bytes);
    }
    together.insert(together.end(), frame.bytes.begin() + layout.header_bytes, frame.bytes.end());
  }
  EXPECT_EQ(together, payload);
}

TEST(SegmenterTest, TcpOverIpv4CountsSequenceAndIdentificationUp) {
  const TestFrame whole{.payload = TestPayload(4000)};
  std::vector<uint8_t> bytes = whole.Bytes();
  StoreBe16(&bytes[18], 0xfffe);  // The identification wraps.
  FinishIpv4Checksum(bytes);
  const std::vector<Packet> frames = CutIntoFrames(SuperFrame(bytes, 1448));
  ASSERT_EQ(frames.size(), 3u);
  ExpectSound(frames, whole.payload, 1448);
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(LoadBe32(&frames[i].bytes[38]), 0xfffffff0u + i * 1448);  // It wraps too.
    EXPECT_EQ(LoadBe16(&frames[i].bytes[18]), static_cast<uint16_t>(0xfffe + i));
  }
}

TEST(SegmenterTest, FinAndPushAreOfTheLastFrameAndCwrOfTheFirst) {
  const TestFrame whole{.flags = kTcpAck | kTcpPsh | kTcpFin | kTcpCwr | kTcpEce,
                        .payload = TestPayload(3000)};
  const std::vector<Packet> frames = CutIntoFrames(SuperFrame(whole.Bytes(), 1000));
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0].bytes[47], kTcpAck | kTcpCwr | kTcpEce);
  EXPECT_EQ(frames[1].bytes[47], kTcpAck | kTcpEce);
  EXPECT_EQ(frames[2].bytes[47], kTcpAck | kTcpPsh | kTcpFin | kTcpEce);
  ExpectSound(frames, whole.payload, 1000);
}

TEST(SegmenterTest, TcpOverIpv6IsCutWithAndWithoutExtensionHeaders) {
  const TestFrame whole{.flow = testing::TestFlowV6(), .payload = TestPayload(5001)};
  ExpectSound(CutIntoFrames(SuperFrame(whole.Bytes(), 1440)), whole.payload, 1440);
  const std::vector<Packet> frames =
      CutIntoFrames(SuperFrame(WithExtension(whole.Bytes(), 16), 1424));
  EXPECT_EQ(frames.size(), 4u);
  ExpectSound(frames, whole.payload, 1424);
}

TEST(SegmenterTest, UdpIsCutIntoDatagrams) {
  const std::vector<uint8_t> payload = TestPayload(3500);
  for (const FlowKey& flow : {testing::TestFlow(), testing::TestFlowV6()}) {
    const std::vector<Packet> frames = CutIntoFrames(SuperFrame(UdpFrame(flow, payload), 1200));
    ASSERT_EQ(frames.size(), 3u);
    ExpectSound(frames, payload, 1200);
    const FrameLayout layout = ReadFrameLayout(frames[2].bytes);
    EXPECT_EQ(LoadBe16(&frames[2].bytes[layout.l4_offset + 4]), 8 + 1100);
  }
}

TEST(SegmenterTest, AnOrdinaryFrameIsItself) {
  const std::vector<uint8_t> bytes = TestFrame{.payload = TestPayload(100)}.Bytes();
  const std::vector<Packet> frames = CutIntoFrames({.bytes = bytes});
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].bytes, bytes);
  EXPECT_FALSE(frames[0].checksum_good);
}

TEST(SegmenterTest, WhatIsNoSuperFrameIsNotCut) {
  EXPECT_TRUE(CutIntoFrames({.bytes = TestPayload(3000), .segment_bytes = 1000}).empty());
  Packet packet = SuperFrame(TestFrame{.payload = TestPayload(3000)}.Bytes(), 1000);
  packet.header_bytes += 4;
  EXPECT_TRUE(CutIntoFrames(packet).empty());
}

}  // namespace
}  // namespace devmem
