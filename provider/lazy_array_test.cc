// SPDX-License-Identifier: Apache-2.0
//
// Arrays of zeroes that cost memory only where they are touched.

#include "provider/lazy_array.h"

#include <gtest/gtest.h>

#include <utility>

namespace devmem {
namespace {

TEST(LazyArrayTest, ElementsStartAsZeroAndKeepWhatIsStored) {
  LazyArray<uint32_t> array(5000);
  ASSERT_TRUE(array.ok());
  EXPECT_EQ(array.size(), 5000u);
  EXPECT_EQ(array[0], 0u);
  EXPECT_EQ(array[4999], 0u);
  array[4999] = 7;
  EXPECT_EQ(array[4999], 7u);
}

TEST(LazyArrayTest, AnArrayOfManyGigabytesIsFreeUntilTouched) {
  LazyArray<uint64_t> array(size_t{1} << 33);
  ASSERT_TRUE(array.ok());
  array[(size_t{1} << 33) - 1] = 1;
  EXPECT_EQ(array[size_t{1} << 32], 0u);
}

TEST(LazyArrayTest, AnEmptyArrayIsOk) {
  EXPECT_TRUE(LazyArray<int>().ok());
  EXPECT_TRUE(LazyArray<int>(0).ok());
}

TEST(LazyArrayTest, AnArrayLargerThanTheAddressSpaceIsNotOk) {
  EXPECT_FALSE(LazyArray<uint64_t>(size_t{1} << 56).ok());
  // The size in bytes would wrap around to 8 here.
  EXPECT_FALSE(LazyArray<uint64_t>((size_t{1} << 61) + 1).ok());
}

TEST(LazyArrayTest, GrowingKeepsWhatIsStoredAndAddsZeroes) {
  LazyArray<uint32_t> array(1000);
  array[999] = 7;
  ASSERT_TRUE(array.Grow(3000000));
  EXPECT_EQ(array.size(), 3000000u);
  EXPECT_EQ(array[999], 7u);
  EXPECT_EQ(array[1000], 0u);
  EXPECT_EQ(array[2999999], 0u);
  EXPECT_TRUE(array.Grow(10));
  EXPECT_EQ(array.size(), 3000000u);
}

TEST(LazyArrayTest, GrowingBeyondTheAddressSpaceIsRefusedAndChangesNothing) {
  LazyArray<uint64_t> array(10);
  array[9] = 7;
  EXPECT_FALSE(array.Grow(size_t{1} << 56));
  EXPECT_FALSE(array.Grow((size_t{1} << 61) + 1));
  EXPECT_EQ(array.size(), 10u);
  EXPECT_EQ(array[9], 7u);
}

TEST(LazyArrayTest, AnEmptyArrayGrowsToo) {
  LazyArray<uint32_t> array;
  EXPECT_FALSE(array.Grow(size_t{1} << 61));
  EXPECT_EQ(array.size(), 0u);
  ASSERT_TRUE(array.Grow(5));
  EXPECT_EQ(array.size(), 5u);
  EXPECT_EQ(array[4], 0u);
}

TEST(LazyArrayTest, MovingHandsTheElementsOver) {
  LazyArray<uint32_t> from(10);
  from[3] = 9;
  LazyArray<uint32_t> to(std::move(from));
  EXPECT_EQ(to[3], 9u);
  LazyArray<uint32_t> assigned(4);
  assigned = std::move(to);
  EXPECT_EQ(assigned.size(), 10u);
  EXPECT_EQ(assigned[3], 9u);
}

}  // namespace
}  // namespace devmem
