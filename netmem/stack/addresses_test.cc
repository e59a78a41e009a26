// SPDX-License-Identifier: Apache-2.0
//
// Own addresses: their text, their subnets, and the way to others.

#include "netmem/stack/addresses.h"

#include <gtest/gtest.h>

#include <tuple>

namespace devmem {
namespace {

IpAddress Ip(absl::string_view text) { return *ParseIpAddress(text); }

TEST(SubnetTest, ReadsAnAddressWithItsPrefix) {
  const absl::StatusOr<Subnet> subnet = ParseSubnet("198.18.3.4/15");
  ASSERT_TRUE(subnet.ok()) << subnet.status();
  EXPECT_EQ(subnet->address, Ip("198.18.3.4"));
  EXPECT_EQ(subnet->prefix_bits, 15u);
}

TEST(SubnetTest, AMissingPrefixIs24BitsForIpv4And64ForIpv6) {
  EXPECT_EQ(ParseSubnet("192.0.2.1")->prefix_bits, 24u);
  EXPECT_EQ(ParseSubnet("2001:db8::1")->prefix_bits, 64u);
}

TEST(SubnetTest, RefusesWhatIsNoAddressOrNoPrefixAndNamesIt) {
  for (const char* text : {"", "192.0.2", "localhost", "192.0.2.1/", "192.0.2.1/33", "192.0.2.1/x",
                           "192.0.2.1/-1", "/24", "2001:db8::1/129"}) {
    const absl::StatusOr<Subnet> subnet = ParseSubnet(text);
    ASSERT_TRUE(absl::IsInvalidArgument(subnet.status())) << text;
    EXPECT_NE(subnet.status().message().find(absl::string_view(text)), absl::string_view::npos)
        << subnet.status();
  }
}

TEST(SubnetTest, ContainsJustTheAddressesThatShareThePrefix) {
  const Subnet subnet = *ParseSubnet("198.18.0.9/15");
  EXPECT_TRUE(subnet.Contains(Ip("198.18.0.0")));
  EXPECT_TRUE(subnet.Contains(Ip("198.19.255.255")));
  EXPECT_FALSE(subnet.Contains(Ip("198.17.255.255")));
  EXPECT_FALSE(subnet.Contains(Ip("198.20.0.0")));
  EXPECT_FALSE(subnet.Contains(Ip("2001:db8::1")));
}

TEST(SubnetTest, APrefixOf0ContainsTheWholeFamilyAndOf32OneAddress) {
  EXPECT_TRUE(ParseSubnet("192.0.2.1/0")->Contains(Ip("8.8.8.8")));
  EXPECT_FALSE(ParseSubnet("192.0.2.1/0")->Contains(Ip("2001:db8::1")));
  EXPECT_TRUE(ParseSubnet("192.0.2.1/32")->Contains(Ip("192.0.2.1")));
  EXPECT_FALSE(ParseSubnet("192.0.2.1/32")->Contains(Ip("192.0.2.0")));
}

TEST(SubnetTest, Ipv6PrefixesEndAnywhereInTheAddress) {
  EXPECT_TRUE(ParseSubnet("2001:db8::1/0")->Contains(Ip("ff::1")));
  EXPECT_TRUE(ParseSubnet("2001:db8::1/32")->Contains(Ip("2001:db8:ffff::1")));
  EXPECT_FALSE(ParseSubnet("2001:db8::1/32")->Contains(Ip("2001:db9::1")));
  EXPECT_TRUE(ParseSubnet("2001:db8::1/64")->Contains(Ip("2001:db8::ffff:0:0:1")));
  EXPECT_FALSE(ParseSubnet("2001:db8::1/64")->Contains(Ip("2001:db8:0:1::1")));
  EXPECT_TRUE(ParseSubnet("2001:db8::100/120")->Contains(Ip("2001:db8::1ff")));
  EXPECT_FALSE(ParseSubnet("2001:db8::100/120")->Contains(Ip("2001:db8::200")));
}

TEST(AddressesTest, KnowsItsOwnAndNobodyElses) {
  const Addresses ours = *Addresses::Create({"192.0.2.1/24", "198.18.0.1/15"}, "");
  EXPECT_TRUE(ours.IsOurs(Ip("192.0.2.1")));
  EXPECT_TRUE(ours.IsOurs(Ip("198.18.0.1")));
  EXPECT_FALSE(ours.IsOurs(Ip("192.0.2.2")));
  EXPECT_EQ(ours.ToString(), "192.0.2.1/24, 198.18.0.1/15");
}

TEST(AddressesTest, NeighboursAreReachedDirectlyAndOthersThroughTheGateway) {
  const Addresses ours = *Addresses::Create({"192.0.2.1/24"}, "192.0.2.254");
  EXPECT_EQ(ours.NextHop(Ip("192.0.2.7")), Ip("192.0.2.7"));
  EXPECT_EQ(ours.NextHop(Ip("198.18.0.7")), Ip("192.0.2.254"));
}

TEST(AddressesTest, WithoutAGatewayThereIsNoWayOut) {
  const Addresses ours = *Addresses::Create({"192.0.2.1/24"}, "");
  EXPECT_FALSE(ours.NextHop(Ip("198.18.0.7")).has_value());
}

TEST(AddressesTest, WeSpeakFromTheAddressInThePeersSubnetOrFromTheFirstOfItsFamily) {
  const Addresses ours =
      *Addresses::Create({"192.0.2.1/24", "198.18.0.1/15", "2001:db8:1::1/64", "2001:db8::1"}, "");
  EXPECT_EQ(*ours.SourceFor(Ip("198.19.0.7")), Ip("198.18.0.1"));
  EXPECT_EQ(*ours.SourceFor(Ip("203.0.113.1")), Ip("192.0.2.1"));
  EXPECT_EQ(*ours.SourceFor(Ip("2001:db8::7")), Ip("2001:db8::1"));
  EXPECT_EQ(*ours.SourceFor(Ip("2001:db8:2::7")), Ip("2001:db8:1::1"));
}

TEST(AddressesTest, WhereAFamilyIsMissingNobodySpeaksIt) {
  const Addresses v4 = *Addresses::Create({"192.0.2.1"}, "192.0.2.254");
  EXPECT_FALSE(v4.has_v6());
  EXPECT_EQ(v4.SourceFor(Ip("2001:db8::7")), nullptr);
  EXPECT_FALSE(v4.NextHop(Ip("2001:db8::7")).has_value());
  const Addresses v6 = *Addresses::Create({"2001:db8::1"}, "");
  EXPECT_TRUE(v6.has_v6());
  EXPECT_EQ(v6.SourceFor(Ip("192.0.2.7")), nullptr);
}

TEST(AddressesTest, EachFamilyHasItsGateway) {
  const Addresses ours =
      *Addresses::Create({"192.0.2.1/24", "2001:db8::1/64"}, "2001:db8::fe, 192.0.2.254");
  EXPECT_EQ(ours.NextHop(Ip("198.18.0.7")), Ip("192.0.2.254"));
  EXPECT_EQ(ours.NextHop(Ip("2001:db8:7::7")), Ip("2001:db8::fe"));
  EXPECT_EQ(ours.NextHop(Ip("2001:db8::7")), Ip("2001:db8::7"));
}

TEST(AddressesTest, AGatewayThatCannotBeUsedIsNamed) {
  const std::vector<std::string> both = {"192.0.2.1/24", "2001:db8::1/64"};
  for (const auto& [addresses, gateways, said] :
       {std::tuple{both, "192.0.2.254,192.0.2.253", "both of IPv4"},
        std::tuple{both, "gate", "'gate' is no IP address"},
        std::tuple{both, "192.0.2.254,", "'' is no IP address"},
        std::tuple{std::vector<std::string>{"192.0.2.1"}, "2001:db8::fe", "2001:db8::fe"}}) {
    const absl::Status refused = Addresses::Create(addresses, gateways).status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
    EXPECT_NE(refused.message().find(said), absl::string_view::npos) << refused;
  }
}

TEST(AddressesTest, AHostWithIpv6HasALinkLocalAddressToo) {
  const MacAddress mac({2, 0, 0x5e, 0x10, 0, 1});
  Addresses ours = *Addresses::Create({"192.0.2.1/24", "2001:db8::1/64"}, "2001:db8::fe");
  EXPECT_FALSE(ours.NextHop(Ip("fe80::7")).has_value());
  ours.AddLinkLocal(mac);
  EXPECT_TRUE(ours.IsOurs(Ip("fe80::5eff:fe10:1")));
  EXPECT_EQ(ours.NextHop(Ip("fe80::7")), Ip("fe80::7"));
  EXPECT_EQ(*ours.SourceFor(Ip("fe80::7")), Ip("fe80::5eff:fe10:1"));
  EXPECT_EQ(*ours.SourceFor(Ip("2001:db8:9::7")), Ip("2001:db8::1"));
}

TEST(AddressesTest, OneLinkLocalAddressIsEnoughAndIpv4NeedsNone) {
  const MacAddress mac({2, 0, 0x5e, 0x10, 0, 1});
  Addresses v4 = *Addresses::Create({"192.0.2.1/24"}, "");
  v4.AddLinkLocal(mac);
  EXPECT_EQ(v4.ToString(), "192.0.2.1/24");
  Addresses own = *Addresses::Create({"fe80::1/64"}, "");
  own.AddLinkLocal(mac);
  EXPECT_EQ(own.ToString(), "fe80::1/64");
}

TEST(AddressesTest, RefusesAddressesThatNoHostMayHave) {
  for (const char* text : {"0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"}) {
    const absl::Status refused = Addresses::Create({text}, "").status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
    EXPECT_NE(refused.message().find(text), absl::string_view::npos) << refused;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Addresses::Create({}, "").status()));
}

}  // namespace
}  // namespace devmem
