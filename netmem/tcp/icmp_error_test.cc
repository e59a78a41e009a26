// SPDX-License-Identifier: Apache-2.0
// What ICMP errors do to a connection, and what they do not: RFC 5927, RFC 1122 section 4.2.3.9,
// RFC 1191 and RFC 8201.

#include <gtest/gtest.h>

#include <cerrno>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

class IcmpErrorTest : public EngineFixture {
 protected:
  // An error about the segment at snd_una; a test names what differs.
  IcmpError About(IcmpErrorKind kind, int32_t system_error = 0) {
    return IcmpError{.flow = Flow(peer_port_),
                     .seq = c().sender.snd_una(),
                     .kind = kind,
                     .system_error = system_error};
  }
  void Tell(const IcmpError& error) {
    engine().InputIcmp(error, h().now);
    h().Flush();
  }
  void TellMtu(uint32_t mtu_bytes) {
    IcmpError error = About(IcmpErrorKind::kTooBig);
    error.mtu_bytes = mtu_bytes;
    Tell(error);
  }
  const EngineStats& stats() { return engine().stats(); }
};

TEST_F(IcmpErrorTest, AHardErrorEndsAnActiveOpenAsARefusal) {
  SynSent();
  Tell(About(IcmpErrorKind::kUnreachable, ECONNREFUSED));
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(c().close_reason, CloseReason::kRefused);
  EXPECT_EQ(c().system_error, ECONNREFUSED);
  EXPECT_EQ(stats().icmp_closed, 1u);
}

TEST_F(IcmpErrorTest, ASoftErrorEndsAnActiveOpenWithItsErrno) {
  SynSent();
  Tell(About(IcmpErrorKind::kSoft, EHOSTUNREACH));
  EXPECT_EQ(state(), TcpState::kClosed);
  EXPECT_EQ(c().close_reason, CloseReason::kUnreachable);
  EXPECT_EQ(c().system_error, EHOSTUNREACH);
}

TEST_F(IcmpErrorTest, AHalfOpenPassiveConnectionIsForgotten) {
  SynReceived();
  Tell(About(IcmpErrorKind::kUnreachable, EHOSTUNREACH));
  ExpectNothing();
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(IcmpErrorTest, AnEstablishedConnectionOnlyRemembersTheErrno) {
  Established();
  SendBytes(100);
  TakeSeen();
  Tell(About(IcmpErrorKind::kUnreachable, ECONNREFUSED));
  Tell(About(IcmpErrorKind::kSoft, EHOSTUNREACH));
  ExpectNothing();
  EXPECT_EQ(state(), TcpState::kEstablished);
  EXPECT_EQ(c().system_error, EHOSTUNREACH);
  EXPECT_EQ(stats().icmp_hard_late, 1u);
  EXPECT_EQ(stats().icmp_soft, 1u);
}

TEST_F(IcmpErrorTest, OnlyASequenceNumberInFlightIsBelieved) {
  SynSent();
  for (const SeqNum wrong : {kOurIss - 1u, kOurIss + 1, kOurIss + 0x80000000u}) {
    IcmpError error = About(IcmpErrorKind::kUnreachable, ECONNREFUSED);
    error.seq = wrong;
    Tell(error);
    EXPECT_EQ(state(), TcpState::kSynSent);
  }
  EXPECT_EQ(stats().icmp_bad_sequence, 3u);
  EXPECT_EQ(c().system_error, 0);
}

TEST_F(IcmpErrorTest, AnErrorAboutNobodyIsCounted) {
  IcmpError error{.flow = Flow(1), .seq = SeqNum(1), .kind = IcmpErrorKind::kUnreachable};
  Tell(error);
  EXPECT_EQ(stats().icmp_no_connection, 1u);
}

TEST_F(IcmpErrorTest, ASmallerPathMtuSendsWhatIsInFlightAgainInSmallerSegments) {
  Established();
  SendBytes(2920);
  ExpectOnly({IsData(kOurIss + 1, 1460), IsData(kOurIss + 1461, 1460)});
  const uint32_t cwnd = c().sender.congestion().cwnd_bytes();
  TellMtu(1040);
  ExpectOnly(
      {IsData(kOurIss + 1, 1000), IsData(kOurIss + 1001, 1000), IsData(kOurIss + 2001, 920)});
  EXPECT_EQ(c().sender.mss_bytes(), 1000u);
  EXPECT_EQ(c().sender.congestion().cwnd_bytes(), cwnd) << "nothing says that the path is full";
  Send({});
  EXPECT_TRUE(c().sender.all_acked());
  EXPECT_EQ(stats().icmp_mtu_lowered, 1u);
}

TEST_F(IcmpErrorTest, ThePathMtuIsNeverRaised) {
  Established();
  SendBytes(1460);
  TakeSeen();
  for (const uint32_t mtu : {1500u, 9000u, 65535u}) TellMtu(mtu);
  ExpectNothing();
  EXPECT_EQ(c().sender.mss_bytes(), 1460u);
  TellMtu(1000);
  TakeSeen();
  TellMtu(1400);
  ExpectNothing();
  EXPECT_EQ(c().sender.mss_bytes(), 960u);
  EXPECT_EQ(stats().icmp_mtu_ignored, 4u);
}

TEST_F(IcmpErrorTest, ThePathMtuHasAFloor) {
  Established();
  SendBytes(100);
  TellMtu(0);
  EXPECT_EQ(c().sender.mss_bytes(), kPathMtuMinIpv4 - 40);
  TellMtu(100);
  EXPECT_EQ(c().sender.mss_bytes(), kPathMtuMinIpv4 - 40);
  EXPECT_EQ(stats().icmp_mtu_ignored, 1u);
}

TEST_F(IcmpErrorTest, TimestampsComeOutOfTheSmallerSegment) {
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  Established();
  SendBytes(1448);
  TellMtu(1052);
  EXPECT_EQ(c().sender.mss_bytes(), 1000u);
}

TEST_F(IcmpErrorTest, AnIdleConnectionBelievesNothing) {
  Established();
  TellMtu(600);
  EXPECT_EQ(c().sender.mss_bytes(), 1460u);
  EXPECT_EQ(stats().icmp_bad_sequence, 1u);
}

}  // namespace
}  // namespace devmem::testing
