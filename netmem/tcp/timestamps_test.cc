// SPDX-License-Identifier: Apache-2.0
// RFC 7323 sections 4 and 5, with clocks and sequence numbers that turn over.
#include "netmem/tcp/timestamps.h"

#include <gtest/gtest.h>

namespace devmem {
namespace {

constexpr Nanos kDay = 24 * 3600 * kSecond;
constexpr SeqNum kSeq{0xfffffff0};

TimestampState Enabled(uint32_t tsval, Nanos now) {
  TimestampState state;
  state.Enable(tsval, now);
  return state;
}

TEST(TimestampsTest, WithoutTheOptionNothingIsRejected) {
  EXPECT_EQ(TimestampState().CheckPaws(5, 0), PawsVerdict::kAccept);
}

TEST(TimestampsTest, AnOlderTimestampIsRejectedAndAnEqualOneIsNot) {
  const TimestampState state = Enabled(1000, 0);
  EXPECT_EQ(state.CheckPaws(999, kSecond), PawsVerdict::kReject);
  EXPECT_EQ(state.CheckPaws(1000, kSecond), PawsVerdict::kAccept);
  EXPECT_EQ(state.CheckPaws(1001, kSecond), PawsVerdict::kAccept);
}

TEST(TimestampsTest, OlderAndNewerAreModular) {
  const TimestampState state = Enabled(0xfffffffe, 0);
  EXPECT_EQ(state.CheckPaws(3, kSecond), PawsVerdict::kAccept);
  EXPECT_EQ(state.CheckPaws(0xfffffffd, kSecond), PawsVerdict::kReject);
  EXPECT_EQ(state.CheckPaws(0x7ffffffd, kSecond), PawsVerdict::kAccept);
  EXPECT_EQ(state.CheckPaws(0x7fffffff, kSecond), PawsVerdict::kReject);
}

TEST(TimestampsTest, AfterTwentyFourIdleDaysAnyTimestampIsTakenAndRemembered) {
  TimestampState state = Enabled(1000, 0);
  EXPECT_EQ(state.CheckPaws(10, 24 * kDay), PawsVerdict::kReject);
  EXPECT_EQ(state.CheckPaws(10, 24 * kDay + 1), PawsVerdict::kAccept);
  state.Update(10, kSeq, kSeq, 24 * kDay + 1);
  EXPECT_EQ(state.ts_recent, 10u);
  EXPECT_EQ(state.CheckPaws(9, 24 * kDay + 2), PawsVerdict::kReject);
}

TEST(TimestampsTest, ASegmentAtTheLastAcknowledgmentIsRemembered) {
  TimestampState state = Enabled(1000, 0);
  state.Update(1005, kSeq, kSeq, 7 * kSecond);
  EXPECT_EQ(state.ts_recent, 1005u);
  EXPECT_EQ(state.ts_recent_at, 7 * kSecond);
}

TEST(TimestampsTest, ASegmentBehindAHoleIsNotRemembered) {
  // So a delayed ACK echoes the earliest of the segments that it acknowledges (section 4.3).
  TimestampState state = Enabled(1000, 0);
  state.Update(1005, kSeq + 32, kSeq, kSecond);  // kSeq + 32 lies beyond the turn.
  EXPECT_EQ(state.ts_recent, 1000u);
  state.Update(1003, kSeq - 1, kSeq, kSecond);
  EXPECT_EQ(state.ts_recent, 1003u);
}

TEST(TimestampsTest, AnOlderTimestampIsNeverRemembered) {
  TimestampState state = Enabled(1000, 0);
  state.Update(990, kSeq, kSeq, kSecond);
  EXPECT_EQ(state.ts_recent, 1000u);
  EXPECT_EQ(state.ts_recent_at, 0);
}

TEST(TimestampsTest, OurClockTicksEachMillisecondFromItsOffset) {
  TimestampState state;
  state.offset = 0xffffffff;
  EXPECT_EQ(state.TsValue(0), 0xffffffffu);
  EXPECT_EQ(state.TsValue(kMillisecond - 1), 0xffffffffu);
  EXPECT_EQ(state.TsValue(kMillisecond), 0u);
  EXPECT_EQ(state.TsValue(kSecond), 999u);
}

TEST(TimestampsTest, AnEchoTellsTheRoundTripAcrossTheTurnOfTheClock) {
  TimestampState state;
  state.offset = 0xfffffff0;
  const uint32_t sent = state.TsValue(3 * kMillisecond);
  EXPECT_EQ(state.RttFromEcho(sent, 45 * kMillisecond), 42 * kMillisecond);
}

TEST(TimestampsTest, AnEchoWithinTheSameTickCountsAsOneTick) {
  const TimestampState state;
  EXPECT_EQ(state.RttFromEcho(state.TsValue(kSecond), kSecond + 10), kClockTick);
}

TEST(TimestampsTest, AnEchoOfTheFutureOrOfLongAgoTellsNothing) {
  const TimestampState state;
  const Nanos now = kDay;
  EXPECT_EQ(state.RttFromEcho(state.TsValue(now) + 1, now), std::nullopt);
  EXPECT_EQ(state.RttFromEcho(state.TsValue(now - kRttMax), now), kRttMax);
  EXPECT_EQ(state.RttFromEcho(state.TsValue(now - kRttMax) - 1, now), std::nullopt);
}

}  // namespace
}  // namespace devmem
