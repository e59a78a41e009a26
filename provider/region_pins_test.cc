// SPDX-License-Identifier: Apache-2.0
// Short-term pins of a region: what they keep from moving, for how long a move waits for them, and
// what they do not hold up.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "provider/region_life.h"

namespace devmem {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;

TEST(RegionPinsTest, AMoveIsRefusedWhileSomebodyPinsAndChangesNothingThen) {
  RegionLife life("region 1");
  ASSERT_TRUE(life.TryPin());
  EXPECT_FALSE(life.BeginMove(nanoseconds(0)));
  EXPECT_TRUE(life.TryPin()) << "the move gave up, so pins may be taken again";
  EXPECT_EQ(life.pin_count(), 2u);
  life.Unpin();
  life.Unpin();
  EXPECT_TRUE(life.BeginMove(nanoseconds(0)));
  life.EndMove();
}

TEST(RegionPinsTest, NoPinIsTakenDuringAnyOfTheMovesThatOverlap) {
  RegionLife life("region 1");
  ASSERT_TRUE(life.BeginMove(nanoseconds(0)));
  ASSERT_TRUE(life.BeginMove(nanoseconds(0)));
  EXPECT_FALSE(life.TryPin());
  life.EndMove();
  EXPECT_FALSE(life.TryPin());
  life.EndMove();
  EXPECT_TRUE(life.TryPin());
  life.Unpin();
}

TEST(RegionPinsTest, AMoveThatWaitsGoesOnWhenTheLastPinGoesAndKeepsOthersOut) {
  RegionLife life("region 1");
  ASSERT_TRUE(life.TryPin());
  ASSERT_TRUE(life.TryPin());
  std::atomic<bool> moving{false};
  std::thread mover([&life, &moving] { moving = life.BeginMove(hours(1)); });
  // A pin that is refused says that the move waits by now.
  while (life.TryPin()) {
    life.Unpin();
    std::this_thread::yield();
  }
  EXPECT_FALSE(moving);
  life.Unpin();
  EXPECT_FALSE(life.TryPin()) << "who waits for pins would wait for ever if new ones were taken";
  life.Unpin();
  mover.join();
  EXPECT_TRUE(moving);
  EXPECT_FALSE(life.TryPin());
  life.EndMove();
}

TEST(RegionPinsTest, AMoveWaitsNoLongerThanItsPatience) {
  RegionLife life("region 1");
  ASSERT_TRUE(life.TryPin());
  EXPECT_FALSE(life.BeginMove(nanoseconds(1000)));
  EXPECT_EQ(life.pin_count(), 1u);
  life.Unpin();
}

TEST(RegionPinsTest, ARevokeDoesNotWaitForPinsAndNoneIsTakenAfterIt) {
  RegionLife life("region 1");
  ASSERT_TRUE(life.TryPin());
  life.Revoke("the test wants it");
  EXPECT_EQ(life.phase(), RegionPhase::kRevoked);
  EXPECT_FALSE(life.TryPin());
  life.Unpin();
  EXPECT_EQ(life.pin_count(), 0u);
}

TEST(RegionPinsTest, ARegionThatIsBeingRemovedIsPinnedByNobodyElse) {
  RegionLife life("region 1");
  life.BeginRemoval("the test wants it");
  EXPECT_FALSE(life.TryPin());
}

// The place is a plain variable: ThreadSanitizer reports every pin that overlaps a move.
TEST(RegionPinsTest, PinsAndMovesNeverOverlapWhateverTheThreadsDo) {
  constexpr int kRounds = 3000;
  RegionLife life("region 1");
  int place = 0;
  std::atomic<int> readers{3};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 3; ++reader) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds;) {
        if (!life.TryPin()) {
          std::this_thread::yield();
          continue;
        }
        const int first = place;
        std::this_thread::yield();
        EXPECT_EQ(place, first);
        life.Unpin();
        ++round;
      }
      readers.fetch_sub(1);
    });
  }
  int moves = 0;
  while (readers.load() > 0 || moves == 0) {
    if (!life.BeginMove(std::chrono::milliseconds(1))) continue;
    ++place;
    ++moves;
    life.EndMove();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(life.pin_count(), 0u);
}

}  // namespace
}  // namespace devmem
