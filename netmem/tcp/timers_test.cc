// SPDX-License-Identifier: Apache-2.0
// What happens when time passes: retransmission and its end, probes of a closed window, keepalive,
// and deadlines that move without the wheel being told.

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

class TimersTest : public EngineFixture {
 protected:
  // Waits for the next segment, and says how long that took.
  Nanos UntilNextSegment() {
    const Nanos start = h().now;
    while (h().sink.segments.empty() && h().now < start + 1000 * kSecond) {
      h().Advance(kMillisecond);
    }
    return h().now - start;
  }
  void ExpectAbout(Nanos actual, Nanos expected) {
    EXPECT_GE(actual, expected);
    EXPECT_LE(actual, expected + 2 * kMillisecond);
  }
  // Data is queued and the peer's window is shut; nothing is in flight.
  void WindowShut() {
    Established();
    Send({.window = 0});
    SendBytes(3000);
    TakeSeen();
  }
};

TEST_F(TimersTest, RetransmissionsBackOffByDoubling) {
  peer_syn_.sack_permitted = false;  // Or a loss probe would go first.
  Established();
  SendBytes(100);
  TakeSeen();
  Nanos rto = c().sender.rto().rto();
  EXPECT_EQ(rto, kRtoMin);
  for (int i = 0; i < 6; ++i, rto *= 2) {
    ExpectAbout(UntilNextSegment(), rto);
    ExpectOnly(IsData(kOurIss + 1, 100));
  }
}

TEST_F(TimersTest, AnAckRestartsTheTimerAndTheLastOneStopsIt) {
  peer_syn_.sack_permitted = false;  // Or a loss probe would go first.
  Established();
  SendBytes(2920);
  TakeSeen();
  h().Advance(kRtoMin - 5 * kMillisecond);
  Send({.ack = kOurIss + 1461});
  h().Advance(kRtoMin - 5 * kMillisecond);
  ExpectNothing();
  Send({.ack = kOurIss + 2921});
  h().Advance(10 * kSecond);
  ExpectNothing();
}

TEST_F(TimersTest, APeerThatVanishesIsGivenUpSilently) {
  peer_syn_.sack_permitted = false;  // Or a loss probe would go first.
  Established();
  SendBytes(100);
  TakeSeen();
  h().Advance(3600 * kSecond);
  const std::vector<SeenSegment> seen = TakeSeen();
  EXPECT_EQ(seen.size(), kDataRetriesMax);
  EXPECT_EQ(seen.back().flags & kTcpRst, 0);
  EXPECT_EQ(c().close_reason, CloseReason::kTimedOut);
  EXPECT_EQ(engine().stats().timeouts, kDataRetriesMax + 1);
}

TEST_F(TimersTest, ProgressStartsTheCountOfRetriesAnew) {
  Established();
  for (uint32_t round = 0; round < 4; ++round) {
    SendBytes(100);
    h().Advance(30 * kSecond);
    EXPECT_GT(c().retries, 4);
    Send({});
    EXPECT_EQ(c().retries, 0);
  }
  EXPECT_EQ(state(), TcpState::kEstablished);
}

TEST_F(TimersTest, AClosedWindowIsProbedWithoutData) {
  WindowShut();
  ExpectAbout(UntilNextSegment(), kRtoMin);
  ExpectOnly(All({HasFlags(kTcpAck), HasSeq(kOurIss), HasPayload(0)}));
  ExpectAbout(UntilNextSegment(), 2 * kRtoMin);
}

TEST_F(TimersTest, APeerThatAnswersProbesMayKeepItsWindowShut) {
  peer_syn_.sack_permitted = false;  // Or a loss probe would go first.
  WindowShut();
  for (int i = 0; i < 40; ++i) {
    h().Advance(61 * kSecond);
    Send({.window = 0});
  }
  ASSERT_EQ(state(), TcpState::kEstablished);
  // And what goes out after that has all its retries.
  TakeSeen();
  Send({.window = 8000});
  ExpectOnly({IsData(kOurIss + 1, 1460), IsData(kOurIss + 1461, 1460), IsData(kOurIss + 2921, 80)});
  h().Advance(c().sender.rto().rto() + kMillisecond);
  EXPECT_EQ(state(), TcpState::kEstablished);
  EXPECT_EQ(c().retries, 1);
}

