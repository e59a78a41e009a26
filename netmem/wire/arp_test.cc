// SPDX-License-Identifier: Apache-2.0
// Tests of the ARP packet view and its emitter.
#include "netmem/wire/arp.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

std::vector<uint8_t> Request() {
  const std::vector<uint8_t> frame = ArpRequestFrame();
  return {frame.begin() + 14, frame.end()};
}

TEST(ArpTest, FieldsComeFromTheirPlaces) {
  const std::vector<uint8_t> bytes = Request();
  const std::optional<ArpPacket> packet = ArpPacket::Parse(bytes);
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->operation(), kArpRequest);
  EXPECT_EQ(packet->sender_mac().ToString(), "02:00:5e:10:00:02");
  EXPECT_EQ(packet->sender_ip().ToString(), "10.0.0.2");
  EXPECT_TRUE(packet->target_mac().is_zero());
  EXPECT_EQ(packet->target_ip().ToString(), "10.0.0.1");
}

TEST(ArpTest, EveryTruncationIsRefused) {
  for (size_t count = 0; count < kArpPacketBytes; ++count) {
    std::vector<uint8_t> bytes = Request();
    bytes.resize(count);
    bytes.shrink_to_fit();
    EXPECT_FALSE(ArpPacket::Parse(bytes).has_value()) << count;
  }
}

TEST(ArpTest, OtherTypesAndAddressSizesAreRefused) {
  for (size_t i = 0; i < 6; ++i) {
    std::vector<uint8_t> bytes = Request();
    bytes[i] ^= 1;
    EXPECT_FALSE(ArpPacket::Parse(bytes).has_value()) << i;
  }
}

TEST(ArpTest, EmittedFieldsAreTheLiteralBytes) {
  std::vector<uint8_t> out(kArpPacketBytes);
  EXPECT_EQ(EmitArp({.operation = kArpRequest,
                     .sender_mac = MacAddress({0x02, 0x00, 0x5e, 0x10, 0x00, 0x02}),
                     .sender_ip = IpAddress::FromV4(0x0a000002),
                     .target_mac = MacAddress(),
                     .target_ip = IpAddress::FromV4(0x0a000001)},
                    out),
            kArpPacketBytes);
  EXPECT_EQ(out, Request());
}

TEST(ArpTest, ABufferThatIsTooShortIsLeftAlone) {
  std::array<uint8_t, kArpPacketBytes - 1> out{};
  EXPECT_EQ(EmitArp({}, out), 0u);
  EXPECT_EQ(out, decltype(out){});
}

}  // namespace
}  // namespace devmem
