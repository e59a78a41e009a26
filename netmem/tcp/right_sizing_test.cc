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

// A lost segment keeps the user from everything behind it; the peer must not stand still for that.
TEST_F(RightSizingTest, TheWindowAlsoDoublesWhenHalfOfItIsFullBehindAHole) {
  const SeqNum hole = peer_nxt_;
  peer_nxt_ += kSegment;
  uint32_t ahead = 0;
  for (uint32_t target = kStart; target < kMax; target *= 2) {
    EXPECT_EQ(c().window_target_bytes, target);
    for (; ahead < target / 2; ahead += kSegment) Send({.bytes = kSegment});
  }
  EXPECT_EQ(c().window_target_bytes, kMax);
  EXPECT_GT(announced(), kMax - kMax / 8);
  while (announced() > ahead + 2 * kSegment) {
    Send({.bytes = kSegment});
    ahead += kSegment;
  }
  EXPECT_EQ(c().window_target_bytes, kMax) << "its most";
  EXPECT_EQ(drops(TcpDrop::kMemoryReserve), 0u);
  Send({.seq = hole, .bytes = kSegment});
  EXPECT_EQ(ReadAll(), ahead + kSegment);
}

TEST_F(RightSizingTest, AHoleIsNoReasonWhileTheUserDoesNotRead) {
  while (receiver().in_order().bytes() < kStart / 2 + kSegment) Send({.bytes = kSegment});
  peer_nxt_ += kSegment;
  for (uint32_t ahead = 0; ahead < kStart / 2 - 2 * kSegment; ahead += kSegment) {
    Send({.bytes = kSegment});
  }
  EXPECT_EQ(c().window_target_bytes, kStart);
  ReadAll();
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
