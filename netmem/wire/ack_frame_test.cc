// SPDX-License-Identifier: Apache-2.0
// The short way to an acknowledgment against the general one.
#include "netmem/wire/ack_frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "netmem/wire/frame.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

using Bytes = std::vector<uint8_t>;

IpAddress RandomAddress(std::mt19937_64& random, bool v4) {
  if (v4) return IpAddress::FromV4(static_cast<uint32_t>(random()));
  std::array<uint8_t, 16> bytes;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  bytes[0] = 0x20;
  return IpAddress::FromV6(bytes);
}

// Fields of all ones and all zeroes come up often: sums wrap there.
uint32_t Edgy(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0: return 0;
    case 1: return UINT32_MAX;
    default: return static_cast<uint32_t>(random());
  }
}

// An acknowledgment with all that its fields point to.
struct Ack {
  MacAddress source{{2, 0, 0, 0, 0, 1}};
  MacAddress destination{{2, 0, 0, 0, 0, 2}};
  FlowKey flow;
  std::array<SackBlock, 4> blocks;
  AckFields fields;
};

void Randomise(std::mt19937_64& random, Ack& ack) {
  const bool v4 = random() % 2 == 0;
  ack.flow = {.local = RandomAddress(random, v4),
              .remote = RandomAddress(random, v4),
              .local_port = static_cast<uint16_t>(Edgy(random)),
              .remote_port = static_cast<uint16_t>(Edgy(random))};
  for (SackBlock& block : ack.blocks) block = {SeqNum(Edgy(random)), SeqNum(Edgy(random))};
  AckFields& fields = ack.fields;
  fields.flow = &ack.flow;
  fields.seq = SeqNum(Edgy(random));
  fields.ack = SeqNum(Edgy(random));
  fields.flags = random() % 2 == 0 ? kTcpAck : static_cast<uint8_t>(kTcpAck | kTcpEce);
  fields.window = static_cast<uint16_t>(Edgy(random));
  fields.has_timestamps = random() % 2 == 0;
  fields.timestamps = TcpTimestamps{Edgy(random), Edgy(random)};
  fields.sacks = std::span(ack.blocks).first(random() % (fields.has_timestamps ? 4 : 5));
}

Bytes BuiltTheLongWay(const Ack& ack) {
  TcpFrameSpec full;
  full.source_mac = ack.source;
  full.destination_mac = ack.destination;
  full.flow = ack.flow;
  full.flow_label = FlowLabel(ack.flow);
  full.seq = ack.fields.seq;
  full.ack = ack.fields.ack;
  full.flags = ack.fields.flags;
  full.window = ack.fields.window;
  if (ack.fields.has_timestamps) full.options.timestamps = ack.fields.timestamps;
  full.options.sack_block_count = static_cast<uint8_t>(ack.fields.sacks.size());
  std::copy(ack.fields.sacks.begin(), ack.fields.sacks.end(), full.options.sack_blocks.begin());
  Bytes frame(kTcpFrameHeaderBytesMax);
  frame.resize(BuildTcpFrame(full, frame));
  return frame;
}

TEST(AckFrameTest, IsTheFrameThatTheGeneralBuilderMakes) {
  std::mt19937_64 random(1);
  Ack ack;
  for (int i = 0; i < 20000; ++i) {
    Randomise(random, ack);
    std::array<uint8_t, kAckFrameBytesMax> out;
    const size_t bytes = BuildAckFrame(ack.source, ack.destination, ack.fields, out);
    ASSERT_EQ(Bytes(out.begin(), out.begin() + static_cast<ptrdiff_t>(bytes)), BuiltTheLongWay(ack))
        << i;
  }
}

TEST(AckTemplateTest, MakesTheSameFrameForWhateverFitsIt) {
  std::mt19937_64 random(3);
  Ack first, next;
  int fits = 0;
  for (int i = 0; i < 20000; ++i) {
    Randomise(random, first);
    Randomise(random, next);
    // Of one peer now and then, else of another, or after the stations have changed.
    if (random() % 4 != 0) {
      next.flow.local = first.flow.local;
      next.flow.remote = first.flow.remote;
    }
    const uint64_t epoch = random() % 8 == 0 ? 8 : 7;
    std::array<uint8_t, kAckFrameBytesMax> out;
    BuildAckFrame(first.source, first.destination, first.fields, out);
    AckTemplate ack_template;
    ack_template.Learn(7, first.fields, out);
    const bool same_peer = next.flow.local == first.flow.local &&
                           next.flow.remote == first.flow.remote && epoch == 7 &&
                           first.flow.local.is_v4() &&
                           AckTcpBytes(next.fields) == AckTcpBytes(first.fields);
    ASSERT_EQ(ack_template.Fits(epoch, next.fields), same_peer) << i;
    if (!same_peer) continue;
    ++fits;
    const size_t bytes = ack_template.Build(next.fields, out);
    ASSERT_EQ(Bytes(out.begin(), out.begin() + static_cast<ptrdiff_t>(bytes)),
              BuiltTheLongWay(next))
        << i;
  }
  EXPECT_GT(fits, 500);
}

TEST(AckTemplateTest, FitsNothingBeforeItHasLearnt) {
  Ack ack;
  ack.flow = {.local = IpAddress(), .remote = IpAddress()};
  ack.fields.flow = &ack.flow;
  EXPECT_FALSE(AckTemplate().Fits(1, ack.fields));
}

TEST(AckTemplateTest, DoesNotTakeAnIpv6FlowForTheIpv4OneWithTheSameLowHalves) {
  Ack ack;
  ack.flow = {.local = IpAddress::FromV4(1), .remote = IpAddress::FromV4(2)};
  ack.fields.flow = &ack.flow;
  std::array<uint8_t, kAckFrameBytesMax> out;
  BuildAckFrame(ack.source, ack.destination, ack.fields, out);
  AckTemplate ack_template;
  ack_template.Learn(1, ack.fields, out);
  ASSERT_TRUE(ack_template.Fits(1, ack.fields));
  ack.flow.local = IpAddress::FromHalves(0x20010db800000000, ack.flow.local.low());
  ack.flow.remote = IpAddress::FromHalves(0x20010db800000000, ack.flow.remote.low());
  EXPECT_FALSE(ack_template.Fits(1, ack.fields));
}

TEST(AckFrameTest, IsReadAsASegmentWithARightChecksum) {
  std::mt19937_64 random(2);
  Ack ack;
  for (int i = 0; i < 1000; ++i) {
    Randomise(random, ack);
    std::array<uint8_t, kAckFrameBytesMax> out;
    const std::span<const uint8_t> frame =
        std::span(out).first(BuildAckFrame(ack.source, ack.destination, ack.fields, out));
    const FrameHeaders headers = ParseFrame(frame, static_cast<uint32_t>(frame.size()));
    ASSERT_EQ(headers.kind, FrameKind::kTcp);
    EXPECT_EQ(headers.payload_bytes, 0u);
    EXPECT_EQ(headers.flow.local, ack.flow.remote);
    EXPECT_TRUE(VerifyTcpChecksum(frame, headers, 0));
  }
}

}  // namespace
}  // namespace devmem
