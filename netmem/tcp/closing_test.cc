// SPDX-License-Identifier: Apache-2.0
// The end of a connection: FIN both ways through every closing state, TIME-WAIT and its early
// reuse, and connections whose user has gone.

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

using ClosingTest = EngineFixture;

TEST_F(ClosingTest, ClosingFirstGoesThroughFinWaitToTimeWait) {
  Established();
  Shutdown();
  ExpectOnly(IsFin(kOurIss + 1));
  EXPECT_EQ(state(), TcpState::kFinWait1);
  Send({});
  EXPECT_EQ(state(), TcpState::kFinWait2);
  Send({.flags = kTcpFin | kTcpAck});
  ExpectOnly(IsAck(kPeerIss + 2));
  EXPECT_EQ(state(), TcpState::kTimeWait);
  Detach();
  h().Advance(kTimeWaitPeriod - kMillisecond);
  EXPECT_EQ(engine().connection_count(), 1u);
  h().Advance(2 * kMillisecond);
  EXPECT_EQ(engine().connection_count(), 0u);
  ExpectNothing();
}

TEST_F(ClosingTest, ClosingSecondGoesThroughLastAckToClosed) {
  Established();
  Send({.flags = kTcpFin | kTcpAck});
  ExpectOnly(IsAck(kPeerIss + 2));
  EXPECT_EQ(state(), TcpState::kCloseWait);
  Shutdown();
  ExpectOnly(IsFin(kOurIss + 1));
  EXPECT_EQ(state(), TcpState::kLastAck);
  Send({});
  ExpectNothing();
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(c().close_reason, CloseReason::kNone);
}

TEST_F(ClosingTest, FinsThatCrossLeadThroughClosingToTimeWait) {
  FinWait1();
  Send({.ack = kOurIss + 1, .flags = kTcpFin | kTcpAck});
  ExpectOnly(All({IsAck(kPeerIss + 2), HasSeq(kOurIss + 2)}));
  EXPECT_EQ(state(), TcpState::kClosing);
  Send({});
  EXPECT_EQ(state(), TcpState::kTimeWait);
}

TEST_F(ClosingTest, AFinThatAcknowledgesOursGoesStraightToTimeWait) {
  FinWait1();
  Send({.flags = kTcpFin | kTcpAck});
  ExpectOnly(IsAck(kPeerIss + 2));
  EXPECT_EQ(state(), TcpState::kTimeWait);
}

TEST_F(ClosingTest, DataArrivesAndIsReadWhileOurSideIsClosed) {
  FinWait2();
  Send({.bytes = 1000});
  Send({.bytes = 1000});
  EXPECT_EQ(ReadAll(), 2000u);
  Send({.flags = kTcpFin | kTcpAck, .bytes = 500});
  EXPECT_EQ(state(), TcpState::kTimeWait);
  EXPECT_EQ(ReadAll(), 500u);
}

TEST_F(ClosingTest, DataIsSentWhileThePeersSideIsClosed) {
  CloseWait();
  SendBytes(100);
  ExpectOnly(IsData(kOurIss + 1, 100));
  Send({});
  Shutdown();
  ExpectOnly(IsFin(kOurIss + 101));
}

TEST_F(ClosingTest, QueuedDataGoesBeforeTheFin) {
  Established();
  const std::vector<uint8_t> data(2000, 'x');
  engine().Send(c(), data, h().now);
  Shutdown();
  ExpectOnly({IsData(kOurIss + 1, 1460),
              All({HasFlags(kTcpFin | kTcpAck), HasSeq(kOurIss + 1461), HasPayload(540)})});
  EXPECT_EQ(engine().Send(c(), data, h().now), 0u) << "nothing may follow a FIN";
}

TEST_F(ClosingTest, ALostFinGoesAgain) {
  FinWait1();
  h().Advance(c().sender.rto().rto() + kMillisecond);
  ExpectOnly(IsFin(kOurIss + 1));
  Send({});
  EXPECT_EQ(state(), TcpState::kFinWait2);
  h().Advance(10 * kSecond);
  ExpectNothing();
}

