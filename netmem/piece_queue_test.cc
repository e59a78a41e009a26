// SPDX-License-Identifier: Apache-2.0
//
// The array of piece entries and the lists built from it, against std::deque.

#include "netmem/piece_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <random>
#include <set>

namespace devmem {
namespace {

Piece PieceOf(uint32_t index, uint32_t bytes) { return Piece{NetmemRef::Device(index), 0, bytes}; }

TEST(PieceArrayTest, EveryEntryIsHandedOutOnceAndThenThereIsNone) {
  PieceArray array(5);
  ASSERT_TRUE(array.ok());
  std::set<uint32_t> seen;
  for (uint32_t n = 0; n < 5; ++n) {
    const uint32_t index = array.Alloc(PieceOf(n, n + 1));
    ASSERT_LT(index, 5u);
    EXPECT_TRUE(seen.insert(index).second);
    EXPECT_EQ(array[index].piece, PieceOf(n, n + 1));
  }
  EXPECT_EQ(array.in_use(), 5u);
  EXPECT_EQ(array.free_count(), 0u);
  EXPECT_EQ(array.Alloc(PieceOf(9, 1)), kNoPiece);
  EXPECT_EQ(array.in_use(), 5u);
}

TEST(PieceArrayTest, AFreedEntryIsUsedAgainBeforeANewOne) {
  PieceArray array(8);
  const uint32_t a = array.Alloc(PieceOf(1, 1));
  const uint32_t b = array.Alloc(PieceOf(2, 1));
  array.Free(a);
  array.Free(b);
  EXPECT_EQ(array.in_use(), 0u);
  EXPECT_EQ(array.Alloc(PieceOf(3, 1)), b);
  EXPECT_EQ(array.Alloc(PieceOf(4, 1)), a);
  EXPECT_EQ(array[a].piece, PieceOf(4, 1));
  EXPECT_EQ(array[a].next_plus_one, 0u);
}

TEST(PieceArrayTest, AnArrayOfNothingHasNothingToGive) {
  PieceArray array;
  EXPECT_EQ(array.capacity(), 0u);
  EXPECT_EQ(array.Alloc(PieceOf(1, 1)), kNoPiece);
}

TEST(PieceArrayTest, AGrownArrayKeepsItsListsAndHasMoreToGive) {
  PieceArray array(2);
  PieceQueue queue;
  queue.PushBack(array, array.Alloc(PieceOf(1, 10)));
  queue.PushBack(array, array.Alloc(PieceOf(2, 20)));
  ASSERT_EQ(array.Alloc(PieceOf(3, 30)), kNoPiece);
  ASSERT_TRUE(array.Grow(5000));
  EXPECT_EQ(array.capacity(), 5000u);
  EXPECT_EQ(array.free_count(), 4998u);
  queue.PushBack(array, array.Alloc(PieceOf(3, 30)));
  for (uint32_t n = 1; n <= 3; ++n) {
    EXPECT_EQ(array[queue.PopFront(array)].piece, PieceOf(n, 10 * n));
  }
}

TEST(PieceQueueTest, PiecesComeOutInTheOrderInWhichTheyWentIn) {
  PieceArray array(4);
  PieceQueue queue;
  EXPECT_TRUE(queue.empty());
  for (uint32_t n = 0; n < 4; ++n) queue.PushBack(array, array.Alloc(PieceOf(n, 100 + n)));
  EXPECT_EQ(queue.bytes(), 406u);
  EXPECT_EQ(array[queue.front_index()].piece, PieceOf(0, 100));
  EXPECT_EQ(array[queue.back_index()].piece, PieceOf(3, 103));
  for (uint32_t n = 0; n < 4; ++n) {
    const uint32_t index = queue.PopFront(array);
    EXPECT_EQ(array[index].piece, PieceOf(n, 100 + n));
    array.Free(index);
  }
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(PieceQueueTest, GrowingAndShrinkingAPieceKeepsTheSum) {
  PieceArray array(2);
  PieceQueue queue;
  queue.PushBack(array, array.Alloc(PieceOf(0, 1000)));
  array[queue.back_index()].piece.length_bytes += 448;
  queue.OnGrown(448);
  EXPECT_EQ(queue.bytes(), 1448u);
  array[queue.front_index()].piece.length_bytes -= 48;
  queue.OnShrunk(48);
  EXPECT_EQ(queue.bytes(), 1400u);
  array.Free(queue.PopFront(array));
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(PieceQueueTest, TheSumOfAQueueExceeds32Bits) {
  PieceArray array(3);
  PieceQueue queue;
  for (uint32_t n = 0; n < 3; ++n) queue.PushBack(array, array.Alloc(PieceOf(n, UINT32_MAX)));
  EXPECT_EQ(queue.bytes(), 3 * uint64_t{UINT32_MAX});
}

TEST(PieceQueueTest, SplicingMovesEverythingAndLeavesTheOtherEmpty) {
  PieceArray array(8);
  PieceQueue first;
  PieceQueue second;
  first.Splice(array, second);
  EXPECT_TRUE(first.empty());
  second.PushBack(array, array.Alloc(PieceOf(1, 10)));
  first.Splice(array, second);
  EXPECT_TRUE(second.empty());
  EXPECT_EQ(second.bytes(), 0u);
  second.PushBack(array, array.Alloc(PieceOf(2, 20)));
  second.PushBack(array, array.Alloc(PieceOf(3, 30)));
  first.Splice(array, second);
  EXPECT_EQ(first.bytes(), 60u);
  // The list's end is the right one: what is pushed now comes last.
  first.PushBack(array, array.Alloc(PieceOf(4, 40)));
  for (uint32_t n = 1; n <= 4; ++n) {
    EXPECT_EQ(array[first.PopFront(array)].piece, PieceOf(n, 10 * n));
  }
  EXPECT_TRUE(first.empty());
}

TEST(PieceQueueTest, RandomUseOfSeveralQueuesAgreesWithStdDeque) {
  constexpr uint32_t kCapacity = 64;
  PieceArray array(kCapacity);
  std::array<PieceQueue, 4> queues;
  std::array<std::deque<Piece>, 4> models;
  std::mt19937 random(3);
  const auto below = [&random](size_t bound) { return static_cast<uint32_t>(random() % bound); };
  uint32_t held = 0;
  for (uint32_t n = 0; n < 20000; ++n) {
    const uint32_t q = below(4);
    const uint32_t action = below(100);
    if (action < 50) {
      const Piece piece = PieceOf(n, 1 + below(70000));
      const uint32_t index = array.Alloc(piece);
      ASSERT_EQ(index == kNoPiece, held == kCapacity);
      if (index == kNoPiece) continue;
      queues[q].PushBack(array, index);
      models[q].push_back(piece);
      ++held;
    } else if (action < 95 && !models[q].empty()) {
      const uint32_t index = queues[q].PopFront(array);
      ASSERT_EQ(array[index].piece, models[q].front());
      models[q].pop_front();
      array.Free(index);
      --held;
    } else if (action >= 95) {
      const uint32_t other = (q + 1) % 4;
      queues[q].Splice(array, queues[other]);
      models[q].insert(models[q].end(), models[other].begin(), models[other].end());
      models[other].clear();
    }
    uint64_t bytes = 0;
    for (const Piece& piece : models[q]) bytes += piece.length_bytes;
    ASSERT_EQ(queues[q].bytes(), bytes);
    ASSERT_EQ(queues[q].empty(), models[q].empty());
    ASSERT_EQ(array.in_use(), held);
  }
}

}  // namespace
}  // namespace devmem
