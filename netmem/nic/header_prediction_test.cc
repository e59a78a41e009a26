// SPDX-License-Identifier: Apache-2.0
//
// The header prediction as a state machine: when it rises, when it falls, and that a mix of header
// lengths makes it wrong only a bounded number of times.

#include "netmem/nic/header_prediction.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>

namespace devmem {
namespace {

constexpr uint32_t kPlain = 54;         // IPv4, TCP without options.
constexpr uint32_t kTimestamps = 66;    // IPv4 with TCP timestamps.
constexpr uint32_t kTimestampsV6 = 86;  // IPv6 with TCP timestamps.
constexpr uint32_t kPatience = HeaderPrediction::kPatienceFramesMin;

void LearnTimes(HeaderPrediction& prediction, uint32_t header_bytes, uint32_t times) {
  for (uint32_t n = 0; n < times; ++n) prediction.Learn(header_bytes);
}

TEST(HeaderPredictionTest, TheFirstGuessIsTheShortestPossibleHeader) {
  EXPECT_EQ(HeaderPrediction().bytes(), kPlain);
}

TEST(HeaderPredictionTest, TheGuessRisesOnlyAfterEnoughLongerFramesInARow) {
  HeaderPrediction prediction;
  LearnTimes(prediction, kTimestamps, kPatience - 1);
  EXPECT_EQ(prediction.bytes(), kPlain);
  prediction.Learn(kTimestamps);
  EXPECT_EQ(prediction.bytes(), kTimestamps);
}

TEST(HeaderPredictionTest, TheGuessRisesToTheShortestOfTheLongerFrames) {
  HeaderPrediction prediction;
  LearnTimes(prediction, kTimestampsV6, kPatience - 1);
  prediction.Learn(kTimestamps);
  EXPECT_EQ(prediction.bytes(), kTimestamps);
}

TEST(HeaderPredictionTest, AFrameAsLongAsTheGuessStartsTheCountAgain) {
  HeaderPrediction prediction;
  LearnTimes(prediction, kTimestamps, kPatience - 1);
  prediction.Learn(kPlain);
  LearnTimes(prediction, kTimestamps, kPatience - 1);
  EXPECT_EQ(prediction.bytes(), kPlain);
  prediction.Learn(kTimestamps);
  EXPECT_EQ(prediction.bytes(), kTimestamps);
}

TEST(HeaderPredictionTest, AnEarlierStreakDoesNotHoldTheNextRiseDown) {
  HeaderPrediction prediction;
  prediction.Learn(kTimestamps);
  prediction.Learn(kPlain);
  LearnTimes(prediction, kTimestampsV6, kPatience);
  EXPECT_EQ(prediction.bytes(), kTimestampsV6);
}

TEST(HeaderPredictionTest, AShorterFrameLowersTheGuessAtOnce) {
  HeaderPrediction prediction;
  LearnTimes(prediction, kTimestampsV6, kPatience);
  prediction.Learn(kTimestamps);
  EXPECT_EQ(prediction.bytes(), kTimestamps);
}

TEST(HeaderPredictionTest, AfterAFallTheRiseTakesTwiceAsManyFrames) {
  HeaderPrediction prediction;
  LearnTimes(prediction, kTimestamps, kPatience);
  prediction.Learn(kPlain);
  LearnTimes(prediction, kTimestamps, 2 * kPatience - 1);
  EXPECT_EQ(prediction.bytes(), kPlain);
  prediction.Learn(kTimestamps);
  EXPECT_EQ(prediction.bytes(), kTimestamps);
}

TEST(HeaderPredictionTest, TheGuessNeverLeavesItsBounds) {
  HeaderPrediction prediction;
  LearnTimes(prediction, kHeaderSlotBytes + 100, kPatience);
  EXPECT_EQ(prediction.bytes(), kHeaderSlotBytes);
  prediction.Learn(14);
  EXPECT_EQ(prediction.bytes(), HeaderPrediction::kHeaderBytesMin);
}

// A peer that alternates as badly as it can: it waits for each rise and then sends one short
// header.
TEST(HeaderPredictionTest, TheWorstMixOfLengthsIsWrongALogarithmicNumberOfTimes) {
  HeaderPrediction prediction;
  constexpr uint32_t kFrames = 1u << 16;
  uint32_t too_long = 0;
  for (uint32_t frame = 0; frame < kFrames; ++frame) {
    const uint32_t header_bytes = prediction.bytes() > kPlain ? kPlain : kTimestamps;
    if (header_bytes < prediction.bytes()) ++too_long;
    prediction.Learn(header_bytes);
  }
  // n falls take 16 + 32 + ... + 16 * 2^(n-1) longer frames and n short ones: 65,532 for 12 of
  // them.
  EXPECT_EQ(too_long, 12u);
}

TEST(HeaderPredictionTest, RandomMixesKeepTheGuessAtOrBelowTheRecentShortest) {
  std::mt19937 random(20);
  for (int round = 0; round < 100; ++round) {
    HeaderPrediction prediction;
    for (int frame = 0; frame < 1000; ++frame) {
      const uint32_t header_bytes = kPlain + 4 * static_cast<uint32_t>(random() % 11);
      prediction.Learn(header_bytes);
      EXPECT_LE(prediction.bytes(), header_bytes);
      EXPECT_GE(prediction.bytes(), HeaderPrediction::kHeaderBytesMin);
    }
  }
}

}  // namespace
}  // namespace devmem
