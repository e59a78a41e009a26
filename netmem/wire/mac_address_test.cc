// SPDX-License-Identifier: Apache-2.0
// Tests of Ethernet addresses and their text form.
#include "netmem/wire/mac_address.h"

#include <gtest/gtest.h>

namespace devmem {
namespace {

constexpr MacAddress kAddress({0x02, 0x00, 0x5e, 0x10, 0xab, 0x01});

TEST(MacAddressTest, TextFormIsSixLowerCasePairs) {
  EXPECT_EQ(kAddress.ToString(), "02:00:5e:10:ab:01");
  EXPECT_EQ(MacAddress::Broadcast().ToString(), "ff:ff:ff:ff:ff:ff");
}

TEST(MacAddressTest, TextFormsParseBackInEitherCase) {
  EXPECT_EQ(ParseMacAddress("02:00:5e:10:ab:01"), kAddress);
  EXPECT_EQ(ParseMacAddress("02:00:5E:10:AB:01"), kAddress);
}

TEST(MacAddressTest, OtherTextIsRefused) {
  for (const char* text :
       {"", "02:00:5e:10:ab", "02:00:5e:10:ab:01:", "02-00-5e-10-ab-01", "2:0:5e:10:ab:1",
        "02:00:5e:10:ab:0g", " 2:00:5e:10:ab:01", "02:00:5e:10:ab 01", "02:00:5e:10:ab:001"}) {
    EXPECT_FALSE(ParseMacAddress(text).has_value()) << text;
  }
}

TEST(MacAddressTest, FromBytesReadsTheFirstSix) {
  const std::array<uint8_t, 7> bytes = {0x02, 0x00, 0x5e, 0x10, 0xab, 0x01, 0xee};
  EXPECT_EQ(MacAddress::FromBytes(bytes), kAddress);
  EXPECT_EQ(MacAddress::FromBytes(bytes).bytes()[5], 0x01);
}

TEST(MacAddressTest, GroupsAndNobodyAreRecognised) {
  EXPECT_TRUE(MacAddress::Broadcast().is_broadcast());
  EXPECT_TRUE(MacAddress::Broadcast().is_multicast());
  EXPECT_TRUE(MacAddress({0x33, 0x33, 0, 0, 0, 1}).is_multicast());
  EXPECT_FALSE(MacAddress({0x33, 0x33, 0, 0, 0, 1}).is_broadcast());
  EXPECT_FALSE(kAddress.is_multicast());
  EXPECT_TRUE(MacAddress().is_zero());
  EXPECT_FALSE(kAddress.is_zero());
}

TEST(MacAddressTest, AddressesOrderByTheirBytes) {
  EXPECT_LT(MacAddress(), kAddress);
  EXPECT_LT(kAddress, MacAddress::Broadcast());
}

}  // namespace
}  // namespace devmem
