// SPDX-License-Identifier: Apache-2.0
// Dynamic right-sizing: how the window that a connection may have follows what its user takes.
#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

constexpr uint32_t kStart = 64u << 10;
constexpr uint32_t kMax = 512u << 10;
constexpr uint32_t kSegment = 1460;

class RightSizingTest : public EngineFixture {
 protected:
  RightSizingTest() {
    HarnessSetup setup;
    setup.device_bytes = 4u << 20;
    setup.tcp.window_bytes_start = kStart;
    setup.tcp.window_bytes_max = kMax;
    Make(setup);
    Established();
  }

  // The peer sends a little more than half of the target, and the user takes it after `passing`.
  void TakeHalfATarget(Nanos passing) {
    const uint32_t segments = c().window_target_bytes / 2 / kSegment + 1;
    for (uint32_t i = 0; i < segments; ++i) Send({.bytes = kSegment});
    h().now += passing;
    EXPECT_EQ(ReadAll(), segments * kSegment);
    h().Flush();
    Forget();
  }
  // What the peer has been told that it may send.
  uint32_t announced() { return c().announced_edge.value() - receiver().rcv_nxt().value(); }
};

TEST_F(RightSizingTest, TheWindowDoublesWhileItsUserKeepsUpAndStopsAtItsMost) {
  EXPECT_EQ(c().window_target_bytes, kStart);
  for (uint32_t target = kStart; target < kMax; target *= 2) {
    EXPECT_EQ(c().window_target_bytes, target);
    TakeHalfATarget(kMillisecond);
  }
  TakeHalfATarget(kMillisecond);
  EXPECT_EQ(c().window_target_bytes, kMax);
  Send({.bytes = kSegment});
  Send({.bytes = kSegment});  // The second of two is acknowledged.
  EXPECT_GT(announced(), kMax - kMax / 8);
}

TEST_F(RightSizingTest, AUserWhoTakesLongerThanARoundKeepsTheWindowThatItHas) {
  TakeHalfATarget(kRightSizingRound + kMillisecond);
  EXPECT_EQ(c().window_target_bytes, kStart);
  TakeHalfATarget(kRightSizingRound);
  EXPECT_EQ(c().window_target_bytes, 2 * kStart);
}

TEST_F(RightSizingTest, AUserWhoTakesFourRoundsLosesHalfOfItButNeverTheStart) {
  TakeHalfATarget(kMillisecond);
  TakeHalfATarget(kMillisecond);
  EXPECT_EQ(c().window_target_bytes, 4 * kStart);
  TakeHalfATarget(4 * kRightSizingRound);
  EXPECT_EQ(c().window_target_bytes, 2 * kStart);
  for (int i = 0; i < 3; ++i) TakeHalfATarget(4 * kRightSizingRound);
  EXPECT_EQ(c().window_target_bytes, kStart);
}

TEST_F(RightSizingTest, WhoReadsNothingIsPromisedNoMoreThanTheStart) {
  // As much as the window allows, and none of it is read.
  uint32_t sent = 0;
  while (announced() >= kSegment && sent < kMax) {
    Send({.bytes = kSegment});
    sent += kSegment;
  }
  EXPECT_EQ(c().window_target_bytes, kStart);
  EXPECT_LE(sent, kMax);
  EXPECT_LE(announced(), kStart);
  EXPECT_EQ(ReadAll(), sent);
}

}  // namespace
}  // namespace devmem::testing
