// SPDX-License-Identifier: Apache-2.0
//
// The neighbour table: what it remembers, forgets, asks for and keeps waiting.

#include "netmem/stack/neighbours.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace devmem {
namespace {

constexpr uint32_t kFirst = 0xc6120000;  // 198.18.0.0/15, for tests.

IpAddress Host(uint32_t number) { return IpAddress::FromV4(kFirst + number); }

MacAddress MacOf(uint32_t number) {
  return MacAddress({2, 0, static_cast<uint8_t>(number >> 24), static_cast<uint8_t>(number >> 16),
                     static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)});
}

std::string Text(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

std::vector<uint8_t> Bytes(const std::string& text) { return {text.begin(), text.end()}; }

TEST(NeighboursTest, RemembersWhatItLearnedLast) {
  Neighbours neighbours;
  EXPECT_EQ(neighbours.Find(Host(1)), nullptr);
  neighbours.Learn(Host(1), MacOf(1));
  neighbours.Learn(Host(2), MacOf(2));
  neighbours.Learn(Host(1), MacOf(7));
  ASSERT_NE(neighbours.Find(Host(1)), nullptr);
  EXPECT_EQ(*neighbours.Find(Host(1)), MacOf(7));
  EXPECT_EQ(*neighbours.Find(Host(2)), MacOf(2));
}

TEST(NeighboursTest, HoldsASmallNetworkWithoutForgetting) {
  Neighbours neighbours;
  for (uint32_t i = 1; i < 255; ++i) neighbours.Learn(Host(i), MacOf(i));
  for (uint32_t i = 1; i < 255; ++i) {
    ASSERT_NE(neighbours.Find(Host(i)), nullptr) << i;
    EXPECT_EQ(*neighbours.Find(Host(i)), MacOf(i));
  }
}

TEST(NeighboursTest, AFloodOfNewNeighboursPushesOutOldOnesButNotOneInUse) {
  Neighbours neighbours;
  neighbours.Learn(Host(1), MacOf(1));
  neighbours.Learn(Host(2), MacOf(2));
  for (uint32_t i = 100; i < 100'000; ++i) {
    neighbours.Learn(Host(i), MacOf(i));
    ASSERT_NE(neighbours.Find(Host(1)), nullptr) << "after " << i;
  }
  EXPECT_EQ(*neighbours.Find(Host(1)), MacOf(1));
  EXPECT_EQ(neighbours.Find(Host(2)), nullptr);
}

// Who remembers an answer asks again when the version has moved, and only then.
TEST(NeighboursTest, TheVersionMovesWithWhateverAnAnswerCouldChange) {
  Neighbours neighbours;
  uint64_t version = neighbours.version();
  const auto moved = [&] { return std::exchange(version, neighbours.version()) != version; };
  neighbours.Learn(Host(1), MacOf(1));
  EXPECT_TRUE(moved()) << "a new neighbour, who may have pushed out another";
  neighbours.Learn(Host(1), MacOf(1));
  (void)neighbours.Find(Host(1));
  (void)neighbours.Hear(Host(9), MacOf(9), true);
  (void)neighbours.Hear(Host(1), MacOf(3), false);
  EXPECT_FALSE(moved()) << "nothing new was said";
  neighbours.Learn(Host(1), MacOf(2));
  EXPECT_TRUE(moved()) << "another station";
  (void)neighbours.Hear(Host(1), MacOf(3), true);
  EXPECT_TRUE(moved()) << "another station, by an answer";
  EXPECT_TRUE(neighbours.MayAsk(Host(5), 0));
  EXPECT_TRUE(moved()) << "an entry for one who is asked for";
  (void)neighbours.Hear(Host(5), MacOf(5), false);
  EXPECT_TRUE(moved()) << "his answer";
}

TEST(NeighboursTest, AsksForANeighbourAtMostOnceASecond) {
  Neighbours neighbours;
  EXPECT_TRUE(neighbours.MayAsk(Host(1), 0));
  EXPECT_FALSE(neighbours.MayAsk(Host(1), kNeighbourAskInterval - 1));
  EXPECT_TRUE(neighbours.MayAsk(Host(2), kNeighbourAskInterval - 1));
  EXPECT_TRUE(neighbours.MayAsk(Host(1), kNeighbourAskInterval));
  EXPECT_EQ(neighbours.Find(Host(1)), nullptr);
}

TEST(NeighboursTest, AnAnswerIsHeardOnlyAboutWhoWasAskedForOrIsKnown) {
  Neighbours neighbours;
  EXPECT_FALSE(neighbours.Hear(Host(1), MacOf(1), true));
  EXPECT_EQ(neighbours.Find(Host(1)), nullptr);
  ASSERT_TRUE(neighbours.MayAsk(Host(1), 0));
  EXPECT_TRUE(neighbours.Hear(Host(1), MacOf(1), false));
  ASSERT_NE(neighbours.Find(Host(1)), nullptr);
  EXPECT_EQ(*neighbours.Find(Host(1)), MacOf(1));
}

TEST(NeighboursTest, OnlyAnAnswerThatOverridesChangesWhatIsKnown) {
  Neighbours neighbours;
  neighbours.Learn(Host(1), MacOf(1));
  EXPECT_FALSE(neighbours.Hear(Host(1), MacOf(2), false));
  EXPECT_EQ(*neighbours.Find(Host(1)), MacOf(1));
  EXPECT_TRUE(neighbours.Hear(Host(1), MacOf(1), false));  // It says what is known.
  EXPECT_TRUE(neighbours.Hear(Host(1), MacOf(2), true));
  EXPECT_EQ(*neighbours.Find(Host(1)), MacOf(2));
}

TEST(NeighboursTest, BothFamiliesShareTheTable) {
  Neighbours neighbours;
  const IpAddress v6 = IpAddress::FromHalves(0x20010db800000000, kFirst + 1);
  neighbours.Learn(Host(1), MacOf(1));
  neighbours.Learn(v6, MacOf(2));
  EXPECT_EQ(*neighbours.Find(Host(1)), MacOf(1));
  EXPECT_EQ(*neighbours.Find(v6), MacOf(2));
}

TEST(NeighboursTest, AParkedFrameComesOutOnceAndOnlyForItsNeighbour) {
  Neighbours neighbours;
  EXPECT_TRUE(neighbours.Park(Host(1), Bytes("one")));
  EXPECT_TRUE(neighbours.Park(Host(2), Bytes("two")));
  EXPECT_EQ(Text(neighbours.TakeParked(Host(2))), "two");
  EXPECT_TRUE(neighbours.TakeParked(Host(2)).empty());
  EXPECT_EQ(Text(neighbours.TakeParked(Host(1))), "one");
  EXPECT_TRUE(neighbours.TakeParked(Host(3)).empty());
}

TEST(NeighboursTest, TheOldestParkedFrameGivesWay) {
  Neighbours neighbours;
  for (uint32_t i = 0; i <= kParkedFrames; ++i) {
    EXPECT_TRUE(neighbours.Park(Host(i), Bytes(std::to_string(i))));
  }
  EXPECT_TRUE(neighbours.TakeParked(Host(0)).empty());
  for (uint32_t i = 1; i <= kParkedFrames; ++i) {
    EXPECT_EQ(Text(neighbours.TakeParked(Host(i))), std::to_string(i));
  }
}

TEST(NeighboursTest, RefusesToParkMoreThanHeaders) {
  Neighbours neighbours;
  const std::vector<uint8_t> frame(kHeaderSlotBytes + 1);
  EXPECT_FALSE(neighbours.Park(Host(1), frame));
  EXPECT_TRUE(neighbours.Park(Host(1), std::span(frame).first(kHeaderSlotBytes)));
}

}  // namespace
}  // namespace devmem
