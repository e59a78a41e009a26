// SPDX-License-Identifier: Apache-2.0
// A listener's backlog as Linux keeps it: half-open connections, SYN cookies (RFC 4987), the accept
// queue, and the windows of SYNs.

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

class BacklogTest : public EngineFixture {
 protected:
  // A listener whose one half-open place is taken, so that the next SYN is answered by a cookie.
  void FillHalfOpen() {
    Make(setup_, 1);
    peer_port_ = 50000;
    SynReceived();
    peer_port_ = 40000;
    TakeSeen();
  }
  // Sends a SYN and returns the answer; the peer will acknowledge it.
  SeenSegment Cookie() {
    peer_nxt_ = kPeerIss;
    Send({.flags = syn_flags_, .options = peer_syn_});
    const std::vector<SeenSegment> seen = TakeSeen();
    EXPECT_EQ(seen.size(), 1u);
    if (seen.size() != 1) return SeenSegment();
    our_nxt_ = seen[0].seq + 1;
    if (seen[0].options.timestamps.has_value()) our_clock_ = seen[0].options.timestamps->value;
    return seen[0];
  }
  bool Accept() {
    const std::optional<ConnectionId> id = engine().Accept(listener_);
    if (id.has_value()) id_ = *id;
    read_nxt_ = kPeerIss + 1;
    return id.has_value();
  }
  // Completes handshakes of `count` peers, which nobody accepts.
  void Queue(uint16_t count) {
    for (uint16_t i = 0; i < count; ++i) {
      peer_port_ = static_cast<uint16_t>(41000 + i);
      SynReceived();
      Send({});
    }
    TakeSeen();
  }
  const EngineStats& stats() { return engine().stats(); }

  HarnessSetup setup_;
};

TEST_F(BacklogTest, AFullBacklogAnswersWithACookieAndKeepsNothing) {
  FillHalfOpen();
  const uint32_t connections = engine().connection_count();
  const SeenSegment answer = Cookie();
  EXPECT_EQ(answer.flags, kTcpSyn | kTcpAck);
  EXPECT_EQ(answer.ack, kPeerIss + 1);
  EXPECT_EQ(answer.window, 64240);
  EXPECT_EQ(answer.options.mss, 1460);
  EXPECT_FALSE(answer.options.window_scale.has_value()) << "no timestamps, so no place for it";
  EXPECT_FALSE(answer.options.sack_permitted);
  EXPECT_EQ(engine().connection_count(), connections);
  EXPECT_EQ(stats().cookies_sent, 1u);
}

TEST_F(BacklogTest, TheAckOfACookieMakesAConnection) {
  FillHalfOpen();
  Cookie();
  Send({.bytes = 500});
  ExpectOnly(IsAck(kPeerIss + 501));
  ASSERT_TRUE(Accept());
  EXPECT_EQ(state(), TcpState::kEstablished);
  EXPECT_EQ(c().sender.mss_bytes(), 1460u);
  EXPECT_EQ(c().sender.peer_window_bytes(), peer_window_);
  EXPECT_FALSE(c().sender.rto().has_sample()) << "nobody knows when the SYN-ACK went";
  EXPECT_EQ(ReadAll(), 500u);
  SendBytes(100);
  ExpectOnly(IsData(our_nxt_, 100));
  EXPECT_EQ(stats().cookies_valid, 1u);
  EXPECT_EQ(h().CheckAccount(false), "");
}

// Nothing remembers what a cookie said about the window, and it must hold.
TEST_F(BacklogTest, ACookiesWindowDoesNotDependOnTheMemoryThatIsFree) {
  FillHalfOpen();
  const uint16_t said = Cookie().window;
  std::vector<Piece> others;
  for (NetmemRef netmem = h().device->Alloc(); !netmem.is_null(); netmem = h().device->Alloc()) {
    others.push_back(Piece{netmem, 0, h().device->net_iov_bytes()});
  }
  EXPECT_EQ(Cookie().window, said);
  Send({.bytes = 500});
  ASSERT_TRUE(Accept());
  EXPECT_EQ(receiver().rcv_nxt(), kPeerIss + 1) << "no memory for it";
  EXPECT_GE(receiver().right_edge(), kPeerIss + 1 + said);
  for (const Piece& piece : others) h().device->Put(piece);
  EXPECT_EQ(h().CheckAccount(false), "");
}

