// SPDX-License-Identifier: Apache-2.0
//
// The producer of refill entries against memory in which the test plays the kernel.

#include "uapi/ring/refill_ring.h"

#include <gtest/gtest.h>

#include <array>

namespace devmem {
namespace {

constexpr uint32_t kEntries = 4;
constexpr uint64_t kAreaToken = uint64_t{5} << IORING_ZCRX_AREA_SHIFT;

class RefillRingTest : public testing::Test {
 protected:
  RefillRing Producer() {
    return RefillRing({.head = &head_,
                       .tail = &tail_,
                       .entries = entries_.data(),
                       .entry_count = kEntries,
                       .area_token = kAreaToken});
  }
  // What the kernel sees as the next entry; it takes it.
  abi::io_uring_zcrx_rqe Take() { return entries_[head_++ % kEntries]; }
  bool KernelSeesSome() const { return head_ != tail_; }

  uint32_t head_ = 0;
  uint32_t tail_ = 0;
  std::array<abi::io_uring_zcrx_rqe, kEntries> entries_{};
};

TEST_F(RefillRingTest, AnEntryNamesTheAreaAndTheOffsetAndNothingElse) {
  entries_[0] = {.off = ~0ull, .len = ~0u, .__pad = ~0u};  // What an earlier lap left.
  RefillRing ring = Producer();
  ASSERT_TRUE(ring.Push(0x3000));
  ring.Publish();
  const abi::io_uring_zcrx_rqe entry = Take();
  EXPECT_EQ(entry.off, kAreaToken | 0x3000);
  EXPECT_EQ(entry.__pad, 0u);
}

TEST_F(RefillRingTest, AnAreaNumberInTheOffsetIsReplacedByTheToken) {
  RefillRing ring = Producer();
  ASSERT_TRUE(ring.Push((uint64_t{9} << IORING_ZCRX_AREA_SHIFT) | 0x1000));
  ring.Publish();
  EXPECT_EQ(Take().off, kAreaToken | 0x1000);
}

TEST_F(RefillRingTest, TheKernelSeesNothingBeforeItIsPublished) {
  RefillRing ring = Producer();
  ASSERT_TRUE(ring.Push(0));
  EXPECT_FALSE(KernelSeesSome());
  ring.Publish();
  EXPECT_TRUE(KernelSeesSome());
}

TEST_F(RefillRingTest, AFullRingTakesNoMoreUntilTheKernelHasTakenSome) {
  RefillRing ring = Producer();
  for (uint32_t i = 0; i < kEntries; ++i) ASSERT_TRUE(ring.Push(i * 0x1000));
  EXPECT_FALSE(ring.Push(0x9000));
  ring.Publish();
  EXPECT_FALSE(ring.Push(0x9000));
  EXPECT_EQ(Take().off, kAreaToken);
  EXPECT_TRUE(ring.Push(0x9000));
  EXPECT_FALSE(ring.Push(0xa000));
}

TEST_F(RefillRingTest, OrderSurvivesTheWrapOfTheCounters) {
  head_ = tail_ = UINT32_MAX - 1;
  RefillRing ring = Producer();
  uint64_t taken = 0;
  for (uint64_t pushed = 0; pushed < 12; pushed += 3) {
    for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(ring.Push((pushed + i) * 0x1000));
    ring.Publish();
    while (KernelSeesSome()) EXPECT_EQ(Take().off, kAreaToken | taken++ * 0x1000);
  }
  EXPECT_EQ(taken, 12u);
}

}  // namespace
}  // namespace devmem
