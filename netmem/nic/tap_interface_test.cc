// SPDX-License-Identifier: Apache-2.0
//
// The texts that name an interface and its addresses: what is taken, and what a refusal says.

#include "netmem/nic/tap_interface.h"

#include <gtest/gtest.h>

#include <string>

namespace devmem {
namespace {

TEST(TapInterfaceTest, AddressesOfBothVersionsAreReadInTheirOrder) {
  const auto addresses = ParseInterfaceAddresses("192.0.2.1/24, 2001:db8::1/64,2001:db8::2/128");
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  ASSERT_EQ(addresses->size(), 3u);
  EXPECT_EQ((*addresses)[0], (InterfaceAddress{IpAddress::FromV4(0xc0000201), 24}));
  EXPECT_EQ((*addresses)[1].address, ParseIpAddress("2001:db8::1"));
  EXPECT_EQ((*addresses)[1].prefix_bits, 64u);
  EXPECT_EQ((*addresses)[2].prefix_bits, 128u);
}

TEST(TapInterfaceTest, AnEmptyTextIsNoAddress) {
  const auto addresses = ParseInterfaceAddresses("");
  ASSERT_TRUE(addresses.ok());
  EXPECT_TRUE(addresses->empty());
}

TEST(TapInterfaceTest, ARefusedAddressIsNamedWithItsBound) {
  for (const char* text : {"192.0.2.1", "192.0.2.1/", "192.0.2.1/0", "192.0.2.1/33", "192.0.2.1/x",
                           "2001:db8::1/129", "192.0.2/24", "/24", "192.0.2.1/24,", "host/24"}) {
    const auto addresses = ParseInterfaceAddresses(text);
    EXPECT_EQ(addresses.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_NE(
      ParseInterfaceAddresses("192.0.2.1/33").status().message().find("\"33\"; write 1 to 32"),
      std::string::npos);
}

TEST(TapInterfaceTest, ASecondIpv4AddressIsRefused) {
  const auto addresses = ParseInterfaceAddresses("192.0.2.1/24,198.18.0.1/24");
  EXPECT_EQ(addresses.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TapInterfaceTest, NamesOfOneToFifteenBytesAreTaken) {
  EXPECT_TRUE(CheckInterfaceName("d").ok());
  EXPECT_TRUE(CheckInterfaceName("dm0").ok());
  EXPECT_TRUE(CheckInterfaceName(std::string(15, 'x')).ok());
}

TEST(TapInterfaceTest, NamesThatLinuxRefusesOrFillsInAreRefused) {
  for (const char* name : {"", ".", "..", "a/b", "a:b", "a b", "tap%d", "0123456789abcdef"}) {
    EXPECT_EQ(CheckInterfaceName(name).code(), absl::StatusCode::kInvalidArgument) << name;
  }
  const absl::Status too_long = CheckInterfaceName("0123456789abcdef");
  EXPECT_NE(too_long.message().find("16 bytes long; choose 1 to 15"), std::string::npos);
}

}  // namespace
}  // namespace devmem
