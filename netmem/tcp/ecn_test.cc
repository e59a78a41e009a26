// SPDX-License-Identifier: Apache-2.0
// Explicit congestion notification: RFC 3168 section 6.1, negotiation, both directions of the echo,
// and what may be marked.

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

constexpr uint8_t kOffer = kTcpSyn | kTcpEce | kTcpCwr;

class EcnTest : public EngineFixture {
 protected:
  void MakeWith(EcnMode mode) {
    HarnessSetup setup;
    setup.tcp.ecn = mode;
    Make(setup);
  }
  // As Established(), with a peer that offers ECN.
  void Agreed() {
    syn_flags_ = kOffer;
    Established();
    ASSERT_TRUE(c().ecn.enabled);
  }
};

SegmentCheck HasEcn(uint8_t ecn) {
  return [ecn](const SeenSegment& seen) {
    return seen.ecn == ecn ? std::string() : " [ecn " + std::to_string(seen.ecn) + "]";
  };
}

TEST_F(EcnTest, AnOfferIsAcceptedWithEceAlone) {
  Send({.flags = kOffer, .options = peer_syn_});
  ExpectOnly(All({HasFlags(kTcpSyn | kTcpAck | kTcpEce), HasEcn(0)}));
}

TEST_F(EcnTest, ASynWithoutBothFlagsOrWithAMarkIsNoOffer) {
  for (const int flags : {kTcpSyn | kTcpEce, kTcpSyn | kTcpCwr, kTcpSyn + 0}) {
    ++peer_port_;
    Send({.seq = kPeerIss, .flags = static_cast<uint8_t>(flags), .options = peer_syn_});
    ExpectOnly(HasFlags(kTcpSyn | kTcpAck));
  }
  ++peer_port_;
  Send({.seq = kPeerIss, .flags = kOffer, .options = peer_syn_, .ecn = kEcnEct0});
  ExpectOnly(HasFlags(kTcpSyn | kTcpAck));
}

TEST_F(EcnTest, SwitchedOffItIsNotAccepted) {
  MakeWith(EcnMode::kOff);
  Send({.flags = kOffer, .options = peer_syn_});
  ExpectOnly(HasFlags(kTcpSyn | kTcpAck));
}

TEST_F(EcnTest, OurSynOffersOnlyWhenAsked) {
  SynSent();
  ExpectOnly(HasFlags(kTcpSyn));
  MakeWith(EcnMode::kOffer);
  SynSent();
  ExpectOnly(All({HasFlags(kOffer), HasEcn(0)}));
  Send({.flags = kTcpSyn | kTcpAck | kTcpEce, .options = peer_syn_});
  EXPECT_TRUE(c().ecn.enabled);
}

TEST_F(EcnTest, APeerThatReflectsOurFlagsHasNotAgreed) {
  MakeWith(EcnMode::kOffer);
  SynSent();
  Send({.flags = kOffer | kTcpAck, .options = peer_syn_});
  EXPECT_FALSE(c().ecn.enabled);
}

TEST_F(EcnTest, ASynThatWasLostGoesAgainWithoutTheOffer) {
  MakeWith(EcnMode::kOffer);
  SynSent();
  TakeSeen();
  h().Advance(kRtoInitial + 2 * kMillisecond);
  ExpectOnly(HasFlags(kTcpSyn));
  Send({.flags = kTcpSyn | kTcpAck | kTcpEce, .options = peer_syn_});
  EXPECT_FALSE(c().ecn.enabled);
}

TEST_F(EcnTest, AMarkIsEchoedByEveryAckUntilCwrComes) {
  Agreed();
  Send({.bytes = 1000, .ecn = kEcnCongestion});
  ExpectOnly(All({HasFlags(kTcpAck | kTcpEce), HasAck(kPeerIss + 1001)}));
  Send({.bytes = 1000});
  ExpectOnly(HasFlags(kTcpAck | kTcpEce));
  SendBytes(10);
  ExpectOnly(All({HasFlags(kTcpAck | kTcpEce), HasPayload(10)}));
  Send({.flags = kTcpAck | kTcpCwr, .bytes = 1000});
  ExpectOnly(IsAck(kPeerIss + 3001));
  EXPECT_EQ(engine().stats().segments_marked, 1u);
}

TEST_F(EcnTest, CwrOnAMarkedSegmentStartsTheNextEcho) {
  Agreed();
  Send({.bytes = 1000, .ecn = kEcnCongestion});
  TakeSeen();
  Send({.flags = kTcpAck | kTcpCwr, .bytes = 1000, .ecn = kEcnCongestion});
  ExpectOnly(HasFlags(kTcpAck | kTcpEce));
}

