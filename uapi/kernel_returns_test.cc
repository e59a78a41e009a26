// SPDX-License-Identifier: Apache-2.0
//
// Giving token ids back: merging, the kernel's bounds on a call, and calls that free less than they
// name.

#include "uapi/kernel_returns.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "selftests/testing/fake_kernel.h"

namespace devmem {
namespace {

using Runs = std::vector<std::pair<uint32_t, uint32_t>>;

constexpr int kSocket = 3;

class KernelReturnsTest : public ::testing::Test {
 protected:
  // Ids from 1 on that the kernel has given out.
  void GiveOut(uint32_t count) {
    for (uint32_t id = 1; id <= count; ++id) kernel_.stream(kSocket).tokens[id] = 0;
  }
  std::vector<Runs> Calls() const {
    std::vector<Runs> calls;
    for (const auto& call : kernel_.dontneeds) {
      calls.emplace_back();
      for (const auto& run : call.runs) calls.back().emplace_back(run.token_start, run.token_count);
    }
    return calls;
  }

  testing::FakeKernel kernel_;
  KernelStats stats_;
  KernelReturns returns_{kSocket, &kernel_, &stats_};
};

TEST_F(KernelReturnsTest, NeighboursOnEitherSideAreOneRun) {
  GiveOut(10);
  returns_.Add(4, 2);
  returns_.Add(6, 1);
  returns_.Add(3, 1);
  returns_.Add(9, 1);
  EXPECT_TRUE(kernel_.dontneeds.empty());
  returns_.Flush();
  EXPECT_EQ(Calls(), (std::vector<Runs>{{{3, 4}, {9, 1}}}));
  EXPECT_EQ(stats_.kernel_tokens_back.value(), 5u);
  EXPECT_TRUE(returns_.empty());
}

TEST_F(KernelReturnsTest, ACallNamesNoMoreThan1024Ids) {
  GiveOut(2500);
  returns_.Add(1, 2500);
  returns_.Flush();
  EXPECT_EQ(Calls(), (std::vector<Runs>{{{1, 1024}}, {{1025, 1024}}, {{2049, 452}}}));
  EXPECT_EQ(kernel_.tokens_out(kSocket), 0u);
}

TEST_F(KernelReturnsTest, ACallHasNoMoreThan128Runs) {
  GiveOut(400);
  for (uint32_t id = 1; id <= 400; id += 2) returns_.Add(id, 1);
  returns_.Flush();
  ASSERT_EQ(kernel_.dontneeds.size(), 2u);
  EXPECT_EQ(kernel_.dontneeds[0].runs.size(), 128u);
  EXPECT_EQ(kernel_.dontneeds[1].runs.size(), 72u);
  EXPECT_EQ(kernel_.tokens_out(kSocket), 200u);
}

TEST_F(KernelReturnsTest, WhatACallLeftIsSentAgain) {
  GiveOut(30);
  kernel_.dontneed_visits_max = 12;
  returns_.Add(1, 10);
  returns_.Add(20, 10);
  returns_.Flush();
  EXPECT_EQ(Calls(), (std::vector<Runs>{{{1, 10}, {20, 10}}, {{22, 8}}}));
  EXPECT_EQ(kernel_.tokens_out(kSocket), 10u);
  EXPECT_EQ(stats_.dontneed_retries.value(), 1u);
  EXPECT_EQ(stats_.dontneed_lost.value(), 0u);
}

TEST_F(KernelReturnsTest, IdsThatTheKernelDoesNotKnowAreCountedAndForgotten) {
  returns_.Add(5, 3);
  returns_.Flush();
  EXPECT_EQ(stats_.dontneed_lost.value(), 3u);
  EXPECT_EQ(kernel_.dontneeds.size(), 1u);
  EXPECT_TRUE(returns_.empty());
}

TEST_F(KernelReturnsTest, WhatTheKernelRefusesOnceGoesWithTheNextCall) {
  GiveOut(300);
  kernel_.dontneed_error = ENOMEM;
  for (uint32_t id = 1; id <= 300; id += 2) returns_.Add(id, 1);
  returns_.Flush();
  EXPECT_FALSE(returns_.empty());
  EXPECT_EQ(kernel_.tokens_out(kSocket), 300u);
  kernel_.dontneed_error = 0;
  returns_.Flush();
  EXPECT_TRUE(returns_.empty());
  EXPECT_EQ(kernel_.tokens_out(kSocket), 150u);
  EXPECT_EQ(stats_.dontneed_lost.value(), 0u);
}

}  // namespace
}  // namespace devmem
