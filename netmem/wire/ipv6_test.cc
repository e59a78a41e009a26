// SPDX-License-Identifier: Apache-2.0
// Tests of the fixed IPv6 header view and its emitter.
#include "netmem/wire/ipv6.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

std::vector<uint8_t> Packet() {
  const std::vector<uint8_t> frame = DataFrameV6();
  return {frame.begin() + 14, frame.end()};
}

TEST(Ipv6Test, FieldsComeFromTheirPlaces) {
  const std::vector<uint8_t> bytes = Packet();
  const std::optional<Ipv6Header> header = Ipv6Header::Parse(bytes);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->traffic_class(), 3);
  EXPECT_EQ(header->ecn(), 3);
  EXPECT_EQ(header->flow_label(), 0xabcdeu);
  EXPECT_EQ(header->payload_bytes(), 37);
  EXPECT_EQ(header->next_header(), 6);
  EXPECT_EQ(header->hop_limit(), 64);
  EXPECT_EQ(header->source().ToString(), "fd00::2");
  EXPECT_EQ(header->destination().ToString(), "fd00::1");
}

TEST(Ipv6Test, EveryTruncationOfTheHeaderIsRefused) {
  for (size_t count = 0; count < kIpv6HeaderBytes; ++count) {
    const std::vector<uint8_t> bytes = Packet();
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    EXPECT_FALSE(Ipv6Header::Parse(cut).has_value()) << count;
  }
}

TEST(Ipv6Test, EveryVersionButSixIsRefused) {
  std::vector<uint8_t> bytes = Packet();
  for (unsigned version = 0; version < 16; ++version) {
    bytes[0] = static_cast<uint8_t>(version << 4);
    EXPECT_EQ(Ipv6Header::Parse(bytes).has_value(), version == 6) << version;
  }
}

TEST(Ipv6Test, APayloadLengthBeyondTheBytesIsVisible) {
  std::vector<uint8_t> bytes = Packet();
  StoreBe16(&bytes[4], 0xffff);
  EXPECT_EQ(Ipv6Header::Parse(bytes)->payload_bytes(), 0xffff);
}

TEST(Ipv6Test, EmittedFieldsAreTheLiteralBytes) {
  const std::vector<uint8_t> packet = Packet();
  std::array<uint8_t, kIpv6HeaderBytes> out;
  out.fill(0xee);
  EXPECT_EQ(EmitIpv6({.traffic_class = 3,
                      .flow_label = 0xfffabcde,  // Only 20 bits of it go out.
                      .payload_bytes = 37,
                      .source = *ParseIpAddress("fd00::2"),
                      .destination = *ParseIpAddress("fd00::1")},
                     out),
            kIpv6HeaderBytes);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), packet.begin()));
}

TEST(Ipv6Test, ABufferThatIsTooShortIsLeftAlone) {
  std::array<uint8_t, kIpv6HeaderBytes - 1> out{};
  EXPECT_EQ(EmitIpv6({}, out), 0u);
  EXPECT_EQ(out, decltype(out){});
}

}  // namespace
}  // namespace devmem
