// SPDX-License-Identifier: Apache-2.0
// RFC 6298 with numbers worked by hand.
#include "netmem/tcp/rto.h"

#include <gtest/gtest.h>

#include <random>

namespace devmem {
namespace {

TEST(RtoTest, StartsAtOneSecondWithoutASample) {
  const RtoEstimator rto;
  EXPECT_FALSE(rto.has_sample());
  EXPECT_EQ(rto.rto(), 1 * kSecond);
}

TEST(RtoTest, TheFirstSampleSetsMeanAndHalfOfItAsVariance) {
  RtoEstimator rto;
  rto.Sample(400 * kMillisecond);
  EXPECT_EQ(rto.srtt(), 400 * kMillisecond);
  EXPECT_EQ(rto.rttvar(), 200 * kMillisecond);
  EXPECT_EQ(rto.rto(), 1200 * kMillisecond);  // 400 + 4 * 200.
}

TEST(RtoTest, LaterSamplesMoveTheVarianceByAQuarterAndTheMeanByAnEighth) {
  RtoEstimator rto;
  rto.Sample(400 * kMillisecond);
  rto.Sample(480 * kMillisecond);
  // The variance uses the old mean: 200 + (80 - 200) / 4 = 170; mean 400 + 80 / 8 = 410.
  EXPECT_EQ(rto.rttvar(), 170 * kMillisecond);
  EXPECT_EQ(rto.srtt(), 410 * kMillisecond);
  EXPECT_EQ(rto.rto(), 1090 * kMillisecond);
}

TEST(RtoTest, LeavesSoMuchBesideASteadyRoundTripTimeAsItsCallerAsksFor) {
  for (const Nanos round_trip : {1 * kMillisecond, 10 * kMillisecond, 900 * kMillisecond}) {
    RtoEstimator rto;
    for (int i = 0; i < 500; ++i) rto.Sample(round_trip, 1, 200 * kMillisecond);
    EXPECT_EQ(rto.rto(), round_trip + 200 * kMillisecond);
  }
}

TEST(RtoTest, NeverFallsBelow200MillisecondsUnlikeTheOneSecondOfTheRfc) {
  RtoEstimator rto;
  for (int i = 0; i < 100; ++i) rto.Sample(50 * kMicrosecond);
  EXPECT_EQ(rto.rto(), kRtoMin);
  EXPECT_EQ(kRtoMin, 200 * kMillisecond);
}

TEST(RtoTest, AddsAtLeastOneClockTickToASteadyRoundTripTime) {
  RtoEstimator rto;
  for (int i = 0; i < 500; ++i) rto.Sample(900 * kMillisecond);
  EXPECT_EQ(rto.rto(), 900 * kMillisecond + kClockTick);
}

TEST(RtoTest, EachBackoffDoublesUntilSixtySeconds) {
  RtoEstimator rto;
  for (Nanos expected : {1, 2, 4, 8, 16, 32, 60, 60, 60}) {
    EXPECT_EQ(rto.rto(), expected * kSecond);
    rto.Backoff();
  }
  for (int i = 0; i < 1000; ++i) rto.Backoff();
  EXPECT_EQ(rto.rto(), 60 * kSecond);
}

TEST(RtoTest, ASampleEndsTheBackoff) {
  RtoEstimator rto;
  rto.Backoff();
  rto.Backoff();
  rto.Sample(100 * kMillisecond);
  EXPECT_EQ(rto.backoff_count(), 0u);
  EXPECT_EQ(rto.rto(), 300 * kMillisecond);
}

TEST(RtoTest, ProgressEndsTheBackoffAndKeepsTheEstimate) {
  RtoEstimator rto;
  rto.Sample(100 * kMillisecond);
  rto.Backoff();
  EXPECT_EQ(rto.rto(), 600 * kMillisecond);
  rto.OnProgress();
  EXPECT_EQ(rto.rto(), 300 * kMillisecond);
}

TEST(RtoTest, ALostSynMakesDataStartWithThreeSecondsUntilTheFirstSample) {
  RtoEstimator rto;
  rto.Backoff();
  rto.OnSynRetransmitted();
  EXPECT_EQ(rto.rto(), 3 * kSecond);
  rto.Sample(100 * kMillisecond);
  rto.OnSynRetransmitted();  // A sample was had: it is worth more.
  EXPECT_EQ(rto.rto(), 300 * kMillisecond);
}

TEST(RtoTest, ManySamplesInOneRoundTripWeighTogetherLikeOne) {
  RtoEstimator once, many;
  once.Sample(100 * kMillisecond);
  many.Sample(100 * kMillisecond);
  once.Sample(180 * kMillisecond);
  for (int i = 0; i < 16; ++i) many.Sample(180 * kMillisecond, 16);
  EXPECT_EQ(once.srtt(), 110 * kMillisecond);
  // 80 ms times 1 - (1 - 1/128)^16 is 9.43 ms.
  EXPECT_NEAR(static_cast<double>(many.srtt()), 109.43e6, 0.05e6);
}

TEST(RtoTest, AbsurdSamplesAreBroughtIntoBounds) {
  RtoEstimator rto;
  rto.Sample(-5);
  EXPECT_EQ(rto.srtt(), 1);
  EXPECT_TRUE(rto.has_sample());
  rto.Sample(kNever, 0);
  EXPECT_LE(rto.srtt(), kRttMax);
  EXPECT_LE(rto.rto(), kRtoMax);
}

TEST(RtoTest, StaysInBoundsForAnySequenceOfSamples) {
  std::mt19937_64 random(6298);
  RtoEstimator rto;
  for (int i = 0; i < 100000; ++i) {
    rto.Sample(static_cast<Nanos>(random() % uint64_t{100 * kSecond}),
               static_cast<uint32_t>(random() % 64));
    if (random() % 8 == 0) rto.Backoff();
    ASSERT_GE(rto.rto(), kRtoMin);
    ASSERT_LE(rto.rto(), kRtoMax);
    ASSERT_GT(rto.srtt(), 0);
    ASSERT_GE(rto.rttvar(), 0);
  }
}

}  // namespace
}  // namespace devmem