TEST_F(TimersTest, APeerThatTookItsWindowBackMayKeepItShutTooWithDataInFlight) {
  Established();
  SendBytes(1000);
  for (int i = 0; i < 40; ++i) {
    h().Advance(61 * kSecond);
    Send({.ack = kOurIss + 1, .window = 0});
  }
  EXPECT_EQ(state(), TcpState::kEstablished);
  TakeSeen();
  Send({});
  EXPECT_TRUE(c().sender.all_acked());
}

TEST_F(TimersTest, APeerThatAnswersNoProbeIsGivenUp) {
  WindowShut();
  h().Advance(3600 * kSecond);
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(c().close_reason, CloseReason::kTimedOut);
}

TEST_F(TimersTest, WithoutUserAShutWindowIsNotProbedForEver) {
  WindowShut();
  Detach();
  for (int i = 0; i < 40 && engine().connection_count() != 0; ++i) {
    h().Advance(61 * kSecond);
    Send({.window = 0});
  }
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(TimersTest, ASmallWindowIsUsedWhenTheProbeIsDue) {
  Established();
  Send({.window = 1});  // 128 bytes of what was once a megabyte.
  SendBytes(3000);
  ExpectNothing();
  ExpectAbout(UntilNextSegment(), kRtoMin);
  ExpectOnly(IsData(kOurIss + 1, 128));
}

TEST_F(TimersTest, KeepaliveIsOffUnlessAskedFor) {
  Established();
  h().Advance(3 * kKeepaliveIdle);
  ExpectNothing();
}

TEST_F(TimersTest, KeepaliveProbesASilentPeerAndGivesItUp) {
  Established();
  engine().SetKeepalive(c(), kKeepaliveIdle, h().now);
  h().Advance(kKeepaliveIdle - kMillisecond);
  ExpectNothing();
  h().Advance(2 * kMillisecond);
  ExpectOnly(All({HasFlags(kTcpAck), HasSeq(kOurIss), HasPayload(0)}));
  Send({});  // Alive.
  h().Advance(kKeepaliveIdle + kKeepaliveProbesMax * kKeepaliveInterval - kMillisecond);
  EXPECT_EQ(TakeSeen().size(), kKeepaliveProbesMax);
  EXPECT_EQ(state(), TcpState::kEstablished);
  h().Advance(2 * kMillisecond);
  ExpectOnly(IsReset(kOurIss + 1));
  EXPECT_EQ(c().close_reason, CloseReason::kTimedOut);
}

TEST_F(TimersTest, KeepaliveThatWasAskedForDuringTheHandshakeWorksAfterIt) {
  SynSent();
  engine().SetKeepalive(c(), 500 * kMillisecond, h().now);
  h().Advance(800 * kMillisecond);
  Send({.flags = kTcpSyn | kTcpAck, .options = peer_syn_});
  TakeSeen();
  h().Advance(1100 * kMillisecond);
  EXPECT_FALSE(TakeSeen().empty());
}

TEST_F(TimersTest, ADeadlineThatIsPutOffFiresOnceAndLater) {
  Established();
  SendBytes(100);
  const Nanos first = h().now + kRtoMin;
  h().Advance(kRtoMin / 2);
  Send({.ack = kOurIss + 1});  // Nothing new: the timer goes on.
  SendBytes(1460);
  Send({.ack = kOurIss + 101});  // The timer starts anew; the wheel keeps its entry.
  TakeSeen();
  h().RunUntil(first + kMillisecond);
  ExpectNothing();
  h().Advance(kRtoMin / 2);
  ExpectOnly(IsData(kOurIss + 101, 1460));
}

TEST_F(TimersTest, NothingIsDueOnAnIdleConnection) {
  Established();
  h().Advance(10 * kSecond);
  EXPECT_EQ(engine().NextDeadline(), kNever);
}

TEST_F(TimersTest, ThreeDuplicateAcksNeedNoTimer) {
  peer_syn_.sack_permitted = false;
  Established();
  SendBytes(4 * 1460);
  TakeSeen();
  for (int i = 0; i < 3; ++i) Send({.ack = kOurIss + 1});
  const std::vector<SeenSegment> seen = TakeSeen();
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(IsData(kOurIss + 1, 1460)(seen[0]), "");
  EXPECT_EQ(engine().stats().retransmits, 1u);
  EXPECT_EQ(engine().stats().timeouts, 0u);
}

}  // namespace
}  // namespace devmem::testing
