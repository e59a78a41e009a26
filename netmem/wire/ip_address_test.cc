// SPDX-License-Identifier: Apache-2.0
// Tests of IP addresses of both families and their text forms.
#include "netmem/wire/ip_address.h"

#include <gtest/gtest.h>

#include <string>

namespace devmem {
namespace {

constexpr IpAddress kV4 = IpAddress::FromV4(0x0a000001);

TEST(IpAddressTest, AnIpv4AddressIsKeptV4Mapped) {
  const std::array<uint8_t, 16> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
  EXPECT_TRUE(kV4.is_v4());
  EXPECT_EQ(kV4.v4(), 0x0a000001u);
  EXPECT_EQ(kV4.bytes(), mapped);
  EXPECT_EQ(IpAddress::FromV6(mapped), kV4);
}

TEST(IpAddressTest, AnIpv6AddressKeepsItsBytes) {
  std::array<uint8_t, 16> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(0x20 + i);
  const IpAddress address = IpAddress::FromV6(bytes);
  EXPECT_FALSE(address.is_v4());
  EXPECT_EQ(address.bytes(), bytes);
  EXPECT_EQ(address.high(), 0x2021222324252627u);
  EXPECT_EQ(address.low(), 0x28292a2b2c2d2e2fu);
}

TEST(IpAddressTest, CanonicalTextParsesBackToItself) {
  for (const char* text : {"0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "fd00::1",
                           "2001:db8:0:1:1:1:1:1", "2001:db8::1:0:0:1", "ff02::1",
                           "fe80::5054:ff:fe12:3456", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    const std::optional<IpAddress> address = ParseIpAddress(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(address->ToString(), text);
  }
}

TEST(IpAddressTest, TheMappedTextIsTheIpv4Address) {
  EXPECT_EQ(ParseIpAddress("::ffff:10.0.0.1"), kV4);
  EXPECT_EQ(ParseIpAddress("::ffff:a00:1"), kV4);
  EXPECT_EQ(ParseIpAddress("0:0:0:0:0:FFFF:10.0.0.1")->ToString(), "10.0.0.1");
}

TEST(IpAddressTest, OtherTextIsRefused) {
  for (const char* text : {"",
                           " ",
                           "10",
                           "10.0.0",
                           "10.0.0.1.2",
                           "10.0.0.256",
                           "10.0.0.01",
                           "0x0a.0.0.1",
                           " 10.0.0.1",
                           "10.0.0.1 ",
                           "10.0.0.1/24",
                           "10.0.0.-1",
                           "localhost",
                           ":",
                           ":::",
                           "1::2::3",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "fd00::12345",
                           "[fd00::1]",
                           "fe80::1%eth0",
                           "::g",
                           "fd00::1/64",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "::1.2.3",
                           "1.2.3.4::"}) {
    EXPECT_FALSE(ParseIpAddress(text).has_value()) << text;
  }
}

TEST(IpAddressTest, TextWithAnEndMarkInsideIsRefused) {
  EXPECT_FALSE(ParseIpAddress(absl::string_view("10.0.0.1\0", 9)).has_value());
  EXPECT_FALSE(ParseIpAddress(absl::string_view("10.0.0.1\0junk", 13)).has_value());
}

TEST(IpAddressTest, TextLongerThanAnyAddressIsRefused) {
  EXPECT_FALSE(ParseIpAddress(std::string(46, '0')).has_value());
  EXPECT_FALSE(ParseIpAddress(std::string(100000, ':')).has_value());
  const std::string longest = "0000:0000:0000:0000:0000:ffff:255.255.255.255";
  EXPECT_EQ(ParseIpAddress(longest), IpAddress::FromV4(0xffffffff));
}

TEST(IpAddressTest, BothUnspecifiedAddressesAreRecognised) {
  EXPECT_TRUE(IpAddress().is_unspecified());
  EXPECT_TRUE(IpAddress::FromV4(0).is_unspecified());
  EXPECT_FALSE(kV4.is_unspecified());
  EXPECT_FALSE(ParseIpAddress("::1")->is_unspecified());
  EXPECT_NE(IpAddress(), IpAddress::FromV4(0));
}

TEST(IpAddressTest, MulticastIsClassDOrFf) {
  EXPECT_TRUE(ParseIpAddress("224.0.0.1")->is_multicast());
  EXPECT_TRUE(ParseIpAddress("239.255.255.255")->is_multicast());
  EXPECT_FALSE(ParseIpAddress("223.255.255.255")->is_multicast());
  EXPECT_FALSE(ParseIpAddress("240.0.0.0")->is_multicast());
  EXPECT_TRUE(ParseIpAddress("ff02::1")->is_multicast());
  EXPECT_FALSE(ParseIpAddress("fe80::1")->is_multicast());
}

TEST(IpAddressTest, OnlyTheLimitedBroadcastIsBroadcast) {
  EXPECT_TRUE(ParseIpAddress("255.255.255.255")->is_broadcast());
  EXPECT_FALSE(ParseIpAddress("10.0.0.255")->is_broadcast());
  EXPECT_FALSE(ParseIpAddress("::ffff:ffff")->is_broadcast());
}

TEST(IpAddressTest, AddressesOrderByTheirBytes) {
  EXPECT_LT(IpAddress::FromV4(0x0a000001), IpAddress::FromV4(0x0a000002));
  EXPECT_LT(IpAddress::FromV4(0xffffffff), *ParseIpAddress("fd00::1"));
  EXPECT_LT(*ParseIpAddress("fd00::1"), *ParseIpAddress("fd00:0:0:1::"));
}

}  // namespace
}  // namespace devmem
