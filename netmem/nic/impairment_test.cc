// SPDX-License-Identifier: Apache-2.0
//
// The decisions of a bad link: rates near what was asked for, order kept or broken as asked for,
// the line's speed, and the same seed giving the same decisions.

#include "netmem/nic/impairment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace devmem {
namespace {

constexpr int kFrames = 100'000;

// How often a decision is made among kFrames frames.
template <typename Decision>
int Count(const ImpairmentConfig& config, Decision decision) {
  Impairment impairment(config, 1, 0);
  int count = 0;
  for (int i = 0; i < kFrames; ++i) count += decision(impairment.Next(i, 1514)) ? 1 : 0;
  return count;
}

TEST(ImpairmentTest, AnIdealLinkDelaysAndDoesNothingElse) {
  Impairment impairment({.delay_ns = 500}, 1, 0);
  for (Nanos now = 0; now < 1000; ++now) {
    const FrameFate fate = impairment.Next(now, 1514);
    ASSERT_EQ(fate.due, now + 500);
    ASSERT_FALSE(fate.lost || fate.duplicated || fate.reordered || fate.corrupted);
  }
}

TEST(ImpairmentTest, EachRateIsNearTheProbabilityAskedFor) {
  EXPECT_NEAR(Count({.loss = 0.05}, [](const FrameFate& fate) { return fate.lost; }), 5000, 300);
  EXPECT_NEAR(Count({.duplication = 0.01}, [](const FrameFate& fate) { return fate.duplicated; }),
              1000, 150);
  EXPECT_NEAR(Count({.corruption = 0.1}, [](const FrameFate& fate) { return fate.corrupted; }),
              10'000, 400);
  EXPECT_NEAR(Count({.reorder = 0.5}, [](const FrameFate& fate) { return fate.reordered; }), 50'000,
              700);
}

TEST(ImpairmentTest, ProbabilityOneAlwaysHappensAndZeroNever) {
  EXPECT_EQ(Count({.loss = 1}, [](const FrameFate& fate) { return fate.lost; }), kFrames);
  EXPECT_EQ(Count({.loss = 0}, [](const FrameFate& fate) { return fate.lost; }), 0);
}

TEST(ImpairmentTest, OneSettingDoesNotShiftTheLuckOfAnother) {
  Impairment plain({.loss = 0.1}, 3, 0);
  Impairment busy({.jitter_ns = 50, .loss = 0.1, .duplication = 0.5, .reorder = 0.3}, 3, 0);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(plain.Next(i, 100).lost, busy.Next(i, 100).lost) << i;
  }
}

TEST(ImpairmentTest, JitterSpreadsArrivalsWithoutChangingTheirOrder) {
  Impairment impairment({.delay_ns = 1000, .jitter_ns = 400}, 1, 0);
  Nanos last = 0;
  Nanos most = 0;
  for (Nanos now = 0; now < 100'000; now += 10) {
    const FrameFate fate = impairment.Next(now, 100);
    ASSERT_GE(fate.due, last);
    ASSERT_GE(fate.due, now + 1000);
    ASSERT_LE(fate.due, now + 1400);
    most = std::max(most, fate.due - now);
    last = fate.due;
  }
  EXPECT_GT(most, 1300);
}

TEST(ImpairmentTest, AReorderedFrameIsOvertakenAndHoldsNobodyBack) {
  Impairment impairment({.delay_ns = 10, .reorder = 0.1, .reorder_delay_ns = 1000}, 1, 0);
  int reordered = 0;
  for (Nanos now = 0; now < 10'000; ++now) {
    const FrameFate fate = impairment.Next(now, 100);
    if (fate.reordered) {
      ++reordered;
      ASSERT_GT(fate.due, now + 10);
      ASSERT_LE(fate.due, now + 1010);
    } else {
      ASSERT_EQ(fate.due, now + 10);
    }
  }
  EXPECT_GT(reordered, 500);
}

TEST(ImpairmentTest, ABandwidthSerialisesFramesBackToBack) {
  // 1 Gbit/s: 1250 bytes take 10 us.
  Impairment impairment({.bandwidth_bits_per_s = 1'000'000'000, .delay_ns = 5}, 1, 0);
  EXPECT_EQ(impairment.Next(0, 1250).due, 10'005);
  EXPECT_EQ(impairment.Next(0, 1250).due, 20'005);
  EXPECT_EQ(impairment.Next(100'000, 125).due, 101'005);
}

TEST(ImpairmentTest, TheSameSeedDecidesTheSameAndStreamsDiffer) {
  const ImpairmentConfig config = {.jitter_ns = 1000, .loss = 0.5};
  Impairment first(config, 9, 0);
  Impairment same(config, 9, 0);
  Impairment other_stream(config, 9, 1);
  Impairment other_seed(config, 10, 0);
  int stream_differs = 0;
  int seed_differs = 0;
  for (int i = 0; i < 1000; ++i) {
    const FrameFate fate = first.Next(i, 100);
    const FrameFate again = same.Next(i, 100);
    ASSERT_EQ(fate.lost, again.lost);
    ASSERT_EQ(fate.due, again.due);
    stream_differs += fate.lost != other_stream.Next(i, 100).lost ? 1 : 0;
    seed_differs += fate.lost != other_seed.Next(i, 100).lost ? 1 : 0;
  }
  EXPECT_NEAR(stream_differs, 500, 100);
  EXPECT_NEAR(seed_differs, 500, 100);
}

TEST(ImpairmentTest, ValuesOutOfRangeAreRefusedByName) {
  const auto message_of = [](const ImpairmentConfig& config) {
    const absl::Status status = Impairment::Check(config);
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    return std::string(status.message());
  };
  EXPECT_NE(message_of({.loss = 1.5}).find("loss probability is 1.5"), std::string::npos);
  EXPECT_NE(message_of({.corruption = -0.1}).find("corruption"), std::string::npos);
  EXPECT_NE(message_of({.delay_ns = -1}).find("delay is -1 ns"), std::string::npos);
  EXPECT_NE(message_of({.reorder_delay_ns = 0}).find("reorder delay"), std::string::npos);
  EXPECT_TRUE(Impairment::Check({}).ok());
}

}  // namespace
}  // namespace devmem