TEST_F(ClosingTest, AFinThatComesAgainIsAcknowledgedAndRestartsTimeWait) {
  TimeWait();
  Detach();
  h().Advance(kTimeWaitPeriod / 2);
  Send({.seq = kPeerIss + 1, .flags = kTcpFin | kTcpAck});
  ExpectOnly(IsAck(kPeerIss + 2));
  h().Advance(kTimeWaitPeriod - kMillisecond);
  EXPECT_EQ(engine().connection_count(), 1u);
  h().Advance(2 * kMillisecond);
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(ClosingTest, AFinThatComesAgainInCloseWaitIsAcknowledged) {
  CloseWait();
  Send({.seq = kPeerIss + 1, .flags = kTcpFin | kTcpAck});
  ExpectOnly(IsAck(kPeerIss + 2));
  EXPECT_EQ(state(), TcpState::kCloseWait);
}

TEST_F(ClosingTest, ANewSynWithAHigherNumberReusesTimeWait) {
  TimeWait();
  Detach();
  Send({.seq = kPeerIss + 2, .flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(IsAck(kPeerIss + 2));  // Not higher: an old duplicate.
  Send({.seq = kPeerIss + 3, .flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(IsSynAck(kPeerIss + 4));
  EXPECT_EQ(engine().connection_count(), 1u);
}

TEST_F(ClosingTest, ANewSynWithANewerTimestampReusesTimeWait) {
  peer_syn_.timestamps = TcpTimestamps{100, 0};
  peer_clock_ = 100;
  TimeWait();
  Detach();
  TcpOptions options = peer_syn_;
  options.timestamps = TcpTimestamps{100, 0};
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = options});
  ExpectOnly(IsAck(kPeerIss + 2));  // As old as the last one, and the number is not higher.
  options.timestamps = TcpTimestamps{101, 0};
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = options});
  ExpectOnly(IsSynAck(kPeerIss + 1));
}

TEST_F(ClosingTest, WithoutAListenerTimeWaitStays) {
  TimeWait();
  ASSERT_TRUE(engine().CloseListener(listener_, h().now).ok());
  Send({.seq = kPeerIss + 3, .flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(IsAck(kPeerIss + 2));
  EXPECT_EQ(state(), TcpState::kTimeWait);
}

TEST_F(ClosingTest, ReuseLeavesTheUsersHandleWithItsData) {
  FinWait2();
  Send({.flags = kTcpFin | kTcpAck, .bytes = 300});
  TakeSeen();
  Send({.seq = kPeerIss + 1000, .flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(IsSynAck(kPeerIss + 1001));
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(ReadAll(), 300u);
}

TEST_F(ClosingTest, TheOldestTimeWaitGivesItsSlotUpWhenNoneIsLeft) {
  HarnessSetup setup;
  setup.tcp.connections_max = 3;
  Make(setup);
  for (uint16_t port = 40000; port < 40003; ++port) {
    peer_port_ = port;
    if (port == 40001) {
      // One comes through FIN-WAIT-2 with its user gone, which is the other way into the list.
      Established();
      Detach();
      TakeSeen();
      Send({});
      Send({.flags = kTcpFin | kTcpAck});
    } else {
      TimeWait();
      Detach();
    }
    h().Advance(kSecond);
  }
  TakeSeen();
  for (uint16_t port = 40003; port < 40006; ++port) {
    peer_port_ = port;
    EXPECT_TRUE(engine().InUse(Flow(static_cast<uint16_t>(port - 3))));
    SynReceived();
    EXPECT_FALSE(engine().InUse(Flow(static_cast<uint16_t>(port - 3))));
    EXPECT_EQ(state(), TcpState::kSynReceived);
    Send({});
  }
  peer_port_ = 40006;
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  ExpectNothing();
  EXPECT_EQ(drops(TcpDrop::kNoSlot), 1u);
}

TEST_F(ClosingTest, ATimeWaitThatItsUserHoldsIsNotRecycled) {
  HarnessSetup setup;
  setup.tcp.connections_max = 1;
  Make(setup);
  TimeWait();
  peer_port_ = 40001;
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  ExpectNothing();
  Detach();
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(IsSynAck(kPeerIss + 1));
}

TEST_F(ClosingTest, LettingGoWithUnreadDataResets) {
  Established();
  Send({.bytes = 10});
  TakeSeen();
  Detach();
  ExpectOnly(IsReset(kOurIss + 1));
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(ClosingTest, LettingGoOfAReadConnectionClosesItInOrder) {
  Established();
  Send({.bytes = 10});
  ReadAll();
  TakeSeen();
  Detach();
  ExpectOnly(IsFin(kOurIss + 1));
  Send({.flags = kTcpFin | kTcpAck});
  ExpectOnly(IsAck(kPeerIss + 12));
  EXPECT_EQ(engine().Find(id_), nullptr);
}

TEST_F(ClosingTest, DataForAConnectionWithoutUserIsReset) {
  Established();
  Detach();
  TakeSeen();
  Send({.bytes = 10});
  ExpectOnly(IsReset(kOurIss + 2));
  EXPECT_EQ(engine().connection_count(), 0u);
  EXPECT_EQ(drops(TcpDrop::kAfterClose), 1u);
}

TEST_F(ClosingTest, FinWait2WithoutUserEndsByItself) {
  FinWait2();
  h().Advance(2 * kFinWait2Max);
  EXPECT_EQ(state(), TcpState::kFinWait2) << "half a connection may live for long";
  Detach();
  h().Advance(kFinWait2Max + kMillisecond);
  EXPECT_EQ(engine().connection_count(), 0u);
  ExpectNothing();
}

TEST_F(ClosingTest, FinWait2AlsoEndsWhenTheUserWentBeforeIt) {
  FinWait1();
  Detach();
  Send({});
  h().Advance(kFinWait2Max + kMillisecond);
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(ClosingTest, ClosingBeforeTheHandshakeNeedsNoSegment) {
  SynSent();
  TakeSeen();
  Shutdown();
  ExpectNothing();
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_FALSE(engine().InUse(Flow()));
}

TEST_F(ClosingTest, TheEndOfAStreamFreesItsPromise) {
  Established();
  Send({.bytes = 10});
  EXPECT_GT(engine().promised_bytes(true), 0u);
  Send({.flags = kTcpFin | kTcpAck});
  EXPECT_EQ(engine().promised_bytes(true), 0u);
}

TEST_F(ClosingTest, AFinIntoAClosedWindowIsTaken) {
  HarnessSetup setup;
  setup.tcp.window_bytes_max = 5840;
  Make(setup);
  Established();
  Send({.bytes = 5840});
  ExpectOnly(All({IsAck(kPeerIss + 5841), HasWindow(0)}));
  Send({.flags = kTcpFin | kTcpAck});
  ExpectOnly(IsAck(kPeerIss + 5842));
  EXPECT_EQ(state(), TcpState::kCloseWait);
  EXPECT_EQ(h().CheckAccount(false), "");
  EXPECT_EQ(ReadAll(), 5840u);
}

}  // namespace
}  // namespace devmem::testing
