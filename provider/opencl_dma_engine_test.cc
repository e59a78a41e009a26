// SPDX-License-Identifier: Apache-2.0
// The DMA engine on a real OpenCL device: what is copied, in which order, and what a revoke stops.
// On PoCL as a rule, whose copies run on threads of their own; skipped without any device.
#include "provider/opencl_dma_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "provider/limits.h"
#include "provider/test_opencl.h"

namespace devmem {
namespace {

constexpr uint64_t kStagingBytes = 64 << 10;
constexpr uint64_t kRegionBytes = 256 << 10;

class OpenClDmaEngineTest : public ::testing::Test {
 protected:
  void SetUp() override { DEVMEM_NEED_OPENCL(); }

  OpenClProvider provider_;
};

TEST_F(OpenClDmaEngineTest, BytesArriveAtUnalignedOffsetsAndTheirNeighboursStay) {
  TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
  const std::vector<uint8_t> bytes = RandomBytes(1000, 1);
  test.Put(4093, bytes);
  std::vector<uint8_t> expected(kRegionBytes);
  std::copy(bytes.begin(), bytes.end(), expected.begin() + 4093);
  EXPECT_EQ(test.Get(0, kRegionBytes), expected);
}

TEST_F(OpenClDmaEngineTest, BatchesAreNumberedFromOneAndCompleteInOrder) {
  TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
  const DmaCopy copy{0, 0, 100};
  for (uint64_t number = 1; number <= 3 * kDmaBatchesMax; ++number) {
    while (test.engine->full()) test.engine->Completed();
    EXPECT_EQ(test.engine->Submit({&copy, 1}), number);
    EXPECT_LE(test.engine->Completed(), number);
  }
  EXPECT_TRUE(test.engine->Fence());
  EXPECT_EQ(test.engine->Completed(), 3 * kDmaBatchesMax);
}

TEST_F(OpenClDmaEngineTest, ABatchOfNothingCompletes) {
  TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
  const DmaCopy nothing{5, 7, 0};
  EXPECT_EQ(test.engine->Submit({}), 1u);
  EXPECT_EQ(test.engine->Submit({&nothing, 1}), 2u);
  EXPECT_TRUE(test.engine->Fence());
  EXPECT_EQ(test.engine->Completed(), 2u);
}

// Many batches on their way at once, over the same bytes: the last one submitted wins, as in a
// model that copies at once.
TEST_F(OpenClDmaEngineTest, OverlappingBatchesEndAsIfOneCameAfterTheOther) {
  TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
  const std::vector<uint8_t> staged = RandomBytes(kStagingBytes, 2);
  test.staging.Fill(0, staged);
  std::vector<uint8_t> model(kRegionBytes);
  std::mt19937_64 random(3);
  const auto below = [&random](uint64_t bound) { return random() % bound; };
  for (int batch = 0; batch < 400; ++batch) {
    std::vector<DmaCopy> copies(1 + below(20));
    for (DmaCopy& copy : copies) {
      copy.bytes = static_cast<uint32_t>(below(5000));
      copy.staging_offset = below(kStagingBytes - copy.bytes);
      copy.region_offset = below(kRegionBytes - copy.bytes);
      std::copy_n(&staged[copy.staging_offset], copy.bytes, &model[copy.region_offset]);
    }
    while (test.engine->full()) test.engine->Completed();
    ASSERT_NE(test.engine->Submit(copies), 0u);
  }
  ASSERT_TRUE(test.engine->Fence());
  EXPECT_EQ(test.Get(0, kRegionBytes), model);
}

TEST_F(OpenClDmaEngineTest, TheLargestBatchArrives) {
  TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
  const std::vector<uint8_t> staged = RandomBytes(kStagingBytes, 4);
  test.staging.Fill(0, staged);
  std::vector<uint8_t> model(kRegionBytes);
  std::vector<DmaCopy> copies(kDmaBatchCopiesMax);
  for (uint32_t i = 0; i < kDmaBatchCopiesMax; ++i) {
    copies[i] = {i * 60, i * 200, 50};
    std::copy_n(&staged[i * 60], 50, &model[i * 200]);
  }
  ASSERT_EQ(test.engine->Submit(copies), 1u);
  ASSERT_TRUE(test.engine->Fence());
  EXPECT_EQ(test.Get(0, kRegionBytes), model);
}

TEST_F(OpenClDmaEngineTest, TwoEnginesOfOneRegionAndOneOfAnotherWorkAtOnce) {
  TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
  TestOpenCl other(&provider_, kRegionBytes, kStagingBytes);
  TestStaging second_staging(kStagingBytes);
  const auto second = test.attachment->CreateEngine(*test.region, second_staging.mapping());
  ASSERT_TRUE(second.ok()) << second.status();
  const std::vector<uint8_t> bytes = RandomBytes(kStagingBytes, 5);
  const std::vector<uint8_t> others = RandomBytes(kStagingBytes, 6);
  test.staging.Fill(0, bytes);
  second_staging.Fill(0, others);
  other.staging.Fill(0, others);
  const DmaCopy low{0, 0, kStagingBytes};
  const DmaCopy high{0, kStagingBytes, kStagingBytes};
  ASSERT_EQ(test.engine->Submit({&low, 1}), 1u);
  ASSERT_EQ((*second)->Submit({&high, 1}), 1u);
  ASSERT_EQ(other.engine->Submit({&low, 1}), 1u);
  EXPECT_TRUE(test.engine->Fence() && (*second)->Fence() && other.engine->Fence());
  EXPECT_EQ(test.Get(0, kStagingBytes), bytes);
  EXPECT_EQ(test.Get(kStagingBytes, kStagingBytes), others);
  EXPECT_EQ(other.Get(0, kStagingBytes), others);
}

TEST_F(OpenClDmaEngineTest, TheEngineKeepsTheMemoryWithoutItsRegion) {
  TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
  test.region.reset();
  const std::vector<uint8_t> bytes = RandomBytes(5000, 7);
  test.Put(1, bytes);
  EXPECT_EQ(test.Get(1, 5000), bytes);
  EXPECT_FALSE(test.engine->lost());
}

TEST_F(OpenClDmaEngineTest, AHaltedEngineTakesNothingAndReadsNothing) {
  TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
  test.engine->Halt();
  test.engine->Halt();
  const DmaCopy copy{0, 0, 100};
  uint8_t byte = 0;
  EXPECT_TRUE(test.engine->lost());
  EXPECT_EQ(test.engine->Submit({&copy, 1}), 0u);
  EXPECT_FALSE(test.engine->ReadBack(0, {&byte, 1}));
  EXPECT_EQ(test.engine->Completed(), 0u);
  EXPECT_TRUE(test.engine->Fence());
}

// The queue's thread copies as fast as it can while another one revokes; from the moment that
// Revoke() has returned, the memory does not change.
TEST_F(OpenClDmaEngineTest, NothingIsWrittenOnceARevokeHasReturned) {
  for (int round = 0; round < 10; ++round) {
    TestOpenCl test(&provider_, kRegionBytes, kStagingBytes);
    const auto& region = dynamic_cast<OpenClRegion&>(*test.region);
    std::atomic<uint64_t> submitted{0};
    std::thread nic([&test, &submitted] {
      for (uint8_t value = 1;; ++value) {
        while (test.engine->full() && !test.engine->lost()) test.engine->Completed();
        if (test.engine->lost()) return;
        const DmaCopy copy{0, 0, kStagingBytes};
        const uint64_t number = test.engine->Submit({&copy, 1});
        if (number == 0) return;
        submitted.store(number, std::memory_order_relaxed);
      }
    });
    test.staging.Fill(0, RandomBytes(kStagingBytes, 8));
    while (submitted.load(std::memory_order_relaxed) < 20) std::this_thread::yield();
    test.region->Revoke("its owner needs it");
    const std::vector<uint8_t> after = test.Peek(region);
    // What a late copy would bring.
    test.staging.Fill(0, std::vector<uint8_t>(kStagingBytes, 0xEE));
    nic.join();
    EXPECT_EQ(test.Peek(region), after);
    EXPECT_TRUE(test.engine->lost());
    EXPECT_FALSE(test.engine->Fence() && test.engine->Completed() < submitted.load());
  }
}

}  // namespace
}  // namespace devmem
