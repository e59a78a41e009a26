// SPDX-License-Identifier: Apache-2.0
// Resets both ways: for segments of nobody (RFC 9293 section 3.5.2), and which received ones are
// believed (RFC 5961 section 3).

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

using ResetTest = EngineFixture;

class ResetInStateTest : public EngineFixture, public ::testing::WithParamInterface<TcpState> {};

std::string NameOf(const ::testing::TestParamInfo<TcpState>& state) {
  std::string name(ToString(state.param));
  std::erase(name, '-');
  return name;
}

constexpr TcpState kSynchronizedStates[] = {
    TcpState::kEstablished, TcpState::kFinWait1, TcpState::kFinWait2, TcpState::kCloseWait,
    TcpState::kClosing,     TcpState::kLastAck,  TcpState::kTimeWait};

INSTANTIATE_TEST_SUITE_P(States, ResetInStateTest, ::testing::ValuesIn(kSynchronizedStates),
                         NameOf);

TEST_P(ResetInStateTest, AResetExactlyAtRcvNxtEndsTheConnectionButForTimeWait) {
  InState(GetParam());
  Send({.flags = kTcpRst});
  ExpectNothing();
  if (GetParam() == TcpState::kTimeWait) {
    EXPECT_EQ(state(), TcpState::kTimeWait);
  } else {
    EXPECT_EQ(state(), TcpState::kClosed);
    EXPECT_EQ(c().close_reason, CloseReason::kReset);
  }
}

TEST_P(ResetInStateTest, AResetElsewhereInTheWindowIsChallenged) {
  InState(GetParam());
  ASSERT_GT(receiver().outstanding_bytes(), 10u);
  Send({.seq = receiver().rcv_nxt() + 10, .flags = kTcpRst});
  ExpectOnly(IsAck(receiver().rcv_nxt()));
  EXPECT_EQ(state(), GetParam());
}

TEST_P(ResetInStateTest, AResetOutsideOfTheWindowIsDroppedInSilence) {
  InState(GetParam());
  for (const SeqNum seq : {receiver().rcv_nxt() - 2u, receiver().right_edge() + 1}) {
    Send({.seq = seq, .flags = kTcpRst});
    ExpectNothing();
    EXPECT_EQ(state(), GetParam());
  }
  EXPECT_EQ(drops(TcpDrop::kBadReset), 2u);
}

TEST_F(ResetTest, ASegmentWithAnAckForNobodyIsResetAtThatAck) {
  Segment segment{.flow = Flow(), .seq = SeqNum(5), .ack = SeqNum(99), .flags = kTcpAck};
  segment.flow.local_port = 1;
  h().Input(segment);
  ExpectOnly(All({IsReset(SeqNum(99)), HasFlags(kTcpRst)}));
}

TEST_F(ResetTest, ASegmentWithoutAckForNobodyIsResetAndAcknowledged) {
  Segment segment{.flow = Flow(), .seq = SeqNum(0xffffffff), .flags = kTcpSyn};
  segment.flow.local_port = 1;
  h().Input(segment);
  ExpectOnly(All({HasFlags(kTcpRst | kTcpAck), HasSeq(SeqNum(0)), HasAck(SeqNum(0))}));
  h().AddPayload(&segment, 10, false);
  segment.flags = kTcpFin;
  h().Input(segment);
  ExpectOnly(All({HasFlags(kTcpRst | kTcpAck), HasAck(SeqNum(10))}));
  EXPECT_EQ(drops(TcpDrop::kNoConnection), 2u);
}

TEST_F(ResetTest, AResetForNobodyIsNotAnswered) {
  Segment segment{.flow = Flow(), .flags = kTcpRst};
  segment.flow.local_port = 1;
  h().Input(segment);
  ExpectNothing();
}

TEST_F(ResetTest, AbortSendsAResetBehindEverythingSent) {
  Established();
  SendBytes(2920);
  TakeSeen();
  h().Advance(kRtoInitial);  // snd_nxt has fallen back to the first byte by now.
  TakeSeen();
  engine().Abort(c(), h().now);
  ExpectOnly(All({IsReset(kOurIss + 2921), HasAck(kPeerIss + 1)}));
  EXPECT_EQ(c().close_reason, CloseReason::kAborted);
}

TEST_F(ResetTest, UnreadDataStaysReadableAfterAReset) {
  Established();
  Send({.bytes = 700});
  Send({.seq = receiver().rcv_nxt() + 100, .bytes = 50});
  Send({.flags = kTcpRst});
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(ReadAll(), 700u);
  EXPECT_EQ(engine().ranges().in_use(), 0u) << "what lies behind a hole is gone";
}

TEST_F(ResetTest, SegmentsForAConnectionThatWasResetGetAReset) {
  Established();
  Send({.flags = kTcpRst});
  Send({.bytes = 10});
  ExpectOnly(IsReset(kOurIss + 1));
}

