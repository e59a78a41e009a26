// SPDX-License-Identifier: Apache-2.0
// Loss recovery with SACK: RFC 6675 section 5 step by step, and SACK blocks that lie.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "netmem/tcp/sender.h"
#include "selftests/testing/engine_fixture.h"

namespace devmem {
namespace {

constexpr SeqNum kIss{0xffffefff};
constexpr SeqNum kFirst = kIss + 1;
constexpr uint32_t kMss = 1000;

class LossRecoveryTest : public ::testing::Test {
 protected:
  LossRecoveryTest() {
    sender_.Start(kIss, *SendBuffer::Create(64 << 10));
    sender_.set_sack(true);
    sender_.OnSynSent(now_);
    const Segment syn_ack{
        .seq = SeqNum(7), .ack = kFirst, .flags = kTcpSyn | kTcpAck, .window = 60'000};
    sender_.OnHandshake(syn_ack, kMss, 0);
    (void)sender_.OnAck(syn_ack, 0, no_timestamps_, now_);
  }
  void Queue(size_t bytes) { EXPECT_EQ(sender_.Queue(std::vector<uint8_t>(bytes, 'x')), bytes); }
  std::string SendAll() {
    std::string sent;
    while (const std::optional<SendPlan> plan = sender_.NextToSend(kMss)) {
      sent += (sent.empty() ? "" : " ") + Describe(*plan);
      sender_.OnSent(*plan, now_);
    }
    return sent;
  }
  static std::string Describe(const SendPlan& plan) {
    return std::to_string(plan.seq.value() - kFirst.value()) + "+" +
           std::to_string(plan.payload.size()) + (plan.fin ? "F" : "");
  }
  // Blocks are offsets from the first byte.
  AckOutcome Ack(uint32_t offset, std::vector<std::pair<uint32_t, uint32_t>> blocks = {}) {
    Segment segment{.seq = SeqNum(8), .ack = kFirst + offset, .flags = kTcpAck, .window = 60'000};
    for (const auto& [left, right] : blocks) {
      segment.options.sack_blocks[segment.options.sack_block_count++] = {kFirst + left,
                                                                         kFirst + right};
    }
    return sender_.OnAck(segment, 0, no_timestamps_, now_);
  }
  std::string Resend() {
    const std::optional<SendPlan> plan = sender_.FirstUnacked();
    if (!plan.has_value()) return "";
    sender_.OnSent(*plan, now_);
    return Describe(*plan);
  }
  NewReno congestion() const { return sender_.congestion(); }

  Sender sender_;
  Nanos now_ = kSecond;
  TimestampState no_timestamps_;
};

TEST_F(LossRecoveryTest, TheThirdAckWithNewsStartsTheRecovery) {
  Queue(20'000);
  SendAll();
  EXPECT_FALSE(Ack(0, {{1000, 2000}}).retransmit);
  EXPECT_EQ(SendAll(), "10000+1000") << "limited transmit: what is SACKed has left the network";
  EXPECT_FALSE(Ack(0, {{1000, 3000}}).retransmit);
  EXPECT_EQ(SendAll(), "11000+1000");
  EXPECT_TRUE(Ack(0, {{1000, 4000}}).retransmit);
  EXPECT_EQ(Resend(), "0+1000");
  EXPECT_TRUE(congestion().in_recovery());
  EXPECT_EQ(congestion().cwnd_bytes(), 5000u) << "half of ten segments";
}

TEST_F(LossRecoveryTest, BlocksThatProveALossStartItAtOnce) {
  Queue(10'000);
  SendAll();
  EXPECT_TRUE(Ack(0, {{5000, 10'000}}).retransmit);
}

TEST_F(LossRecoveryTest, AcksWithoutNewsAreNoDuplicates) {
  Queue(10'000);
  SendAll();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Ack(0).retransmit);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Ack(0, {{1000, 2000}}).retransmit);
}

TEST_F(LossRecoveryTest, LostGapsGoFirstThenNewDataAndThePipeBoundsBoth) {
  Queue(20'000);
  SendAll();
  // Lost: 0, 2000 and 4000. In the network: 9000 to 10000.
  EXPECT_TRUE(Ack(0, {{5000, 9000}, {3000, 4000}, {1000, 2000}}).retransmit);
  EXPECT_EQ(Resend(), "0+1000");
  EXPECT_EQ(SendAll(), "2000+1000 4000+1000 10000+1000")
      << "cwnd is 5000, and 1000 were in the network";
  EXPECT_EQ(SendAll(), "");
  Ack(2000, {{5000, 9000}, {3000, 4000}});
  EXPECT_EQ(SendAll(), "11000+1000") << "one segment has left";
  EXPECT_EQ(SendAll(), "");
}

TEST_F(LossRecoveryTest, TheAckOfEverythingEndsIt) {
  Queue(10'000);
  SendAll();
  Ack(0, {{1000, 5000}});
  Resend();
  const AckOutcome outcome = Ack(10'000);
  EXPECT_TRUE(outcome.advanced);
  EXPECT_FALSE(outcome.retransmit);
  EXPECT_FALSE(congestion().in_recovery());
}

TEST_F(LossRecoveryTest, AGapThatIsNotProvenLostGoesWhenThereIsNoNewData) {
  Queue(10'000);
  SendAll();
  Ack(0, {{7000, 8000}, {4000, 6000}, {1000, 3000}});
  ASSERT_TRUE(congestion().in_recovery());
  Resend();
  // 3000 is lost. 6000 has one segment behind it, so is not; it goes for want of anything better.
  EXPECT_EQ(SendAll(), "3000+1000") << "cwnd is 5000, and now as much is in the network";
  Ack(3000, {{7000, 8000}, {4000, 6000}});
  EXPECT_EQ(SendAll(), "6000+1000");
}

TEST_F(LossRecoveryTest, OneRescueSegmentProbesTheEnd) {
  Queue(10'000);
  SendAll();
  Ack(0, {{1000, 8000}});
  ASSERT_TRUE(congestion().in_recovery());
  Resend();
  EXPECT_EQ(SendAll(), "9000+1000") << "8000 and 9000 may be lost with nothing behind them";
  EXPECT_EQ(SendAll(), "") << "once in a recovery";
}

TEST_F(LossRecoveryTest, TheFinIsSentAgainWithItsData) {
  Queue(2500);
  sender_.QueueFin();
  EXPECT_EQ(SendAll(), "0+1000 1000+1000 2000+500F");
  sender_.OnTimeout();
  EXPECT_EQ(Resend(), "0+1000");
  Ack(1000, {});
  EXPECT_EQ(SendAll(), "1000+1000 2000+500F");
}

TEST_F(LossRecoveryTest, AfterATimeoutWhatIsSackedSinceIsLeftOut) {
  Queue(10'000);
  SendAll();
  Ack(0, {{5000, 6000}});
  sender_.OnTimeout();
  EXPECT_EQ(Resend(), "0+1000");
  Ack(1000, {{2000, 9000}});
  EXPECT_EQ(SendAll(), "1000+1000 9000+1000");
  EXPECT_FALSE(congestion().in_recovery()) << "what was lost before the timeout is told twice";
}

TEST_F(LossRecoveryTest, ATimeoutForgetsWhatThePeerMayHaveGivenUp) {
  Queue(4000);
  SendAll();
  Ack(0, {{1000, 4000}});
  Resend();
  sender_.OnTimeout();
  EXPECT_EQ(Resend(), "0+1000");
  Ack(1000);
  EXPECT_EQ(SendAll(), "1000+1000 2000+1000");
}

TEST_F(LossRecoveryTest, BlocksThatCannotBeTrueAreCountedAndTeachNothing) {
  Queue(10'000);
  SendAll();
  const std::pair<uint32_t, uint32_t> lies[] = {
      {5000, 4000},       // Ends before it begins.
      {5000, 5000},       // Empty.
      {9000, 10'001},     // Was never sent.
      {0, 3000},          // Holds the byte that the ACK asks for.
      {0x80000000u, 100}  // Half a circle away.
  };
  for (const auto& lie : lies) {
    const AckOutcome outcome = Ack(0, {lie});
    EXPECT_EQ(outcome.bogus_sacks, 1u) << lie.first;
    EXPECT_EQ(outcome.sacked_bytes, 0u) << lie.first;
    EXPECT_FALSE(outcome.retransmit);
  }
  EXPECT_EQ(SendAll(), "");
}

TEST_F(LossRecoveryTest, ADuplicateReportIsNoNews) {
  Queue(10'000);
  SendAll();
  Ack(5000);
  SendAll();
  EXPECT_TRUE(Ack(5000, {{1000, 2000}}).duplicate_reported);
  const AckOutcome inside = Ack(5000, {{7000, 7500}, {7000, 8000}});
  EXPECT_TRUE(inside.duplicate_reported);
  EXPECT_EQ(inside.sacked_bytes, 1000u);
  EXPECT_EQ(inside.bogus_sacks, 0u);
}

TEST_F(LossRecoveryTest, OptimisticSacksOfEverythingSendTheFirstSegmentOnceAndNoMoreThanTheWindow) {
  Queue(60'000);
  SendAll();
  std::string sent;
  for (uint32_t i = 0; i < 50; ++i) {
    const uint32_t end = sender_.snd_max().value() - kFirst.value();
    if (Ack(0, {{1, end}}).retransmit) sent += Resend();
    SendAll();
  }
  EXPECT_EQ(sent, "0+1") << "a whole segment would go over what the peer says it has";
  EXPECT_LE(sender_.snd_max().value() - kFirst.value(), 60'000u) << "the peer's window";
}

}  // namespace

namespace testing {
namespace {

using LossRecoveryEngineTest = EngineFixture;

TEST_F(LossRecoveryEngineTest, LossesOfOneWindowAreRepairedInOneRoundTrip) {
  Established();
  SendBytes(14'600);
  ASSERT_EQ(TakeSeen().size(), 10u);
  const SeqNum first = kOurIss + 1;
  TcpOptions options;
  options.sack_block_count = 2;
  options.sack_blocks[0] = {first + 4 * 1460, first + 10 * 1460};
  options.sack_blocks[1] = {first + 1460, first + 3 * 1460};
  Send({.ack = first, .options = options});
  ExpectOnly({IsData(first, 1460), IsData(first + 3 * 1460, 1460)});
  Send({});
  EXPECT_TRUE(c().sender.all_acked());
  EXPECT_EQ(engine().stats().timeouts, 0u);
}

TEST_F(LossRecoveryEngineTest, LiesOfThePeerAreCounted) {
  Established();
  SendBytes(1000);
  TakeSeen();
  TcpOptions options;
  options.sack_block_count = 2;
  options.sack_blocks[0] = {kOurIss + 500, kOurIss + 5000};
  options.sack_blocks[1] = {kOurIss + 500, kOurIss + 400};
  for (int i = 0; i < 3; ++i) Send({.ack = kOurIss + 1, .options = options});
  ExpectNothing();
  EXPECT_EQ(engine().stats().sack_blocks_ignored, 6u);
}

}  // namespace
}  // namespace testing
}  // namespace devmem
