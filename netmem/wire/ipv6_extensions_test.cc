// SPDX-License-Identifier: Apache-2.0
// Tests of the walk over IPv6 extension headers, with chains that are right and chains that lie.
#include "netmem/wire/ipv6_extensions.h"

#include <gtest/gtest.h>

#include <vector>

#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

constexpr uint8_t kTcp = 6;

TEST(Ipv6ExtensionsTest, WithoutExtensionsTheTransportComesFirst) {
  const Ipv6Walk walk = WalkIpv6Extensions({}, kTcp);
  EXPECT_EQ(walk.result, Ipv6WalkResult::kTransport);
  EXPECT_EQ(walk.protocol, kTcp);
  EXPECT_EQ(walk.bytes, 0u);
}

TEST(Ipv6ExtensionsTest, AChainInTheRecommendedOrderIsWalkedOver) {
  const std::vector<uint8_t> bytes = FromHex(
      "3c 00 01 04 00 00 00 00"                          // Hop-by-hop: PadN.
      "2b 01 1e 02 aa bb 00 00 00 00 01 04 00 00 00 00"  // Destination: unknown but skippable.
      "2c 00 04 00 00 00 00 00"                          // Routing, no segments left.
      "06 00 00 00 12 34 56 78"                          // Fragment header of a whole packet.
      "de ad");
  const Ipv6Walk walk = WalkIpv6Extensions(bytes, kIpv6HopByHop);
  EXPECT_EQ(walk.result, Ipv6WalkResult::kTransport);
  EXPECT_EQ(walk.protocol, kTcp);
  EXPECT_EQ(walk.bytes, bytes.size() - 2);
}

TEST(Ipv6ExtensionsTest, EveryTruncationOfAChainIsSeen) {
  const std::vector<uint8_t> bytes = FromHex(
      "3c 00 01 04 00 00 00 00"
      "2b 01 1e 02 aa bb 00 00 00 00 01 04 00 00 00 00"
      "06 00 04 00 00 00 00 00");
  for (size_t count = 0; count < bytes.size(); ++count) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    EXPECT_EQ(WalkIpv6Extensions(cut, kIpv6HopByHop).result, Ipv6WalkResult::kTruncated) << count;
  }
}

TEST(Ipv6ExtensionsTest, AFragmentEndsTheWalk) {
  for (const char* fragment : {"06 00 00 01 00 00 00 01", "06 00 05 b8 00 00 00 01"}) {
    const Ipv6Walk walk = WalkIpv6Extensions(FromHex(fragment), kIpv6Fragment);
    EXPECT_EQ(walk.result, Ipv6WalkResult::kFragment);
    EXPECT_EQ(walk.protocol, kTcp);
    EXPECT_EQ(walk.bytes, 8u);
  }
}

TEST(Ipv6ExtensionsTest, ReservedBitsDoNotMakeAFragment) {
  const std::vector<uint8_t> bytes = FromHex("06 ff 00 06 00 00 00 01");
  EXPECT_EQ(WalkIpv6Extensions(bytes, kIpv6Fragment).result, Ipv6WalkResult::kTransport);
}

TEST(Ipv6ExtensionsTest, ARouteWithSegmentsLeftIsUnsupported) {
  const std::vector<uint8_t> bytes = FromHex("06 00 00 01 00 00 00 00");
  EXPECT_EQ(WalkIpv6Extensions(bytes, kIpv6Routing).result, Ipv6WalkResult::kUnsupported);
}

TEST(Ipv6ExtensionsTest, HopByHopOptionsBehindAnotherHeaderAreUnsupported) {
  const std::vector<uint8_t> bytes = FromHex("00 00 01 04 00 00 00 00 06 00 01 04 00 00 00 00");
  EXPECT_EQ(WalkIpv6Extensions(bytes, kIpv6DestinationOptions).result,
            Ipv6WalkResult::kUnsupported);
}

TEST(Ipv6ExtensionsTest, AnOptionThatObligesUsToDiscardIsUnsupported) {
  for (const char* options : {"06 00 41 04 00 00 00 00", "06 00 81 04 00 00 00 00",
                              "06 00 c2 04 00 01 00 00" /* The jumbo payload option. */}) {
    EXPECT_EQ(WalkIpv6Extensions(FromHex(options), kIpv6HopByHop).result,
              Ipv6WalkResult::kUnsupported)
        << options;
  }
}

TEST(Ipv6ExtensionsTest, AnOptionThatRunsPastItsHeaderIsUnsupported) {
  for (const char* options : {"06 00 01 05 00 00 00 00", "06 00 00 00 00 00 00 01"}) {
    EXPECT_EQ(WalkIpv6Extensions(FromHex(options), kIpv6DestinationOptions).result,
              Ipv6WalkResult::kUnsupported)
        << options;
  }
}

TEST(Ipv6ExtensionsTest, AChainLongerThanTheLimitIsUnsupported) {
  std::vector<uint8_t> bytes;
  for (size_t count = 1; count <= kIpv6ExtensionsMax + 1; ++count) {
    const std::vector<uint8_t> next = FromHex("3c 00 01 04 00 00 00 00");
    bytes.insert(bytes.end(), next.begin(), next.end());
    std::vector<uint8_t> ended = bytes;
    ended[ended.size() - 8] = kTcp;
    EXPECT_EQ(
        WalkIpv6Extensions(ended, kIpv6DestinationOptions).result,
        count <= kIpv6ExtensionsMax ? Ipv6WalkResult::kTransport : Ipv6WalkResult::kUnsupported)
        << count;
  }
}

TEST(Ipv6ExtensionsTest, TheLongestHeaderIsWalkedOver) {
  std::vector<uint8_t> bytes(2048, 0);  // Padded with Pad1 throughout.
  bytes[0] = kTcp;
  bytes[1] = 0xff;
  const Ipv6Walk walk = WalkIpv6Extensions(bytes, kIpv6HopByHop);
  EXPECT_EQ(walk.result, Ipv6WalkResult::kTransport);
  EXPECT_EQ(walk.bytes, 2048u);
}

}  // namespace
}  // namespace devmem
