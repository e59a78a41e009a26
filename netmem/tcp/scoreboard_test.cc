// SPDX-License-Identifier: Apache-2.0
// The scoreboard's questions against RFC 6675 section 4, and all of them against a naive model.
// Sequence numbers cross 2^32.

#include "netmem/tcp/scoreboard.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace devmem {
namespace {

constexpr SeqNum kUna{0xfffff000};
constexpr uint32_t kMss = 1000;

SeqNum At(uint32_t offset) { return kUna + offset; }

// The gap as offsets, {0, 0} when there is none.
std::pair<uint32_t, uint32_t> Offsets(const std::optional<SackBlock>& gap) {
  if (!gap.has_value()) return {0, 0};
  return {gap->left.value() - kUna.value(), gap->right.value() - kUna.value()};
}

TEST(ScoreboardTest, RangesMergeWhereTheyTouchOrOverlap) {
  Scoreboard board;
  EXPECT_EQ(board.Add(At(3000), At(4000)), 1000u);
  EXPECT_EQ(board.Add(At(1000), At(2000)), 1000u);
  EXPECT_EQ(board.range_count(), 2u);
  EXPECT_EQ(board.Add(At(1500), At(2500)), 500u);
  EXPECT_EQ(board.Add(At(3000), At(4000)), 0u) << "nothing new";
  EXPECT_EQ(board.Add(At(2500), At(3000)), 500u);
  EXPECT_EQ(board.range_count(), 1u);
  EXPECT_EQ(board.sacked_bytes(), 3000u);
}

TEST(ScoreboardTest, AnAckForgetsWhatLiesBelow) {
  Scoreboard board;
  board.Add(At(1000), At(2000));
  board.Add(At(3000), At(4000));
  board.OnAck(At(3500));
  EXPECT_EQ(board.range_count(), 1u);
  EXPECT_EQ(board.sacked_bytes(), 500u);
  board.OnAck(At(4000));
  EXPECT_TRUE(board.empty());
  EXPECT_EQ(board.sacked_bytes(), 0u);
}

TEST(ScoreboardTest, ThreeRangesOrMoreThanTwoSegmentsBehindItProveALoss) {
  Scoreboard board;
  board.Add(At(1000), At(1001));
  board.Add(At(2000), At(2001));
  EXPECT_FALSE(board.IsLost(At(0), kMss));
  board.Add(At(3000), At(3001));
  EXPECT_TRUE(board.IsLost(At(0), kMss));
  EXPECT_FALSE(board.IsLost(At(1500), kMss)) << "only two lie behind this";
  board.Clear();
  board.Add(At(1000), At(3000));
  EXPECT_FALSE(board.IsLost(At(0), kMss));
  board.Add(At(3000), At(3001));
  EXPECT_TRUE(board.IsLost(At(0), kMss));
}

TEST(ScoreboardTest, ThePipeHasWhatIsNeitherSackedNorLostAndWhatWentAgain) {
  Scoreboard board;
  EXPECT_EQ(board.Pipe(At(0), At(10'000), At(0), kMss), 10'000u);
  board.Add(At(2000), At(3000));
  EXPECT_EQ(board.Pipe(At(0), At(10'000), At(0), kMss), 9000u);
  board.Add(At(4000), At(7000));
  // 0 to 2000 and 3000 to 4000 are lost.
  EXPECT_EQ(board.Pipe(At(0), At(10'000), At(0), kMss), 3000u);
  EXPECT_EQ(board.Pipe(At(0), At(10'000), At(1000), kMss), 4000u);
  EXPECT_EQ(board.Pipe(At(0), At(10'000), At(3500), kMss), 5500u);
}

TEST(ScoreboardTest, GapsAreGivenInOrderAndLostOnesFirst) {
  Scoreboard board;
  board.Add(At(1000), At(2000));
  board.Add(At(3000), At(6000));
  board.Add(At(7000), At(8000));
  EXPECT_EQ(Offsets(board.NextGap(At(0), true, kMss)), std::pair(0u, 1000u));
  EXPECT_EQ(Offsets(board.NextGap(At(500), true, kMss)), std::pair(500u, 1000u));
  EXPECT_EQ(Offsets(board.NextGap(At(1000), true, kMss)), std::pair(2000u, 3000u));
  EXPECT_EQ(Offsets(board.NextGap(At(3000), true, kMss)), std::pair(0u, 0u));
  EXPECT_EQ(Offsets(board.NextGap(At(3000), false, kMss)), std::pair(6000u, 7000u));
  EXPECT_EQ(Offsets(board.NextGap(At(7000), false, kMss)), std::pair(0u, 0u));
}

TEST(ScoreboardTest, TheLastGapIsTheEndOfWhatIsNotSacked) {
  Scoreboard board;
  EXPECT_EQ(Offsets(board.LastGap(At(0), At(9000), kMss)), std::pair(8000u, 9000u));
  board.Add(At(8500), At(9000));
  EXPECT_EQ(Offsets(board.LastGap(At(0), At(9000), kMss)), std::pair(7500u, 8500u));
  board.Add(At(100), At(8300));
  EXPECT_EQ(Offsets(board.LastGap(At(0), At(9000), kMss)), std::pair(8300u, 8500u));
}

TEST(ScoreboardTest, WhatFindsNoPlaceIsNotRemembered) {
  Scoreboard board;
  for (uint32_t i = 0; i < kScoreboardRangesMax; ++i) {
    EXPECT_EQ(board.Add(At(10 * i + 5), At(10 * i + 6)), 1u);
  }
  EXPECT_EQ(board.Add(At(100'000), At(100'001)), 0u);
  EXPECT_EQ(board.Add(At(6), At(15)), 9u) << "joins two, so it needs no place";
  EXPECT_EQ(board.range_count(), kScoreboardRangesMax - 1);
}

// Each answer against one computed byte by byte.
TEST(ScoreboardModelTest, AgreesWithAMapOfBytes) {
  constexpr uint32_t kBytes = 400;
  constexpr uint32_t kSmallMss = 10;
  std::mt19937 random(7);
  const auto below = [&](uint32_t bound) { return static_cast<uint32_t>(random() % bound); };
  for (int run = 0; run < 300; ++run) {
    Scoreboard board;
    std::vector<bool> sacked(kBytes, false);
    uint32_t una = 0;
    for (int step = 0; step < 40; ++step) {
      const uint32_t left = una + 1 + below(kBytes - una - 1);
      const uint32_t right = std::min(kBytes, left + 1 + below(20));
      uint32_t news = 0;
      for (uint32_t i = left; i < right; ++i) {
        news += sacked[i] ? 0u : 1u;
        sacked[i] = true;
      }
      ASSERT_EQ(board.Add(At(left), At(right)), news);
      if (below(8) == 0) {
        una = std::min(una + below(30), kBytes - 2);
        board.OnAck(At(una));
      }
      const uint32_t high = una + below(kBytes - una);
      const auto lost = [&](uint32_t at) {
        uint32_t bytes = 0, ranges = 0;
        for (uint32_t i = at + 1; i < kBytes; ++i) {
          bytes += sacked[i] ? 1u : 0u;
          ranges += sacked[i] && !sacked[i - 1] ? 1u : 0u;
        }
        return ranges >= 3 || bytes > 2 * kSmallMss;
      };
      uint32_t pipe = 0;
      for (uint32_t i = una; i < kBytes; ++i) {
        if (sacked[i]) continue;
        ASSERT_EQ(board.IsLost(At(i), kSmallMss), lost(i));
        pipe += (lost(i) ? 0u : 1u) + (i < high ? 1u : 0u);
      }
      ASSERT_EQ(board.Pipe(At(una), At(kBytes), At(high), kSmallMss), pipe);
    }
  }
}

}  // namespace
}  // namespace devmem