TEST_F(EcnTest, TheFirstMarkIsAcknowledgedAtOnce) {
  Agreed();
  for (uint32_t i = 0; i < kQuickAckSegments; ++i) Send({.bytes = 100});
  TakeSeen();
  Send({.bytes = 100});
  ExpectNothing();
  Send({.bytes = 100, .ecn = kEcnCongestion});
  ExpectOnly(HasFlags(kTcpAck | kTcpEce));
  Send({.flags = kTcpAck | kTcpCwr, .bytes = 100});
  ExpectOnly(IsAck(receiver().rcv_nxt()));
}

TEST_F(EcnTest, MarksOfAConnectionWithoutEcnAreOnlyCounted) {
  Established();
  Send({.bytes = 1000, .ecn = kEcnCongestion});
  ExpectOnly(IsAck(kPeerIss + 1001));
  EXPECT_EQ(engine().stats().segments_marked, 1u);
}

TEST_F(EcnTest, OnlyNewDataMayBeMarkedOnItsWay) {
  Agreed();
  SendBytes(1000);
  ExpectOnly(All({IsData(kOurIss + 1, 1000), HasEcn(kEcnEct0)}));
  h().Advance(2 * kSecond);
  for (const SeenSegment& again : TakeSeen()) EXPECT_EQ(again.ecn, 0);
  Send({.bytes = 10});
  ExpectOnly(All({HasFlags(kTcpAck), HasEcn(0)}));
  Shutdown();
  ExpectOnly(HasEcn(0));
}

TEST_F(EcnTest, AnEchoHalvesTheWindowOncePerWindowAndIsAnsweredWithCwr) {
  Agreed();
  SendBytes(14600);
  const size_t sent = TakeSeen().size();
  ASSERT_EQ(sent, 10u);
  Send({.ack = kOurIss + 1461, .flags = kTcpAck | kTcpEce});
  const uint32_t cwnd = c().sender.congestion().cwnd_bytes();
  EXPECT_EQ(cwnd, 13140u / 2);
  EXPECT_EQ(c().sender.congestion().ssthresh_bytes(), cwnd);
  Send({.ack = kOurIss + 2921, .flags = kTcpAck | kTcpEce});
  EXPECT_EQ(c().sender.congestion().cwnd_bytes(), cwnd) << "the same window of data";
  EXPECT_EQ(engine().stats().ecn_reductions, 1u);
  Send({.ack = kOurIss + 14601});
  TakeSeen();
  SendBytes(2920);
  ExpectOnly({All({HasFlags(kTcpAck | kTcpCwr), HasPayload(1460)}),
              All({HasFlags(kTcpAck), HasPayload(1460)})});
  Send({.flags = kTcpAck | kTcpEce});
  EXPECT_EQ(engine().stats().ecn_reductions, 2u) << "the next window may halve again";
}

TEST_F(EcnTest, AnEchoOnAConnectionWithoutEcnSaysNothing) {
  Established();
  SendBytes(2920);
  const uint32_t cwnd = c().sender.congestion().cwnd_bytes();
  Send({.ack = kOurIss + 1, .flags = kTcpAck | kTcpEce});
  EXPECT_GE(c().sender.congestion().cwnd_bytes(), cwnd);
  EXPECT_EQ(engine().stats().ecn_reductions, 0u);
}

TEST_F(EcnTest, ALossAfterAnEchoInTheSameWindowDoesNotHalveAgain) {
  peer_syn_.sack_permitted = false;
  Agreed();
  SendBytes(14600);
  Send({.ack = kOurIss + 1461, .flags = kTcpAck | kTcpEce});
  const uint32_t ssthresh = c().sender.congestion().ssthresh_bytes();
  for (int i = 0; i < 3; ++i) Send({.ack = kOurIss + 1461});
  EXPECT_TRUE(c().sender.congestion().in_recovery());
  EXPECT_EQ(c().sender.congestion().ssthresh_bytes(), ssthresh);
}

TEST_F(EcnTest, ATimeoutIsToldWithCwr) {
  Agreed();
  SendBytes(1000);
  h().Advance(2 * kSecond);
  Send({});
  TakeSeen();
  SendBytes(1000);
  ExpectOnly(HasFlags(kTcpAck | kTcpCwr));
}

}  // namespace
}  // namespace devmem::testing