TEST_F(BacklogTest, ASynThatComesAgainAfterACookieIsPromisedNoLess) {
  setup_.tcp.window_bytes_max = 4400;  // Three segments, and fewer bytes with timestamps.
  FillHalfOpen();
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  const SeenSegment cookie = Cookie();
  EXPECT_GT(cookie.window, 2920);
  peer_port_ = 50000;
  Send({.seq = kPeerIss + 1, .flags = kTcpRst});
  peer_port_ = 40000;
  TakeSeen();
  EXPECT_GE(Cookie().window, cookie.window);
  EXPECT_EQ(stats().cookies_sent, 1u);
}

TEST_F(BacklogTest, WithTimestampsACookieRemembersAllOptions) {
  setup_.tcp.ecn = EcnMode::kAccept;
  FillHalfOpen();
  peer_syn_ = {.mss = 1400,
               .window_scale = 9,
               .sack_permitted = true,
               .timestamps = TcpTimestamps{peer_clock_, 0}};
  syn_flags_ = kTcpSyn | kTcpEce | kTcpCwr;
  const SeenSegment answer = Cookie();
  EXPECT_EQ(answer.flags, kTcpSyn | kTcpAck | kTcpEce);
  EXPECT_EQ(answer.options.window_scale, 7);
  EXPECT_TRUE(answer.options.sack_permitted);
  EXPECT_EQ(answer.options.timestamps->echo, peer_clock_);
  Send({});
  ASSERT_TRUE(Accept());
  EXPECT_EQ(c().snd_scale, 9);
  EXPECT_TRUE(c().sack_permitted);
  EXPECT_TRUE(c().ecn.enabled);
  EXPECT_TRUE(c().timestamps.enabled);
  EXPECT_EQ(c().sender.mss_bytes(), 1400u - 12u);
  EXPECT_EQ(c().sender.peer_window_bytes(), uint32_t{peer_window_} << 9);
  SendBytes(10);
  EXPECT_GE(static_cast<int32_t>(TakeSeen().at(0).options.timestamps->value - our_clock_), 0);
}

TEST_F(BacklogTest, AWrongCookieIsResetAndCounted) {
  FillHalfOpen();
  const SeenSegment answer = Cookie();
  Send({.seq = kPeerIss + 1, .ack = answer.seq + 2});
  ExpectOnly(IsReset(answer.seq + 2));
  Send({.seq = kPeerIss + 2, .ack = answer.seq + 1});
  ExpectOnly(IsReset(answer.seq + 1));
  EXPECT_EQ(drops(TcpDrop::kBadCookie), 2u);
  EXPECT_FALSE(Accept());
}

TEST_F(BacklogTest, ACookieExpires) {
  FillHalfOpen();
  Cookie();
  h().Advance(2 * kSynCookiePeriod);
  TakeSeen();
  Send({});
  ExpectOnly(IsReset(our_nxt_));
  EXPECT_FALSE(Accept());
}

TEST_F(BacklogTest, AnAckIsCheckedOnlyWhereCookiesWereSent) {
  Send({.seq = kPeerIss + 1, .ack = SeqNum(1234)});
  ExpectOnly(IsReset(SeqNum(1234)));
  EXPECT_EQ(drops(TcpDrop::kBadCookie), 0u);
  EXPECT_EQ(drops(TcpDrop::kNoConnection), 1u);
}

TEST_F(BacklogTest, CookiesCanBeUsedAlwaysOrNever) {
  setup_.tcp.syn_cookies = SynCookies::kAlways;
  Make(setup_);
  Cookie();
  EXPECT_EQ(engine().connection_count(), 0u);
  Send({});
  EXPECT_TRUE(Accept());
  setup_.tcp.syn_cookies = SynCookies::kOff;
  FillHalfOpen();
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  ExpectNothing();
  EXPECT_EQ(drops(TcpDrop::kBacklogFull), 1u);
}

TEST_F(BacklogTest, OneMoreThanTheBacklogMayWaitToBeAccepted) {
  Make({}, 2);
  Queue(3);
  peer_port_ = 40000;
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  ExpectNothing();
  EXPECT_EQ(drops(TcpDrop::kAcceptQueueFull), 1u);
  ASSERT_TRUE(Accept());
  Detach();
  SynReceived();
  EXPECT_EQ(state(), TcpState::kSynReceived);
}

