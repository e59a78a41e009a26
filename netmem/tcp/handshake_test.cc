// SPDX-License-Identifier: Apache-2.0
// Opening a connection: RFC 9293 section 3.5, the options of RFC 7323 and RFC 2018, and what a
// listener does with more than it has room for.

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

using HandshakeTest = EngineFixture;

// In units of 128 bytes a window of 65,500 is one of 65,536, which a SYN-ACK cannot say.
TEST_F(HandshakeTest, TheFirstWindowIsTheSameInASynAndInAScaledSegment) {
  HarnessSetup setup;
  setup.tcp.mtu_bytes = 65'535;
  Make(setup);
  SynReceived();
  Send({.seq = kPeerIss - 100u, .bytes = 10});  // Not acceptable, so it is answered.
  const std::vector<SeenSegment> seen = TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_LE(uint32_t{seen[0].window} << c().rcv_scale, 65'535u);
  h().Advance(2 * kRtoInitial);
  EXPECT_EQ(h().CheckAccount(false), "") << "the SYN-ACK went again";
}

TEST_F(HandshakeTest, ASynToAListenerIsAnsweredAndItsAckMakesAConnection) {
  Send({.flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(All({IsSynAck(kPeerIss + 1), HasSeq(kOurIss), HasWindow(64240)}));
  EXPECT_FALSE(engine().HasPending(listener_));
  Send({});
  ExpectNothing();
  ASSERT_TRUE(engine().HasPending(listener_));
  id_ = *engine().Accept(listener_);
  EXPECT_EQ(state(), TcpState::kEstablished);
  EXPECT_FALSE(engine().HasPending(listener_));
  EXPECT_EQ(engine().stats().opened_passive, 1u);
}

TEST_F(HandshakeTest, AnActiveOpenSendsASynAndAcknowledgesTheAnswer) {
  SynSent();
  ExpectOnly(All({IsSyn(), HasSeq(kOurIss), HasWindow(64240)}));
  EXPECT_EQ(state(), TcpState::kSynSent);
  Send({.flags = kTcpSyn | kTcpAck, .options = peer_syn_});
  ExpectOnly(All({IsAck(kPeerIss + 1), HasSeq(kOurIss + 1)}));
  EXPECT_EQ(state(), TcpState::kEstablished);
  EXPECT_EQ(engine().stats().opened_active, 1u);
}

TEST_F(HandshakeTest, OurSynOffersWhatTheEngineIsConfiguredFor) {
  SynSent();
  const TcpOptions options = TakeSeen().at(0).options;
  EXPECT_EQ(options.mss, 1460);
  EXPECT_EQ(options.window_scale, 7);
  EXPECT_TRUE(options.sack_permitted);
  EXPECT_TRUE(options.timestamps.has_value());
}

TEST_F(HandshakeTest, AnEngineWithoutTimestampsAndSackOffersNeither) {
  HarnessSetup setup;
  setup.tcp.timestamps = false;
  setup.tcp.sack = false;
  Make(setup);
  SynSent();
  const TcpOptions options = TakeSeen().at(0).options;
  EXPECT_FALSE(options.sack_permitted);
  EXPECT_FALSE(options.timestamps.has_value());
  Send({.flags = kTcpSyn | kTcpAck, .options = peer_syn_});
  EXPECT_FALSE(c().sack_permitted);
}

TEST_F(HandshakeTest, TheAnswerCarriesOnlyOptionsThatTheSynHad) {
  peer_syn_ = {};
  Send({.flags = kTcpSyn, .options = peer_syn_});
  const SeenSegment answer = TakeSeen().at(0);
  EXPECT_EQ(answer.options.mss, 1460);
  EXPECT_FALSE(answer.options.window_scale.has_value());
  EXPECT_FALSE(answer.options.sack_permitted);
  EXPECT_FALSE(answer.options.timestamps.has_value());
}

TEST_F(HandshakeTest, WindowsAreUnscaledUnlessBothSynsCarryTheOption) {
  peer_syn_ = {.mss = 1460};
  Established();
  Send({.bytes = 1000});
  const SeenSegment ack = TakeSeen().at(0);
  EXPECT_EQ(ack.window, receiver().outstanding_bytes());
  EXPECT_EQ(c().sender.peer_window_bytes(), peer_window_);
}

TEST_F(HandshakeTest, WindowsAreScaledBothWaysOnceBothSynsCarryTheOption) {
  Established();
  EXPECT_EQ(c().sender.peer_window_bytes(), uint32_t{peer_window_} << 7);
  Send({.bytes = 1000});
  EXPECT_EQ(uint32_t{TakeSeen().at(0).window} << 7, receiver().outstanding_bytes());
}

TEST_F(HandshakeTest, AScaleAboveFourteenCountsAsFourteen) {
  peer_syn_.window_scale = 15;
  Established();
  EXPECT_EQ(c().snd_scale, 14);
}

TEST_F(HandshakeTest, TimestampsAreEchoedAndCostPayload) {
  peer_syn_.timestamps = TcpTimestamps{77, 0};
  Send({.flags = kTcpSyn, .options = peer_syn_});
  EXPECT_EQ(TakeSeen().at(0).options.timestamps->echo, 77u);
  SynReceived();
  EXPECT_EQ(c().sender.mss_bytes(), 1460u - 12u);
}

TEST_F(HandshakeTest, ThePeersMssBoundsOursFromAboveAndIsNeverTiny) {
  peer_syn_.mss = 400;
  SynReceived();
  EXPECT_EQ(c().sender.mss_bytes(), 400u);
  peer_port_ = 40001;
  peer_syn_.mss = 1;
  SynReceived();
  EXPECT_EQ(c().sender.mss_bytes(), kMssBytesMin);
  peer_port_ = 40002;
  peer_syn_.mss = std::nullopt;
  SynReceived();
  EXPECT_EQ(c().sender.mss_bytes(), kMssBytesDefault);
  peer_port_ = 40003;
  peer_syn_.mss = 9000;
  SynReceived();
  EXPECT_EQ(c().sender.mss_bytes(), 1460u);
}

TEST_F(HandshakeTest, BothSidesMayOpenAtOnce) {
  SynSent();
  TakeSeen();
  Send({.flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(All({IsSynAck(kPeerIss + 1), HasSeq(kOurIss)}));
  EXPECT_EQ(state(), TcpState::kSynReceived);
  // The peer is where we are: it answers our first SYN with its own SYN once more.
  Send({.seq = kPeerIss, .flags = kTcpSyn | kTcpAck, .options = peer_syn_});
  ExpectOnly(IsAck(kPeerIss + 1));
  EXPECT_EQ(state(), TcpState::kEstablished);
}

TEST_F(HandshakeTest, ACloseDuringASimultaneousOpenSendsItsFinAfterTheHandshake) {
  SynSent();
  Send({.flags = kTcpSyn, .options = peer_syn_});
  TakeSeen();
  Shutdown();
  ExpectNothing();
  EXPECT_EQ(state(), TcpState::kSynReceived);
  Send({});
  ExpectOnly(IsFin(kOurIss + 1));
  EXPECT_EQ(state(), TcpState::kFinWait1);
}

TEST_F(HandshakeTest, TheWindowOfASynAckIsNotScaledInASimultaneousOpenEither) {
  SynSent();
  Send({.flags = kTcpSyn, .options = peer_syn_});
  Send({.seq = kPeerIss, .flags = kTcpSyn | kTcpAck, .window = 1072, .options = peer_syn_});
  EXPECT_EQ(state(), TcpState::kEstablished);
  EXPECT_LE(c().sender.peer_window_bytes(), 1072u);
  EXPECT_GT(c().sender.peer_window_bytes(), 1072u - (1u << *peer_syn_.window_scale));
}

TEST_F(HandshakeTest, AnAckInSynReceivedAnnouncesAScaledWindow) {
  SynReceived();
  const uint32_t promised = receiver().outstanding_bytes();
  // Beyond the window: answered with an ACK, which has no SYN, so the peer scales its window.
  Send({.seq = receiver().right_edge() + 10, .bytes = 10});
  const uint32_t window = uint32_t{TakeSeen().at(0).window} << c().rcv_scale;
  EXPECT_GE(window, promised);
  EXPECT_EQ(window, receiver().outstanding_bytes());
}

TEST_F(HandshakeTest, TheWindowOfOurSynIsKeptWhenThePeerAnswers) {
  SynSent();
  const uint32_t promised = TakeSeen().at(0).window;
  Send({.flags = kTcpSyn | kTcpAck, .options = peer_syn_});
  EXPECT_GE(receiver().outstanding_bytes(), promised);
  EXPECT_EQ(h().CheckAccount(false), "");
}

TEST_F(HandshakeTest, ALostSynAckGoesAgainWithDoublingWaits) {
  SynReceived();
  TakeSeen();
  h().Advance(kRtoInitial - kMillisecond);
  ExpectNothing();
  h().Advance(2 * kMillisecond);
  ExpectOnly(All({IsSynAck(kPeerIss + 1), HasSeq(kOurIss)}));
  h().Advance(2 * kRtoInitial - 4 * kMillisecond);
  ExpectNothing();
  h().Advance(4 * kMillisecond);
  ExpectOnly(IsSynAck(kPeerIss + 1));
  Send({});
  EXPECT_EQ(state(), TcpState::kEstablished);
  // RFC 6298 (5.7) and RFC 5681 section 3.1.
  EXPECT_EQ(c().sender.rto().rto(), kRtoAfterSynLoss);
  EXPECT_EQ(c().sender.congestion().cwnd_bytes(), c().sender.mss_bytes());
}

TEST_F(HandshakeTest, ARepeatedSynIsAnsweredAgain) {
  SynReceived();
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(All({IsSynAck(kPeerIss + 1), HasSeq(kOurIss)}));
  EXPECT_EQ(engine().connection_count(), 1u);
}

TEST_F(HandshakeTest, AnActiveOpenGivesUpAfterItsRetries) {
  SynSent();
  h().Advance(10 * 60 * kSecond);
  EXPECT_EQ(TakeSeen().size(), 1 + kSynRetriesMax);
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(c().close_reason, CloseReason::kTimedOut);
}

TEST_F(HandshakeTest, AHalfOpenConnectionGivesUpAndFreesItsPlaceInTheBacklog) {
  HarnessSetup setup;
  setup.tcp.syn_cookies = SynCookies::kOff;
  Make(setup, 1);
  SynReceived();
  peer_port_ = 40001;
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  ExpectNothing();
  EXPECT_EQ(drops(TcpDrop::kBacklogFull), 1u);
  h().Advance(10 * 60 * kSecond);
  TakeSeen();
  EXPECT_EQ(engine().connection_count(), 0u);
  SynReceived();
  EXPECT_EQ(state(), TcpState::kSynReceived);
}

TEST_F(HandshakeTest, AFloodOfSynsIsCountedAndLeavesTheEstablishedAlone) {
  Established();
  const SeqNum ours = our_nxt_;
  for (uint16_t port = 50000; port < 51000; ++port) {
    peer_port_ = port;
    Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  }
  EXPECT_EQ(TakeSeen().size(), 1000u);
  EXPECT_EQ(engine().connection_count(), 9u) << "the backlog is 8";
  EXPECT_EQ(engine().stats().cookies_sent, 992u);
  peer_port_ = 40000;
  our_nxt_ = ours;
  Send({.bytes = 1000});
  ExpectOnly(IsAck(kPeerIss + 1001));
  EXPECT_EQ(ReadAll(), 1000u);
}

TEST_F(HandshakeTest, AWrongAckInSynReceivedIsAnsweredWithAReset) {
  SynReceived();
  for (const SeqNum wrong : {kOurIss, kOurIss + 2}) {
    Send({.ack = wrong});
    ExpectOnly(IsReset(wrong));
    EXPECT_EQ(state(), TcpState::kSynReceived);
  }
  EXPECT_EQ(drops(TcpDrop::kBadAck), 2u);
}

TEST_F(HandshakeTest, AWrongAckInSynSentIsAnsweredWithAReset) {
  SynSent();
  TakeSeen();
  for (const SeqNum wrong : {kOurIss, kOurIss + 2}) {
    Send({.seq = kPeerIss, .ack = wrong, .flags = kTcpSyn | kTcpAck, .options = peer_syn_});
    ExpectOnly(IsReset(wrong));
    EXPECT_EQ(state(), TcpState::kSynSent);
  }
}

TEST_F(HandshakeTest, AResetThatAcknowledgesOurSynIsARefusal) {
  SynSent();
  Send({.flags = kTcpRst});
  EXPECT_EQ(state(), TcpState::kSynSent) << "a reset without ACK may be anybody's";
  Send({.flags = kTcpRst | kTcpAck});
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(c().close_reason, CloseReason::kRefused);
}

TEST_F(HandshakeTest, AResetInSynReceivedFreesTheConnection) {
  SynReceived();
  Send({.flags = kTcpRst});
  ExpectNothing();
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(HandshakeTest, AListenerAnswersAnAckWithAResetAndIgnoresTheRest) {
  Send({.seq = kPeerIss, .ack = SeqNum(1234)});
  ExpectOnly(IsReset(SeqNum(1234)));
  Send({.seq = kPeerIss, .flags = kTcpRst});
  Send({.seq = kPeerIss, .flags = kTcpFin});
  ExpectNothing();
}

TEST_F(HandshakeTest, PayloadOnASynIsNotAcknowledged) {
  Send({.seq = kPeerIss, .flags = kTcpSyn, .bytes = 100, .options = peer_syn_});
  ExpectOnly(IsSynAck(kPeerIss + 1));
  EXPECT_EQ(drops(TcpDrop::kSynPayload), 1u);
}

TEST_F(HandshakeTest, DataWithTheLastAckOfTheHandshakeIsReceived) {
  SynReceived();
  Send({.bytes = 500});
  ExpectOnly(IsAck(kPeerIss + 501));
  id_ = *engine().Accept(listener_);
  read_nxt_ = kPeerIss + 1;
  EXPECT_EQ(ReadAll(), 500u);
}

TEST_F(HandshakeTest, ConnectionsAreAcceptedInTheOrderOfTheirHandshakes) {
  for (uint16_t port = 40000; port < 40003; ++port) {
    peer_port_ = port;
    SynReceived();
    Send({});
  }
  peer_port_ = 40001;
  Send({.seq = kPeerIss + 1, .flags = kTcpRst});
  EXPECT_EQ(engine().Find(*engine().Accept(listener_))->flow.remote_port, 40000);
  EXPECT_EQ(engine().Find(*engine().Accept(listener_))->flow.remote_port, 40002);
  EXPECT_FALSE(engine().Accept(listener_).has_value());
  for (const uint32_t index : {0u, 2u}) engine().Detach(engine().at(index), h().now);
}

TEST_F(HandshakeTest, ClosingAListenerResetsWhatWasNotAcceptedAndForgetsWhatIsHalfOpen) {
  SynReceived();
  Send({});
  peer_port_ = 40001;
  SynReceived();
  TakeSeen();
  EXPECT_TRUE(engine().CloseListener(listener_, h().now).ok());
  ExpectOnly(IsReset(kOurIss + 1));
  EXPECT_EQ(engine().connection_count(), 0u);
  EXPECT_EQ(engine().CloseListener(listener_, h().now).code(), absl::StatusCode::kNotFound);
}

TEST_F(HandshakeTest, AClosedHandleLeavesItsAddressToANewConnection) {
  Established();
  Send({.flags = kTcpRst});
  ASSERT_EQ(state(), TcpState::kClosed);
  const ConnectionId old = id_;
  Established();
  ASSERT_NE(old, id_);
  engine().Detach(*engine().Find(old), h().now);
  EXPECT_TRUE(engine().InUse(Flow()));
  Send({.bytes = 10});
  EXPECT_EQ(ReadAll(), 10u);
}

}  // namespace
}  // namespace devmem::testing
