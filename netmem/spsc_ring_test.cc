// SPDX-License-Identifier: Apache-2.0
//
// The ring between two threads: bounds and order with one thread, nothing lost or torn with two.

#include "netmem/spsc_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace devmem {
namespace {

TEST(SpscRingTest, ElementsComeOutInTheOrderInWhichTheyWentIn) {
  SpscRing<uint32_t> ring(4);
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.Front(), nullptr);
  for (uint32_t n = 0; n < 3; ++n) ASSERT_TRUE(ring.TryPush(n));
  EXPECT_FALSE(ring.empty());
  for (uint32_t n = 0; n < 3; ++n) {
    ASSERT_NE(ring.Front(), nullptr);
    EXPECT_EQ(*ring.Front(), n);
    ring.Pop();
  }
  EXPECT_EQ(ring.Front(), nullptr);
}

TEST(SpscRingTest, AFullRingRefusesAndOverwritesNothing) {
  SpscRing<uint32_t> ring(4);
  for (uint32_t round = 0; round < 100; ++round) {
    for (uint32_t n = 0; n < 4; ++n) ASSERT_TRUE(ring.TryPush(round + n));
    EXPECT_FALSE(ring.TryPush(99));
    EXPECT_EQ(ring.Reserve(), nullptr);
    for (uint32_t n = 0; n < 4; ++n) {
      EXPECT_EQ(*ring.Front(), round + n);
      ring.Pop();
    }
  }
}

TEST(SpscRingTest, WhatIsReservedIsSeenOnlyOncePushed) {
  SpscRing<uint32_t> ring(2);
  *ring.Reserve() = 7;
  EXPECT_EQ(ring.Front(), nullptr);
  ring.Push();
  ASSERT_NE(ring.Front(), nullptr);
  EXPECT_EQ(*ring.Front(), 7u);
}

TEST(SpscRingTest, CapacityIsRoundedUpToAPowerOfTwo) {
  EXPECT_EQ(SpscRing<int>(1).capacity(), 1u);
  EXPECT_EQ(SpscRing<int>(5).capacity(), 8u);
  SpscRing<int> one(1);
  EXPECT_TRUE(one.TryPush(1));
  EXPECT_FALSE(one.TryPush(2));
}

TEST(SpscRingTest, TwoThreadsPassEveryElementWholeAndInOrder) {
  // Wide enough that a torn element would show.
  using Element = std::array<uint64_t, 6>;
  constexpr uint64_t kCount = 100000;
  SpscRing<Element> ring(64);
  std::thread producer([&ring] {
    for (uint64_t n = 0; n < kCount;) {
      Element element;
      element.fill(n);
      if (ring.TryPush(element)) {
        ++n;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint64_t wrong = 0;
  for (uint64_t n = 0; n < kCount;) {
    const Element* element = ring.Front();
    if (element == nullptr) {
      std::this_thread::yield();
      continue;
    }
    for (const uint64_t word : *element) wrong += word != n;
    ring.Pop();
    ++n;
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_TRUE(ring.empty());
}

}  // namespace
}  // namespace devmem
