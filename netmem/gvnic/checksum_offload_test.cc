// SPDX-License-Identifier: Apache-2.0
//
// Checksums made and verified, against those of netmem/wire's frame builder and literal frames;
// what frames without one get; and where the device finds layer 4.

#include "netmem/gvnic/checksum_offload.h"

#include <gtest/gtest.h>

#include <vector>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/wire_test_frames.h"
#include "selftests/testing/gvnic_frames.h"

namespace devmem {
namespace {

using testing::TestFlow;
using testing::TestFlowV6;
using testing::TestFrame;
using testing::TestPayload;
using testing::UdpFrame;
using testing::WithExtension;

using Bytes = std::vector<uint8_t>;

L4Check Verify(const Bytes& frame) { return VerifyL4Checksum(frame, ReadFrameLayout(frame)); }

std::vector<Bytes> FramesWithChecksum() {
  const TestFrame v6{.flow = TestFlowV6(), .payload = TestPayload(101)};
  return {TestFrame{.payload = TestPayload(100)}.Bytes(),
          v6.Bytes(),
          WithExtension(v6.Bytes(), 24),
          UdpFrame(TestFlow(), TestPayload(33)),
          UdpFrame(TestFlowV6(), TestPayload(34)),
          DataFrameV4(),
          DataFrameV6()};
}

TEST(ChecksumOffloadTest, TheDeviceMakesTheChecksumThatOthersMake) {
  for (const Bytes& wanted : FramesWithChecksum()) {
    EXPECT_EQ(Verify(wanted), L4Check::kGood);
    const FrameLayout layout = ReadFrameLayout(wanted);
    Bytes frame = wanted;
    frame[layout.l4_offset + L4ChecksumOffset(layout)] ^= 0x5a;
    EXPECT_EQ(Verify(frame), L4Check::kBad);
    ASSERT_TRUE(FinishL4Checksum(frame, layout));
    EXPECT_EQ(frame, wanted);
  }
}

TEST(ChecksumOffloadTest, AnyFlippedBitOfLayer4IsNoticed) {
  Bytes frame = TestFrame{.payload = TestPayload(9)}.Bytes();
  const FrameLayout layout = ReadFrameLayout(frame);
  for (size_t bit = 8 * layout.l4_offset; bit < 8 * frame.size(); ++bit) {
    frame[bit / 8] = static_cast<uint8_t>(frame[bit / 8] ^ 1u << bit % 8);
    EXPECT_EQ(VerifyL4Checksum(frame, layout), L4Check::kBad) << bit;
    frame[bit / 8] = static_cast<uint8_t>(frame[bit / 8] ^ 1u << bit % 8);
  }
}

TEST(ChecksumOffloadTest, IcmpIsVerifiedAndNotMade) {
  for (Bytes frame : {PingFrameV4(), PingFrameV6()}) {
    EXPECT_EQ(Verify(frame), L4Check::kGood);
    EXPECT_FALSE(FinishL4Checksum(frame, ReadFrameLayout(frame)));
    frame.back() ^= 1;
    EXPECT_EQ(Verify(frame), L4Check::kBad);
  }
}

TEST(ChecksumOffloadTest, UdpWithoutAChecksumIsAllowedOverIpv4Only) {
  Bytes v4 = UdpFrame(TestFlow(), TestPayload(10));
  StoreBe16(&v4[40], 0);
  EXPECT_EQ(Verify(v4), L4Check::kNone);
  Bytes v6 = UdpFrame(TestFlowV6(), TestPayload(10));
  StoreBe16(&v6[60], 0);
  EXPECT_EQ(Verify(v6), L4Check::kBad);
}

TEST(ChecksumOffloadTest, AUdpSumOfZeroIsSentAsItsOtherForm) {
  Bytes frame = UdpFrame(TestFlow(), TestPayload(10));
  // Makes the sum come out as zero: what the checksum says goes into the payload instead.
  const FrameLayout layout = ReadFrameLayout(frame);
  StoreBe16(&frame[42], static_cast<uint16_t>(0));
  ASSERT_TRUE(FinishL4Checksum(frame, layout));
  StoreBe16(&frame[42], LoadBe16(&frame[40]));
  ASSERT_TRUE(FinishL4Checksum(frame, layout));
  EXPECT_EQ(LoadBe16(&frame[40]), 0xffff);
  EXPECT_EQ(Verify(frame), L4Check::kGood);
}

TEST(ChecksumOffloadTest, FragmentsAndOtherFramesHaveNothingToVerify) {
  Bytes fragment = TestFrame{.payload = TestPayload(100)}.Bytes();
  fragment[20] = 0x20;  // More fragments follow.
  FinishIpv4Checksum(fragment);
  EXPECT_EQ(Verify(fragment), L4Check::kNone);
  EXPECT_FALSE(FinishL4Checksum(fragment, ReadFrameLayout(fragment)));
  EXPECT_EQ(ReadFrameLayout(fragment).l4, L4Kind::kUnknown);
  EXPECT_EQ(Verify(ArpRequestFrame()), L4Check::kNone);
}

TEST(FrameLayoutTest, HeadersEndBehindLayer4AndPortsAreRead) {
  FrameLayout layout = ReadFrameLayout(UdpFrame(TestFlow(), TestPayload(10)));
  EXPECT_EQ(layout.packet_type(), PacketType(L3Kind::kIpv4, L4Kind::kUdp));
  EXPECT_EQ(layout.header_bytes, 42u);
  EXPECT_EQ(layout.flow, TestFlow());
  layout = ReadFrameLayout(
      WithExtension(TestFrame{.flow = TestFlowV6(), .payload = TestPayload(5)}.Bytes(), 8));
  EXPECT_EQ(layout.packet_type(), PacketType(L3Kind::kIpv6, L4Kind::kTcp));
  EXPECT_EQ(layout.header_bytes, 14u + 40 + 8 + 20);
  EXPECT_TRUE(layout.has_extensions);
  EXPECT_EQ(layout.flow, TestFlowV6());
}

TEST(FrameLayoutTest, ASecurityParameterIndexStandsWherePortsDo) {
  Bytes frame = UdpFrame(TestFlow(), TestPayload(10));
  frame[23] = 50;  // ESP: the index comes first.
  FinishIpv4Checksum(frame);
  FrameLayout layout = ReadFrameLayout(frame);
  EXPECT_EQ(layout.l4, L4Kind::kOther);
  EXPECT_EQ(layout.flow.remote_port, 40000);
  EXPECT_EQ(layout.flow.local_port, 5201);
  frame[23] = 51;  // AH: the index comes second.
  FinishIpv4Checksum(frame);
  layout = ReadFrameLayout(frame);
  EXPECT_EQ(layout.flow.remote_port, LoadBe16(&frame[38]));
}

TEST(FrameLayoutTest, EveryPacketTypeMeansWhatItWasMadeOf) {
  for (uint16_t l3 = 0; l3 <= 3; ++l3) {
    for (uint16_t l4 = 0; l4 <= 5; ++l4) {
      const PacketTypeEntry entry =
          PacketTypeMeaning(PacketType(static_cast<L3Kind>(l3), static_cast<L4Kind>(l4)));
      EXPECT_EQ(static_cast<uint16_t>(entry.l3), l3);
      EXPECT_EQ(static_cast<uint16_t>(entry.l4), l4);
    }
  }
  EXPECT_EQ(PacketTypeMeaning(7).l4, L4Kind::kUnknown);
  EXPECT_EQ(PacketTypeMeaning(1023).l3, L3Kind::kUnknown);
}

TEST(FrameLayoutTest, NoPrefixOfAFrameIsReadBeyondItsEnd) {
  for (const Bytes& whole : FramesWithChecksum()) {
    for (size_t bytes = 0; bytes <= whole.size(); ++bytes) {
      const Bytes frame(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes));
      const FrameLayout layout = ReadFrameLayout(frame);
      EXPECT_LE(layout.frame_bytes, frame.size());
      EXPECT_LE(layout.header_bytes, frame.size());
    }
  }
}

}  // namespace
}  // namespace devmem
