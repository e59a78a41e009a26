// SPDX-License-Identifier: Apache-2.0
//
// What the TAP remembers of the flows that it sent for, under a clock that the test holds.

#include "netmem/nic/tap_flow_history.h"

#include <gtest/gtest.h>

#include <memory>

namespace devmem {
namespace {

FlowKey Flow(uint16_t port) {
  return {.local = IpAddress::FromV4(0xc0000202),
          .remote = IpAddress::FromV4(0xc0000201),
          .local_port = 5201,
          .remote_port = port};
}

class TapFlowHistoryTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kStart = 0xffffff00;  // The clock wraps during each test.
  static constexpr uint32_t kMemory = TapFlowHistory::kMemoryMilliseconds;
  std::unique_ptr<TapFlowHistory> history_ = std::make_unique<TapFlowHistory>();
};

TEST_F(TapFlowHistoryTest, AnEmptyHistoryKnowsNoFlow) {
  for (uint16_t port = 0; port < 1000; ++port) {
    EXPECT_FALSE(history_->SentLately(Flow(port), kStart + port));
  }
  EXPECT_FALSE(history_->SentLately(Flow(1), 0));
}

TEST_F(TapFlowHistoryTest, AFlowIsRememberedForThreeSecondsAfterTheLastFrame) {
  history_->Sent(Flow(1), kStart);
  EXPECT_TRUE(history_->SentLately(Flow(1), kStart));
  EXPECT_TRUE(history_->SentLately(Flow(1), kStart + kMemory - 1));
  EXPECT_FALSE(history_->SentLately(Flow(1), kStart + kMemory));
  history_->Sent(Flow(1), kStart + 1000);
  EXPECT_TRUE(history_->SentLately(Flow(1), kStart + kMemory));
}

TEST_F(TapFlowHistoryTest, FramesInQuickSuccessionCountAsTheFirstOfThem) {
  history_->Sent(Flow(1), kStart);
  history_->Sent(Flow(1), kStart + 99);
  EXPECT_FALSE(history_->SentLately(Flow(1), kStart + kMemory));
  history_->Sent(Flow(1), kStart + 100);
  EXPECT_TRUE(history_->SentLately(Flow(1), kStart + kMemory));
}

TEST_F(TapFlowHistoryTest, OneFlowIsNotTakenForAnother) {
  history_->Sent(Flow(1), kStart);
  for (uint16_t port = 2; port < 10'000; ++port) {
    EXPECT_FALSE(history_->SentLately(Flow(port), kStart));
  }
}

TEST_F(TapFlowHistoryTest, AThousandFlowsAreMostlyRememberedTogether) {
  constexpr uint16_t kFlows = 1000;
  for (uint16_t port = 0; port < kFlows; ++port) history_->Sent(Flow(port), kStart);
  uint32_t known = 0;
  for (uint16_t port = 0; port < kFlows; ++port) known += history_->SentLately(Flow(port), kStart);
  // 1000 flows in 4096 places: about 11 % lose theirs to a later one.
  EXPECT_GT(known, 850u);
}

}  // namespace
}  // namespace devmem
