// SPDX-License-Identifier: Apache-2.0
// Tests of sequence arithmetic around the point where the numbers wrap.
#include "netmem/wire/seq_num.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace devmem {
namespace {

constexpr SeqNum kBeforeWrap(0xfffffff0);
constexpr SeqNum kAfterWrap(0x10);

static_assert(kBeforeWrap + 0x20 == kAfterWrap);
static_assert(kAfterWrap - 0x20u == kBeforeWrap);
static_assert(kBeforeWrap < kAfterWrap);

TEST(SeqNumTest, AdditionAndSubtractionWrap) {
  EXPECT_EQ((SeqNum(0xffffffff) + 1).value(), 0u);
  EXPECT_EQ((SeqNum(0) - 1u).value(), 0xffffffffu);
  SeqNum seq(0xfffffffe);
  seq += 4;
  EXPECT_EQ(seq, SeqNum(2));
  seq -= 4;
  EXPECT_EQ(seq, SeqNum(0xfffffffe));
  EXPECT_EQ(++seq, SeqNum(0xffffffff));
  EXPECT_EQ(++seq, SeqNum(0));
}

TEST(SeqNumTest, TheDistanceIsSignedAndCrossesTheWrap) {
  EXPECT_EQ(kAfterWrap - kBeforeWrap, 0x20);
  EXPECT_EQ(kBeforeWrap - kAfterWrap, -0x20);
  EXPECT_EQ(Distance(kBeforeWrap, kAfterWrap), 0x20);
  EXPECT_EQ(Distance(kAfterWrap, kAfterWrap), 0);
}

TEST(SeqNumTest, TheOrderFollowsTheCircleAcrossTheWrap) {
  EXPECT_LT(kBeforeWrap, kAfterWrap);
  EXPECT_GT(kAfterWrap, kBeforeWrap);
  EXPECT_LE(kBeforeWrap, kAfterWrap);
  EXPECT_GE(kAfterWrap, kBeforeWrap);
  EXPECT_FALSE(kAfterWrap < kBeforeWrap);
  EXPECT_FALSE(kAfterWrap <= kBeforeWrap);
}

TEST(SeqNumTest, EqualNumbersAreNeitherBeforeNorAfter) {
  EXPECT_FALSE(kAfterWrap < kAfterWrap);
  EXPECT_FALSE(kAfterWrap > kAfterWrap);
  EXPECT_LE(kAfterWrap, kAfterWrap);
  EXPECT_GE(kAfterWrap, kAfterWrap);
}

TEST(SeqNumTest, TheOrderHoldsUpToHalfTheCircleFromEveryStart) {
  constexpr uint32_t kHalf = uint32_t{1} << 31;
  for (const uint32_t start : {0u, 1u, 0x7fffffffu, 0x80000000u, 0xfffffff0u, 0xffffffffu}) {
    for (const uint32_t ahead : {1u, 2u, 1448u, 65535u << 14, kHalf - 1}) {
      EXPECT_LT(SeqNum(start), SeqNum(start) + ahead) << start << " + " << ahead;
      EXPECT_FALSE(SeqNum(start) + ahead < SeqNum(start)) << start << " + " << ahead;
      EXPECT_EQ(Distance(SeqNum(start), SeqNum(start) + ahead), static_cast<int32_t>(ahead));
    }
  }
}

TEST(SeqNumTest, NumbersHalfTheCircleApartAreEachBeforeTheOther) {
  constexpr uint32_t kHalf = uint32_t{1} << 31;
  EXPECT_LT(kBeforeWrap, kBeforeWrap + kHalf);
  EXPECT_LT(kBeforeWrap + kHalf, kBeforeWrap);
  EXPECT_EQ(Distance(kBeforeWrap, kBeforeWrap + kHalf), std::numeric_limits<int32_t>::min());
}

TEST(SeqNumTest, AWindowAcrossTheWrapHoldsItsStartAndNotItsEnd) {
  EXPECT_TRUE(kBeforeWrap.InWindow(kBeforeWrap, 0x20));
  EXPECT_TRUE(SeqNum(0).InWindow(kBeforeWrap, 0x20));
  EXPECT_TRUE(SeqNum(0xf).InWindow(kBeforeWrap, 0x20));
  EXPECT_FALSE(kAfterWrap.InWindow(kBeforeWrap, 0x20));
  EXPECT_FALSE(SeqNum(0xffffffef).InWindow(kBeforeWrap, 0x20));
}

TEST(SeqNumTest, AnEmptyWindowHoldsNothing) { EXPECT_FALSE(kBeforeWrap.InWindow(kBeforeWrap, 0)); }

TEST(SeqNumTest, AWindowLargerThanHalfTheCircleIsExact) {
  constexpr uint32_t kSize = 0xf0000000;
  EXPECT_TRUE((kBeforeWrap + (kSize - 1)).InWindow(kBeforeWrap, kSize));
  EXPECT_FALSE((kBeforeWrap + kSize).InWindow(kBeforeWrap, kSize));
}

}  // namespace
}  // namespace devmem
