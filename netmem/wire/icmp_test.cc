// SPDX-License-Identifier: Apache-2.0
// Tests of the ICMP header view and its emitter.
#include "netmem/wire/icmp.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

TEST(IcmpTest, AnEchoRequestHasIdentifierSequenceAndData) {
  const std::vector<uint8_t> frame = PingFrameV4();
  const std::optional<IcmpHeader> header = IcmpHeader::Parse(std::span(frame).subspan(34));
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->type(), kIcmpEchoRequest);
  EXPECT_EQ(header->code(), 0);
  EXPECT_EQ(header->checksum(), 0xfcef);
  EXPECT_EQ(header->identifier(), 0x77);
  EXPECT_EQ(header->sequence(), 3);
  EXPECT_EQ(std::string(header->body().begin(), header->body().end()), "abcdefghi");
}

TEST(IcmpTest, FragmentationNeededNamesTheNextMtuAndThePacket) {
  const std::vector<uint8_t> bytes = FromHex("03 04 b2 83 00 00 05 78 45 00 00 3c");
  const std::optional<IcmpHeader> header = IcmpHeader::Parse(bytes);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->type(), kIcmpDestinationUnreachable);
  EXPECT_EQ(header->code(), kIcmpCodeFragmentationNeeded);
  EXPECT_EQ(header->next_hop_mtu_bytes(), 1400);
  EXPECT_EQ(header->body().size(), 4u);
  EXPECT_EQ(header->body()[0], 0x45);
}

TEST(IcmpTest, PacketTooBigHasA32BitMtu) {
  const std::vector<uint8_t> bytes = FromHex("02 00 00 00 00 01 05 00");
  EXPECT_EQ(IcmpHeader::Parse(bytes)->type(), kIcmpV6PacketTooBig);
  EXPECT_EQ(IcmpHeader::Parse(bytes)->mtu_bytes(), 0x10500u);
  EXPECT_TRUE(IcmpHeader::Parse(bytes)->body().empty());
}

TEST(IcmpTest, EveryTruncationOfTheHeaderIsRefused) {
  for (size_t count = 0; count < kIcmpHeaderBytes; ++count) {
    EXPECT_FALSE(IcmpHeader::Parse(std::vector<uint8_t>(count)).has_value()) << count;
  }
}

TEST(IcmpTest, EmittedFieldsAreTheLiteralBytes) {
  std::vector<uint8_t> out(kIcmpHeaderBytes, 0xee);
  EXPECT_EQ(
      EmitIcmpEcho(
          {.type = kIcmpV6EchoReply, .identifier = 0x1234, .sequence = 0x5678, .checksum = 0x9abc},
          out),
      kIcmpHeaderBytes);
  EXPECT_EQ(out, FromHex("81 00 9a bc 12 34 56 78"));
}

TEST(IcmpTest, ABufferThatIsTooShortIsLeftAlone) {
  std::array<uint8_t, kIcmpHeaderBytes - 1> out{};
  EXPECT_EQ(EmitIcmpEcho({.type = 8}, out), 0u);
  EXPECT_EQ(out, decltype(out){});
}

}  // namespace
}  // namespace devmem
