// SPDX-License-Identifier: Apache-2.0
//
// The consumer of completions against memory in which the test plays the kernel.

#include "uapi/ring/completion_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace devmem {
namespace {

constexpr uint32_t kSlots = 8;

// Writes completions as the kernel does, into a ring of long slots or of short ones.
class FakeKernel {
 public:
  explicit FakeKernel(bool mixed, uint32_t start = 0)
      : mixed_(mixed), head_(start), tail_(start), entries_(kSlots * (mixed ? 16 : 32)) {}

  CompletionRing Consumer() {
    return CompletionRing({.head = &head_,
                           .tail = &tail_,
                           .entries = entries_.data(),
                           .slots = kSlots,
                           .mixed = mixed_});
  }
  uint32_t room() const { return kSlots - (tail_ - head_); }

  void PostLong(uint64_t user_data, int32_t result, uint32_t flags, uint64_t offset) {
    if (mixed_ && tail_ % kSlots == kSlots - 1) PostShort(0, 0, IORING_CQE_F_SKIP);
    Put(user_data, result, mixed_ ? flags | IORING_CQE_F_32 : flags);
    std::memcpy(Slot() + 16, &offset, sizeof(offset));
    tail_ += mixed_ ? 2 : 1;
  }
  void PostShort(uint64_t user_data, int32_t result, uint32_t flags) {
    Put(user_data, result, flags);
    ++tail_;
  }

 private:
  uint8_t* Slot() { return entries_.data() + tail_ % kSlots * (mixed_ ? 16 : 32); }
  void Put(uint64_t user_data, int32_t result, uint32_t flags) {
    std::memcpy(Slot(), &user_data, 8);
    std::memcpy(Slot() + 8, &result, 4);
    std::memcpy(Slot() + 12, &flags, 4);
  }

  const bool mixed_;
  uint32_t head_;
  uint32_t tail_;
  std::vector<uint8_t> entries_;
};

TEST(CompletionRingTest, AnEmptyRingHasNothing) {
  FakeKernel kernel(false);
  CompletionRing ring = kernel.Consumer();
  Completion completion;
  EXPECT_FALSE(ring.Next(&completion));
}

TEST(CompletionRingTest, EveryFieldOfALongEntryArrives) {
  FakeKernel kernel(false);
  CompletionRing ring = kernel.Consumer();
  kernel.PostLong(7, 1448, IORING_CQE_F_MORE, 0x1234000);
  Completion completion;
  ASSERT_TRUE(ring.Next(&completion));
  EXPECT_EQ(completion.user_data, 7u);
  EXPECT_EQ(completion.result, 1448);
  EXPECT_TRUE(completion.more());
  EXPECT_EQ(completion.offset, 0x1234000u);
  EXPECT_FALSE(ring.Next(&completion));
}

TEST(CompletionRingTest, SlotsAreTheKernelsAgainOnlyWhenPublished) {
  FakeKernel kernel(false);
  CompletionRing ring = kernel.Consumer();
  for (uint32_t i = 0; i < kSlots; ++i) kernel.PostLong(i, 1, 0, 0);
  Completion completion;
  for (uint32_t i = 0; i < kSlots; ++i) ASSERT_TRUE(ring.Next(&completion));
  EXPECT_EQ(kernel.room(), 0u);
  ring.Publish();
  EXPECT_EQ(kernel.room(), kSlots);
}

TEST(CompletionRingTest, OrderSurvivesTheWrapOfTheRingAndOfItsCounters) {
  FakeKernel kernel(false, UINT32_MAX - 2);
  CompletionRing ring = kernel.Consumer();
  Completion completion;
  uint64_t taken = 0;
  for (uint64_t posted = 0; posted < 30; posted += 3) {
    for (uint64_t i = 0; i < 3; ++i) kernel.PostLong(posted + i, 1, 0, posted + i);
    while (ring.Next(&completion)) {
      EXPECT_EQ(completion.user_data, taken);
      EXPECT_EQ(completion.offset, taken++);
    }
    ring.Publish();
  }
  EXPECT_EQ(taken, 30u);
}

TEST(CompletionRingTest, AMixedRingHasEntriesOfBothLengthsInOrder) {
  FakeKernel kernel(true);
  CompletionRing ring = kernel.Consumer();
  kernel.PostShort(1, 0, 0);
  kernel.PostLong(2, 4096, IORING_CQE_F_MORE, 0x5000);
  kernel.PostShort(3, -104, 0);
  Completion completion;
  ASSERT_TRUE(ring.Next(&completion));
  EXPECT_EQ(completion.user_data, 1u);
  EXPECT_EQ(completion.offset, 0u);
  ASSERT_TRUE(ring.Next(&completion));
  EXPECT_EQ(completion.user_data, 2u);
  EXPECT_EQ(completion.offset, 0x5000u);
  ASSERT_TRUE(ring.Next(&completion));
  EXPECT_EQ(completion.user_data, 3u);
  EXPECT_EQ(completion.result, -104);
  EXPECT_EQ(completion.offset, 0u);
  EXPECT_FALSE(ring.Next(&completion));
}

TEST(CompletionRingTest, TheFillerAtTheEndOfAMixedRingIsNoCompletion) {
  FakeKernel kernel(true);
  CompletionRing ring = kernel.Consumer();
  Completion completion;
  for (uint32_t i = 0; i < kSlots - 1; ++i) kernel.PostShort(i, 0, 0);
  while (ring.Next(&completion)) {
  }
  ring.Publish();
  kernel.PostLong(99, 1, 0, 0x7000);  // Does not fit in the last slot.
  ASSERT_TRUE(ring.Next(&completion));
  EXPECT_EQ(completion.user_data, 99u);
  EXPECT_EQ(completion.offset, 0x7000u);
  EXPECT_FALSE(ring.Next(&completion));
  ring.Publish();
  EXPECT_EQ(kernel.room(), kSlots);
}

}  // namespace
}  // namespace devmem
