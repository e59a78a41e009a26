// SPDX-License-Identifier: Apache-2.0
// Tests of the IPv4 header view, its lies and its emitter.
#include "netmem/wire/ipv4.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

std::vector<uint8_t> Packet() {
  const std::vector<uint8_t> frame = DataFrameV4();
  return {frame.begin() + 14, frame.end()};
}

TEST(Ipv4Test, FieldsComeFromTheirPlaces) {
  const std::vector<uint8_t> bytes = Packet();
  const std::optional<Ipv4Header> header = Ipv4Header::Parse(bytes);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->header_bytes(), 20u);
  EXPECT_TRUE(header->options().empty());
  EXPECT_EQ(header->traffic_class(), 2);
  EXPECT_EQ(header->ecn(), kEcnCapable0);
  EXPECT_EQ(header->total_bytes(), 57);
  EXPECT_EQ(header->identification(), 0x1234);
  EXPECT_TRUE(header->dont_fragment());
  EXPECT_FALSE(header->more_fragments());
  EXPECT_FALSE(header->is_fragment());
  EXPECT_EQ(header->fragment_offset_bytes(), 0u);
  EXPECT_EQ(header->ttl(), 64);
  EXPECT_EQ(header->protocol(), kIpProtocolTcp);
  EXPECT_EQ(header->checksum(), 0x1487);
  EXPECT_EQ(header->source().ToString(), "10.0.0.2");
  EXPECT_EQ(header->destination().ToString(), "10.0.0.1");
  EXPECT_TRUE(header->ChecksumIsRight());
}

TEST(Ipv4Test, EveryTruncationOfTheHeaderIsRefused) {
  for (size_t count = 0; count < kIpv4HeaderBytesMin; ++count) {
    const std::vector<uint8_t> bytes = Packet();
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    EXPECT_FALSE(Ipv4Header::Parse(cut).has_value()) << count;
  }
}

TEST(Ipv4Test, EveryVersionButFourIsRefused) {
  std::vector<uint8_t> bytes = Packet();
  for (unsigned version = 0; version < 16; ++version) {
    bytes[0] = static_cast<uint8_t>(version << 4 | 5);
    EXPECT_EQ(Ipv4Header::Parse(bytes).has_value(), version == 4) << version;
  }
}

TEST(Ipv4Test, AHeaderLengthBelowFiveWordsOrBeyondTheBytesIsRefused) {
  std::vector<uint8_t> bytes = Packet();
  bytes.resize(40);
  for (unsigned words = 0; words < 16; ++words) {
    bytes[0] = static_cast<uint8_t>(0x40 | words);
    EXPECT_EQ(Ipv4Header::Parse(bytes).has_value(), words >= 5 && words <= 10) << words;
  }
}

TEST(Ipv4Test, ATotalLengthBelowTheHeaderIsRefused) {
  std::vector<uint8_t> bytes = Packet();
  for (uint16_t total = 0; total < 64; ++total) {
    StoreBe16(&bytes[2], total);
    EXPECT_EQ(Ipv4Header::Parse(bytes).has_value(), total >= 20) << total;
  }
}

TEST(Ipv4Test, ATotalLengthBeyondTheBytesIsVisible) {
  std::vector<uint8_t> bytes = Packet();
  StoreBe16(&bytes[2], 0xffff);
  ASSERT_TRUE(Ipv4Header::Parse(bytes).has_value());
  EXPECT_EQ(Ipv4Header::Parse(bytes)->total_bytes(), 0xffff);
}

TEST(Ipv4Test, FragmentsOfBothKindsAreVisible) {
  std::vector<uint8_t> bytes = Packet();
  StoreBe16(&bytes[6], 0x2000);  // The first part: offset 0, more to come.
  EXPECT_TRUE(Ipv4Header::Parse(bytes)->is_fragment());
  EXPECT_TRUE(Ipv4Header::Parse(bytes)->more_fragments());
  StoreBe16(&bytes[6], 0x00b9);  // The last part.
  EXPECT_TRUE(Ipv4Header::Parse(bytes)->is_fragment());
  EXPECT_FALSE(Ipv4Header::Parse(bytes)->more_fragments());
  EXPECT_EQ(Ipv4Header::Parse(bytes)->fragment_offset_bytes(), 1480u);
}

TEST(Ipv4Test, EveryFlippedHeaderBitIsRefusedOrMakesTheChecksumWrong) {
  for (size_t bit = 0; bit < 20 * 8; ++bit) {
    std::vector<uint8_t> bytes = Packet();
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ 1 << bit % 8);
    const std::optional<Ipv4Header> header = Ipv4Header::Parse(bytes);
    EXPECT_FALSE(header && header->ChecksumIsRight()) << bit;
  }
}

TEST(Ipv4Test, TheChecksumCoversOptions) {
  std::vector<uint8_t> bytes = Packet();
  bytes.insert(bytes.begin() + 20, {1, 1, 1, 0});
  bytes[0] = 0x46;
  StoreBe16(&bytes[10], 0);
  StoreBe16(&bytes[10], ChecksumField(PartialSum(std::span(bytes).first(24))));
  const std::optional<Ipv4Header> header = Ipv4Header::Parse(bytes);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->options().size(), 4u);
  EXPECT_TRUE(header->ChecksumIsRight());
  bytes[22] ^= 0x10;
  EXPECT_FALSE(Ipv4Header::Parse(bytes)->ChecksumIsRight());
}

TEST(Ipv4Test, EmittedFieldsAreTheLiteralBytes) {
  const std::vector<uint8_t> packet = Packet();
  std::array<uint8_t, kIpv4HeaderBytesMin> out;
  out.fill(0xee);
  EXPECT_EQ(EmitIpv4({.traffic_class = 2,
                      .total_bytes = 57,
                      .identification = 0x1234,
                      .source = IpAddress::FromV4(0x0a000002),
                      .destination = IpAddress::FromV4(0x0a000001)},
                     out),
            kIpv4HeaderBytesMin);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), packet.begin()));
}

TEST(Ipv4Test, APacketThatMayBeFragmentedSaysSo) {
  std::array<uint8_t, kIpv4HeaderBytesMin> out;
  EmitIpv4({.dont_fragment = false}, out);
  EXPECT_FALSE(Ipv4Header::Parse(out)->dont_fragment());
}

TEST(Ipv4Test, ABufferThatIsTooShortIsLeftAlone) {
  std::array<uint8_t, kIpv4HeaderBytesMin - 1> out{};
  EXPECT_EQ(EmitIpv4({}, out), 0u);
  EXPECT_EQ(out, decltype(out){});
}

}  // namespace
}  // namespace devmem