TEST_F(BacklogTest, TheLastAckOfAHandshakeIsNotHeardWhileTheAcceptQueueIsFull) {
  Make({}, 2);
  peer_port_ = 40000;
  SynReceived();
  const SeqNum ours = our_nxt_;
  Queue(3);
  peer_port_ = 40000;
  peer_nxt_ = kPeerIss + 1;
  our_nxt_ = ours;
  Send({.bytes = 100});
  ExpectNothing();
  EXPECT_EQ(drops(TcpDrop::kAcceptQueueFull), 1u);
  h().Advance(kRtoInitial + 2 * kMillisecond);
  ExpectOnly(IsSynAck(kPeerIss + 1));
  ASSERT_TRUE(Accept());
  Send({.seq = kPeerIss + 1, .bytes = 100});
  ExpectOnly(IsAck(kPeerIss + 101));
  EXPECT_EQ(stats().opened_passive, 4u);
}

TEST_F(BacklogTest, ACookieIsNotHeardWhileTheAcceptQueueIsFull) {
  setup_.tcp.syn_cookies = SynCookies::kAlways;
  Make(setup_, 1);
  const uint16_t ports[] = {40000, 40001, 40002};
  std::vector<SeqNum> acks;
  for (const uint16_t port : ports) {
    peer_port_ = port;
    Cookie();
    acks.push_back(our_nxt_);
  }
  for (size_t i = 0; i < 3; ++i) {
    peer_port_ = ports[i];
    Send({.seq = kPeerIss + 1, .ack = acks[i]});
  }
  ExpectNothing();
  EXPECT_EQ(drops(TcpDrop::kAcceptQueueFull), 1u);
  ASSERT_TRUE(Accept());
  Send({.seq = kPeerIss + 1, .ack = acks[2]});
  EXPECT_EQ(stats().cookies_valid, 3u);
}

TEST_F(BacklogTest, WhoEndsWhileItWaitsLeavesTheOthersInOrder) {
  Queue(6);
  for (const uint16_t port : std::vector<uint16_t>{41002, 41000, 41005}) {
    peer_port_ = port;
    peer_nxt_ = kPeerIss + 1;
    Send({.flags = kTcpRst});
  }
  std::vector<uint16_t> ports;
  while (Accept()) {
    ports.push_back(c().flow.remote_port);
    engine().Abort(c(), h().now);
    Detach();
  }
  EXPECT_EQ(ports, (std::vector<uint16_t>{41001, 41003, 41004}));
  EXPECT_FALSE(engine().HasPending(listener_));
}

TEST_F(BacklogTest, ASynAckGoesAgainFiveTimes) {
  SynReceived();
  h().Advance(10 * 60 * kSecond);
  EXPECT_EQ(TakeSeen().size(), kSynAckRetriesMax);
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(BacklogTest, ASynThatAlsoEndsTheStreamIsDropped) {
  Send({.seq = kPeerIss, .flags = kTcpSyn | kTcpFin, .options = peer_syn_});
  ExpectNothing();
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(BacklogTest, TheWindowOfASynAckIsWholeSegments) {
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  Send({.flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(HasWindow(65160));
  peer_syn_.timestamps.reset();
  ++peer_port_;
  Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  ExpectOnly(HasWindow(64240));
}

TEST_F(BacklogTest, AFloodLeavesTheWindowOfOthersAlone) {
  setup_.device_bytes = 64u << 20;
  Make(setup_, 200);
  Established();
  Send({.bytes = 1000});
  Send({.bytes = 1000});
  const uint16_t before = TakeSeen().back().window;
  for (uint16_t port = 50000; port < 51000; ++port) {
    peer_port_ = port;
    Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  }
  EXPECT_EQ(TakeSeen().size(), 1000u);
  EXPECT_EQ(stats().cookies_sent, 800u);
  peer_port_ = 40000;
  ReadAll();
  Send({.bytes = 1000});
  EXPECT_GE(TakeSeen().back().window, before);
}

TEST_F(BacklogTest, HalfOpenConnectionsLeaveHalfOfTheSlotsToOthers) {
  setup_.tcp.connections_max = 8;
  Make(setup_, 100);
  for (uint16_t port = 50000; port < 50010; ++port) {
    peer_port_ = port;
    Send({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  }
  EXPECT_EQ(engine().connection_count(), 4u);
  EXPECT_EQ(stats().cookies_sent, 6u);
  EXPECT_EQ(drops(TcpDrop::kNoSlot), 0u);
}

}  // namespace
}  // namespace devmem::testing
