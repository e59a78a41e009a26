// SPDX-License-Identifier: Apache-2.0
// Tail loss probes (RFC 8985 section 7): when one goes, what it is, and what its answer means.

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

constexpr Nanos kRtt = 50 * kMillisecond;

class LossProbeTest : public EngineFixture {
 protected:
  // Round trips are known to take kRtt, and `segments` full ones have been sent just now.
  void InFlight(size_t segments) {
    Established();
    for (int round = 0; round < 20; ++round) {
      SendBytes(100);
      h().Advance(kRtt);
      Send({});
    }
    TakeSeen();
    SendBytes(segments * 1460);
    ASSERT_EQ(TakeSeen().size(), segments);
    next_ = c().sender.snd_max();
  }
  Nanos two_round_trips() { return 2 * c().sender.rto().srtt(); }
  void ExpectNothingFor(Nanos time) {
    h().Advance(time);
    ExpectNothing();
  }
  uint64_t probes() { return engine().stats().loss_probes; }
  uint32_t cwnd() { return c().sender.congestion().cwnd_bytes(); }

  SeqNum next_;
};

TEST_F(LossProbeTest, TheLastSegmentGoesAgainTwoRoundTripsAfterIt) {
  InFlight(3);
  ExpectNothingFor(two_round_trips());
  h().Advance(kLossProbeSlack + kMillisecond);
  ExpectOnly(IsData(next_ - 1460u, 1460));
  EXPECT_EQ(probes(), 1u);
  EXPECT_EQ(engine().stats().timeouts, 0u);
}

TEST_F(LossProbeTest, OnlyOneGoesAndThenTheTimeoutFromThereOn) {
  InFlight(3);
  h().Advance(two_round_trips() + 5 * kMillisecond);
  TakeSeen();
  ExpectNothingFor(c().sender.rto().rto() - 10 * kMillisecond);
  h().Advance(10 * kMillisecond);
  ExpectOnly(IsData(next_ - 3 * 1460u, 1460));
  EXPECT_EQ(probes(), 1u);
  EXPECT_EQ(engine().stats().timeouts, 1u);
}

TEST_F(LossProbeTest, OneSegmentAloneWaitsForALateAcknowledgmentButNotBeyondTheTimeout) {
  InFlight(1);
  const Nanos rto = c().sender.rto().rto();
  ASSERT_LT(rto, two_round_trips() + kLossProbeAckDelayMax);
  ExpectNothingFor(rto - kMillisecond);
  h().Advance(2 * kMillisecond);
  ExpectOnly(IsData(next_ - 1460u, 1460));
  EXPECT_EQ(probes(), 1u);
}

TEST_F(LossProbeTest, LaterDataPutsItOff) {
  InFlight(2);
  h().Advance(two_round_trips() - kMillisecond);
  SendBytes(1460);
  TakeSeen();
  ExpectNothingFor(10 * kMillisecond);
  // But not beyond the timeout of what went first.
  h().Advance(c().sender.rto().rto() - two_round_trips());
  ExpectOnly(IsData(next_, 1460));
  EXPECT_EQ(probes(), 1u);
}

TEST_F(LossProbeTest, NewDataIsABetterProbeThanOld) {
  InFlight(10);
  SendBytes(100);  // The congestion window is full.
  ExpectNothing();
  h().Advance(two_round_trips() + kLossProbeSlack + kMillisecond);
  ExpectOnly(IsData(next_, 100));
  EXPECT_EQ(engine().stats().retransmits, 0u);
}

TEST_F(LossProbeTest, BehindAShutWindowTheOldOneGoes) {
  peer_window_ = 23;  // 2944 bytes by the scale.
  InFlight(2);
  SendBytes(1460);
  TakeSeen();
  h().Advance(c().sender.rto().rto());
  ExpectOnly(IsData(next_ - 1460u, 1460));
}

TEST_F(LossProbeTest, AFinAloneIsProbedToo) {
  Established();
  Shutdown();
  ExpectOnly(IsFin(kOurIss + 1));
  h().Advance(c().sender.rto().rto() + kMillisecond);
  ExpectOnly(IsFin(kOurIss + 1));
  EXPECT_EQ(probes(), 1u);
  EXPECT_EQ(c().retries, 0);
}

TEST_F(LossProbeTest, NoneGoesToAPeerWithoutSack) {
  peer_syn_.sack_permitted = false;
  InFlight(3);
  ExpectNothingFor(c().sender.rto().rto() - kMillisecond);
  h().Advance(2 * kMillisecond);
  ExpectOnly(IsData(next_ - 3 * 1460u, 1460));
  EXPECT_EQ(probes(), 0u);
}

TEST_F(LossProbeTest, ASackDoesNotStopItButNoneIsBegunBehindOne) {
  InFlight(3);
  TcpOptions options;
  options.sack_block_count = 1;
  options.sack_blocks[0] = {next_ - 1u, next_};
  Send({.ack = next_ - 3 * 1460u, .options = options});
  h().Advance(two_round_trips() + kLossProbeSlack + kMillisecond);
  ExpectOnly(IsData(next_ - 1460u, 1460));
  // Its answer starts the timer anew, and that is for the timeout.
  Send({.ack = next_ - 2 * 1460u, .options = options});
  ExpectNothingFor(c().sender.rto().rto() - 10 * kMillisecond);
  h().Advance(12 * kMillisecond);
  TakeSeen();
  EXPECT_EQ(probes(), 1u);
  EXPECT_EQ(engine().stats().timeouts, 1u);
}

TEST_F(LossProbeTest, ALastSegmentThatIsSackedDoesNotGoAgain) {
  InFlight(3);
  TcpOptions options;
  options.sack_block_count = 1;
  options.sack_blocks[0] = {next_ - 1460u, next_};
  Send({.ack = next_ - 3 * 1460u, .options = options});
  ExpectNothingFor(c().sender.rto().rto() - 10 * kMillisecond);
  h().Advance(12 * kMillisecond);
  TakeSeen();
  EXPECT_EQ(probes(), 0u);
  EXPECT_EQ(engine().stats().timeouts, 1u);
}

TEST_F(LossProbeTest, ALossThatOnlyTheProbeRepairedHalvesTheWindow) {
  InFlight(8);
  const uint32_t before = cwnd();
  h().Advance(two_round_trips() + kLossProbeSlack + kMillisecond);
  TakeSeen();
  Send({.ack = next_});
  EXPECT_GE(cwnd(), before) << "one copy was acknowledged; the other may be on its way";
  SendBytes(8 * 1460);
  TakeSeen();
  Send({.ack = next_ + 8 * 1460u});
  EXPECT_LT(cwnd(), before);
  EXPECT_GE(cwnd(), 4 * 1460u) << "half of the 8 segments that were in flight";
}

TEST_F(LossProbeTest, AProbeThatArrivedTwiceLeavesTheWindowAlone) {
  InFlight(8);
  const uint32_t before = cwnd();
  h().Advance(two_round_trips() + kLossProbeSlack + kMillisecond);
  TakeSeen();
  Send({.ack = next_});
  TcpOptions options;
  options.sack_block_count = 1;
  options.sack_blocks[0] = {next_ - 1460u, next_};
  Send({.ack = next_, .options = options});
  SendBytes(8 * 1460);
  TakeSeen();
  Send({.ack = next_ + 8 * 1460u});
  EXPECT_GE(cwnd(), before);
}

}  // namespace
}  // namespace devmem::testing
