// SPDX-License-Identifier: Apache-2.0
#include "provider/peer_to_peer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace devmem {
namespace {

PciPlace Place(uint64_t host_bridge, uint16_t vendor, uint16_t device) {
  PciPlace place;
  place.address = "0000:01:00.0";
  place.host_bridge = {host_bridge, vendor, device};
  place.numa_nodes = {0};
  place.package = 0;
  return place;
}

const MachineFacts kXeon = {1, "GenuineIntel", 6};

PeerToPeer Verdict(const PciPlace& a, const PciPlace& b, PciDistance distance,
                   const MachineFacts& machine = kXeon, const PathFacts& path = {}) {
  return DecidePeerToPeer(a, b, distance, machine, path).verdict;
}

TEST(PeerToPeerTest, ARootComplexOnLinuxsListForwards) {
  const PciPlace listed = Place(1, 0x8086, 0x2030);
  const PciPlace other = Place(2, 0x8086, 0x09a2);
  const PciPlace unlisted = Place(3, 0x8086, 0x1234);
  EXPECT_EQ(Verdict(listed, listed, PciDistance::kPhb), PeerToPeer::kYes);
  EXPECT_EQ(Verdict(listed, other, PciDistance::kNode), PeerToPeer::kYes);
  EXPECT_EQ(Verdict(listed, unlisted, PciDistance::kNode), PeerToPeer::kPlatform);
  EXPECT_EQ(Verdict(unlisted, unlisted, PciDistance::kPhb), PeerToPeer::kPlatform);
}

TEST(PeerToPeerTest, SomeRootComplexesForwardOnlyInsideOfOneHostBridge) {
  const PciPlace one = Place(1, 0x8086, 0x2f00);
  const PciPlace other = Place(2, 0x8086, 0x2f01);
  EXPECT_EQ(Verdict(one, one, PciDistance::kPhb), PeerToPeer::kYes);
  EXPECT_EQ(Verdict(one, other, PciDistance::kNode), PeerToPeer::kPlatform);
}

TEST(PeerToPeerTest, ZenForwardsWhateverItsRootComplexIsCalled) {
  const PciPlace place = Place(1, 0x1022, 0x9999);
  EXPECT_EQ(Verdict(place, place, PciDistance::kPhb, {1, "AuthenticAMD", 0x17}), PeerToPeer::kYes);
  EXPECT_EQ(Verdict(place, place, PciDistance::kPhb, {1, "AuthenticAMD", 0x15}),
            PeerToPeer::kPlatform);
  EXPECT_EQ(Verdict(place, place, PciDistance::kPhb, {1, "GenuineIntel", 0x17}),
            PeerToPeer::kPlatform);
}

TEST(PeerToPeerTest, EveryRootComplexOfGoogleForwards) {
  EXPECT_EQ(Verdict(Place(1, 0x1ae0, 0x0001), Place(2, 0x1ae0, 0x0002), PciDistance::kNode),
            PeerToPeer::kYes);
}

TEST(PeerToPeerTest, ASwitchWhosePortsRedirectIsAsGoodAsItsRootComplex) {
  const PathFacts redirected = {{"0000:02:00.0"}, {}, {}};
  const PciPlace listed = Place(1, 0x8086, 0x2030);
  const PciPlace unlisted = Place(1, 0x8086, 0x1234);
  EXPECT_EQ(Verdict(unlisted, unlisted, PciDistance::kPix), PeerToPeer::kYes);
  EXPECT_EQ(Verdict(unlisted, unlisted, PciDistance::kPix, kXeon, redirected),
            PeerToPeer::kPlatform);
  EXPECT_EQ(Verdict(listed, listed, PciDistance::kPxb, kXeon, redirected), PeerToPeer::kYes);
  const PeerToPeerAnswer answer =
      DecidePeerToPeer(listed, listed, PciDistance::kPix, kXeon, redirected);
  EXPECT_NE(answer.reason.find("ACS at 0000:02:00.0"), std::string::npos) << answer.reason;
}

TEST(PeerToPeerTest, SocketsAreApartAndNodesOfAPackageAreNot) {
  PciPlace near = Place(1, 0x8086, 0x2030);
  PciPlace far = Place(2, 0x8086, 0x2030);
  far.package = 1;
  EXPECT_EQ(Verdict(near, far, PciDistance::kSys), PeerToPeer::kNo);
  far.package = 0;
  EXPECT_EQ(Verdict(near, far, PciDistance::kSys), PeerToPeer::kYes);
  near.package = std::nullopt;
  far.package = std::nullopt;
  EXPECT_EQ(Verdict(near, far, PciDistance::kSys), PeerToPeer::kNo);
}

TEST(PeerToPeerTest, WhatWasSeenOnTheWayIsNoted) {
  const PathFacts path = {{}, {"0000:02:00.0", "0000:02:01.0"}, {"an IOMMU translates"}};
  const PciPlace place = Place(1, 0x8086, 0x2030);
  const PeerToPeerAnswer answer = DecidePeerToPeer(place, place, PciDistance::kPix, kXeon, path);
  ASSERT_EQ(answer.notes.size(), 2u);
  EXPECT_EQ(answer.notes[0], "ACS of 0000:02:00.0, 0000:02:01.0 cannot be read: ask as root");
  EXPECT_EQ(answer.notes[1], "an IOMMU translates");
}

}  // namespace
}  // namespace devmem