TEST_F(ResetTest, AConnectionChallengesOnceInHalfASecond) {
  Established();
  for (uint32_t i = 0; i < 10; ++i) {
    Send({.seq = receiver().rcv_nxt() + 10, .flags = kTcpRst});
    Send({.seq = receiver().rcv_nxt(), .flags = kTcpSyn});
    Send({.ack = our_nxt_ + 1});
  }
  ExpectOnly(IsAck(receiver().rcv_nxt()));
  EXPECT_EQ(engine().stats().challenge_acks_limited, 29u);
  h().Advance(kInvalidAnswerInterval);
  Send({.seq = receiver().rcv_nxt() + 10, .flags = kTcpRst});
  ExpectOnly(IsAck(receiver().rcv_nxt()));
}

TEST_F(ResetTest, ChallengeAcksOfAllConnectionsAreLimitedPerSecond) {
  Make({}, kChallengeAcksPerSecondMax + 10);
  for (uint16_t port = 40000; port < 40010 + kChallengeAcksPerSecondMax; ++port) {
    peer_port_ = port;
    SynReceived();
    Send({});
    TakeSeen();
    Deliver({.seq = receiver().rcv_nxt() + 10, .flags = kTcpRst});
  }
  h().Flush();
  EXPECT_EQ(engine().stats().challenge_acks_limited, 10u);
  TakeSeen();
  h().Advance(kSecond);
  Send({.seq = receiver().rcv_nxt() + 10, .flags = kTcpRst});
  ExpectOnly(IsAck(receiver().rcv_nxt()));
}

TEST_F(ResetTest, SegmentsWithoutPayloadOutsideOfTheWindowAreAnsweredOnceInHalfASecond) {
  Established();
  for (int i = 0; i < 5; ++i) Send({.seq = receiver().rcv_nxt() - 1u});
  ExpectOnly(IsAck(receiver().rcv_nxt()));
  EXPECT_EQ(engine().stats().invalid_answers_limited, 4u);
  h().Advance(kInvalidAnswerInterval);
  Send({.seq = receiver().right_edge() + 1});
  ExpectOnly(IsAck(receiver().rcv_nxt()));
}

TEST_F(ResetTest, OldPayloadAndAFinThatComesAgainAreAnsweredEachTime) {
  Established();
  Send({.bytes = 100});
  TakeSeen();
  for (int i = 0; i < 3; ++i) {
    Send({.seq = kPeerIss + 1, .bytes = 100});
    ExpectOnly(IsAck(kPeerIss + 101));
  }
  Send({.flags = kTcpFin | kTcpAck});
  TakeSeen();
  for (int i = 0; i < 3; ++i) {
    Send({.seq = kPeerIss + 101, .flags = kTcpFin | kTcpAck});
    ExpectOnly(IsAck(kPeerIss + 102));
  }
  ReadAll();
}

TEST_F(ResetTest, AResetAtTheEndOfTheLastSackBlockIsBelieved) {
  Established();
  Send({.seq = kPeerIss + 101, .bytes = 100});
  Send({.seq = kPeerIss + 301, .bytes = 100});
  Send({.seq = kPeerIss + 501, .bytes = 100});
  Send({.seq = kPeerIss + 101, .bytes = 100});
  TakeSeen();
  for (const uint32_t elsewhere : {201u, 401u, 602u}) {
    Send({.seq = kPeerIss + elsewhere, .flags = kTcpRst});
    ASSERT_EQ(state(), TcpState::kEstablished);
  }
  Send({.seq = kPeerIss + 601, .flags = kTcpRst});
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(c().close_reason, CloseReason::kReset);
}

TEST_F(ResetTest, AResetInFrontOfAFinThatWeHaveIsBelieved) {
  CloseWait();
  Send({.seq = receiver().rcv_nxt() - 1u, .flags = kTcpRst});
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(c().close_reason, CloseReason::kReset);
}

TEST_F(ResetTest, LosingTheBindingResetsItsConnectionsAndKeepsOthers) {
  Established();
  Send({.bytes = 500});
  bound_ = false;
  const ConnectionId bound_id = id_;
  FlowKey other = Flow(41000);
  other.local_port = 9;
  const ConnectionId unbound_id = *engine().Connect(other, false, h().now);
  TakeSeen();
  engine().DetachDevice(h().now);
  ExpectOnly(IsReset(kOurIss + 1));
  EXPECT_EQ(engine().Find(bound_id)->close_reason, CloseReason::kAborted);
  EXPECT_TRUE(h().device->account().idle()) << "the unread bytes went with the binding";
  EXPECT_EQ(engine().Find(unbound_id)->state, TcpState::kSynSent);
  EXPECT_EQ(engine().Connect(Flow(41001), true, h().now).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(engine().Listen(IpAddress(), 80, 8, true).status().code(),
            absl::StatusCode::kFailedPrecondition);
  engine().Detach(*engine().Find(unbound_id), h().now);
}

}  // namespace
}  // namespace devmem::testing
