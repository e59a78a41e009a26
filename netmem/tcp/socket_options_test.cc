// SPDX-License-Identifier: Apache-2.0
// What a connection does otherwise because its user, or its listener's, asked for it.
#include "netmem/tcp/socket_options.h"

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

class SocketOptionsTest : public EngineFixture {
 protected:
  void Listen(const SocketOptions& options) {
    EXPECT_TRUE(engine().SetListenerOptions(listener_, SocketOptionsRef(options)).ok());
  }
  void Set(const SocketOptions& options) {
    engine().SetOptions(c(), SocketOptionsRef(options), h().now);
    h().Flush();
  }
};

TEST_F(SocketOptionsTest, AConnectionInheritsThoseOfItsListener) {
  Listen({.window_bytes_max = 20000, .window_scale = 3, .mss_bytes_max = 1000});
  Deliver({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  const std::vector<SeenSegment> seen = TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].options.mss, 1000);
  EXPECT_EQ(seen[0].options.window_scale, 3);
  EXPECT_EQ(seen[0].window, 20000);  // 20 whole segments.
}

TEST_F(SocketOptionsTest, TheFirstWindowIsWholeSegments) {
  Listen({.window_bytes_max = 20000});
  Deliver({.seq = kPeerIss, .flags = kTcpSyn, .options = peer_syn_});
  EXPECT_EQ(TakeSeen()[0].window, 13 * 1460);
}

TEST_F(SocketOptionsTest, UnreadDataCountsAgainstTheWindow) {
  Established();
  Set({.window_bytes_max = 1});
  const uint32_t before = receiver().outstanding_bytes();
  Send({.bytes = 1460});
  EXPECT_LT(receiver().outstanding_bytes(), before);
}

TEST_F(SocketOptionsTest, ACorkHoldsSmallSegmentsBackUntilItIsPulled) {
  Established();
  TakeSeen();
  Set({.cork = true});
  SendBytes(100);
  ExpectNothing();
  Set({});
  ExpectOnly(IsData(kOurIss + 1, 100));
}

TEST_F(SocketOptionsTest, AConnectionInFinWait2EndsWhenTold) {
  FinWait2();
  Set({.fin_wait_2_max = 3 * kSecond});
  Detach();
  h().Advance(2900 * kMillisecond);
  EXPECT_EQ(engine().connection_count(), 1u);
  h().Advance(200 * kMillisecond);
  EXPECT_EQ(engine().connection_count(), 0u);
}

TEST_F(SocketOptionsTest, TheUserTimeoutEndsAConnectionWhoseDataIsNotAcknowledged) {
  peer_syn_.sack_permitted = false;  // Or a loss probe would go first.
  Established();
  Set({.user_timeout = 3 * kSecond});
  SendBytes(100);
  h().Advance(2900 * kMillisecond);
  EXPECT_EQ(c().close_reason, CloseReason::kNone);
  h().Advance(200 * kMillisecond);
  EXPECT_EQ(c().close_reason, CloseReason::kTimedOut);
  TakeSeen();
}

TEST_F(SocketOptionsTest, KeepaliveProbesAsOftenAsTold) {
  Established();
  Set({.keepalive_idle = 10 * kSecond,
       .keepalive_probes_max = 2,
       .keepalive_interval = 2 * kSecond});
  TakeSeen();
  h().Advance(13 * kSecond);
  EXPECT_EQ(TakeSeen().size(), 2u);
  h().Advance(2 * kSecond);
  EXPECT_EQ(c().close_reason, CloseReason::kTimedOut);
  ExpectOnly(IsReset(kOurIss + 1));
}

TEST_F(SocketOptionsTest, TheSynIsRetriedAsOftenAsTold) {
  const absl::StatusOr<ConnectionId> id = engine().Connect(
      Flow(), true, h().now, SocketOptionsRef(SocketOptions{.syn_retries_max = 1}));
  ASSERT_TRUE(id.ok());
  h().Advance(4 * kSecond);
  EXPECT_EQ(TakeSeen().size(), 2u);
  EXPECT_EQ(engine().Find(*id)->close_reason, CloseReason::kTimedOut);
  engine().Detach(*engine().Find(*id), h().now);
}

TEST_F(SocketOptionsTest, AListenerThatIsGoneTakesNone) {
  EXPECT_EQ(engine().SetListenerOptions(4711, {}).code(), absl::StatusCode::kNotFound);
}

TEST_F(SocketOptionsTest, OnlyTheEndOfWhatIsQueuedIsPushed) {
  Established();
  Set({.no_delay = true});
  TakeSeen();
  SendBytes(2 * 1460 + 10);
  const std::vector<SeenSegment> seen = TakeSeen();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].flags & kTcpPsh, 0);
  EXPECT_EQ(seen[1].flags & kTcpPsh, 0);
  EXPECT_NE(seen[2].flags & kTcpPsh, 0);
}

TEST_F(SocketOptionsTest, AUserTimeoutBeyondTheLongestRetransmissionTimeoutIsKept) {
  Established();
  Set({.user_timeout = 300 * kSecond});
  SendBytes(100);
  h().Advance(299 * kSecond);
  EXPECT_EQ(c().close_reason, CloseReason::kNone);
  h().Advance(2 * kSecond);
  EXPECT_EQ(c().close_reason, CloseReason::kTimedOut);
  TakeSeen();
}

// However late the timer is served, the peer is asked before it is given up.
TEST_F(SocketOptionsTest, KeepaliveAsksBeforeTheUserTimeoutEndsAnything) {
  Established();
  Set({.keepalive_idle = 5 * kSecond, .keepalive_interval = kSecond, .user_timeout = 3 * kSecond});
  TakeSeen();
  h().now += 7 * kSecond;
  engine().Expire(h().now);
  h().Flush();
  EXPECT_EQ(c().close_reason, CloseReason::kNone);
  EXPECT_EQ(TakeSeen().size(), 1u);
  Send({});  // It is there.
  h().Advance(4 * kSecond);
  EXPECT_EQ(c().close_reason, CloseReason::kNone);
  h().Advance(3 * kSecond);
  EXPECT_EQ(c().close_reason, CloseReason::kTimedOut);
  TakeSeen();
}

}  // namespace
}  // namespace devmem::testing
