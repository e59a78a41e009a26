// SPDX-License-Identifier: Apache-2.0
// What goes out: acknowledgments per batch, windows that close when memory is not given back and
// open when it is, and data. The right edge never moves left, and the ledger knows every promise.

#include <gtest/gtest.h>

#include <random>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

class OutputTest : public EngineFixture {
 protected:
  // Past the first segments, which are acknowledged one by one.
  void EstablishedAndWarm() {
    Established();
    for (uint32_t i = 0; i < kQuickAckSegments; ++i) Send({.bytes = 1460});
    ReadAll();
    TakeSeen();
  }
  // Sends all that the peer may, in super-frames, until the window is shut. Nobody reads.
  void FillTheWindow() {
    for (int i = 0; i < 200 && receiver().outstanding_bytes() != 0; ++i) {
      const uint64_t room = h().device->available_bytes();
      const uint32_t bytes = std::min(receiver().outstanding_bytes(), 60'000u);
      Send({.bytes = static_cast<uint32_t>(std::min<uint64_t>(bytes, room))});
      ASSERT_EQ(h().CheckAccount(false), "");
    }
  }
};

TEST_F(OutputTest, ABatchIsAcknowledgedOnce) {
  EstablishedAndWarm();
  for (int i = 0; i < 10; ++i) Deliver({.bytes = 1460});
  ExpectNothing();
  h().Flush();
  ExpectOnly(IsAck(peer_nxt_));
}

TEST_F(OutputTest, ALongBatchIsAcknowledgedInItsMiddle) {
  HarnessSetup setup;
  setup.tcp.window_bytes_start = setup.tcp.window_bytes_max;
  Make(setup);
  EstablishedAndWarm();
  for (int i = 0; i < 6; ++i) Deliver({.bytes = 60'000, .segment_count = 41});
  EXPECT_EQ(TakeSeen().size(), 1u);
  h().Flush();
  EXPECT_EQ(TakeSeen().size(), 1u);
  EXPECT_EQ(ReadAll(), 360'000u);
}

TEST_F(OutputTest, EachSegmentOfABatchThatIsOutOfOrderIsAcknowledged) {
  EstablishedAndWarm();
  const SeqNum hole = peer_nxt_;
  for (uint32_t i = 1; i <= 3; ++i) Deliver({.seq = hole + i * 1460, .bytes = 1460});
  ExpectOnly({All({IsAck(hole), HasSacks({{hole + 1460, hole + 2 * 1460}})}),
              All({IsAck(hole), HasSacks({{hole + 1460, hole + 3 * 1460}})}),
              All({IsAck(hole), HasSacks({{hole + 1460, hole + 4 * 1460}})})});
  Deliver({.seq = hole, .bytes = 1460});
  ExpectOnly(IsAck(hole + 4 * 1460));
  h().Flush();
  ExpectNothing();
}

TEST_F(OutputTest, AfterALossABatchIsAcknowledgedEverySecondSegment) {
  EstablishedAndWarm();
  const SeqNum hole = peer_nxt_;
  Deliver({.seq = hole + 1460, .bytes = 1460});
  Deliver({.seq = hole, .bytes = 1460});
  peer_nxt_ = hole + 2 * 1460;
  TakeSeen();
  for (int i = 0; i < 4; ++i) Deliver({.bytes = 1460});
  ExpectOnly({IsAck(hole + 4 * 1460), IsAck(peer_nxt_)});
  h().Flush();
  ExpectNothing();
}

TEST_F(OutputTest, ASingleSegmentIsAcknowledgedAfterTheDelay) {
  EstablishedAndWarm();
  Send({.bytes = 1460});
  ExpectNothing();
  h().Advance(kDelayedAckMax - 2 * kMillisecond);
  ExpectNothing();
  h().Advance(3 * kMillisecond);
  ExpectOnly(IsAck(peer_nxt_));
  h().Advance(kSecond);
  ExpectNothing();
}

TEST_F(OutputTest, TheSecondSegmentEndsTheDelay) {
  EstablishedAndWarm();
  Send({.bytes = 1460});
  ExpectNothing();
  Send({.bytes = 1460});
  ExpectOnly(IsAck(peer_nxt_));
  h().Advance(kSecond);
  ExpectNothing();
}

TEST_F(OutputTest, DataCarriesTheAcknowledgmentAlong) {
  EstablishedAndWarm();
  Send({.bytes = 1460});
  SendBytes(100);
  ExpectOnly(All({IsData(kOurIss + 1, 100), HasAck(peer_nxt_)}));
  h().Advance(kDelayedAckMax + kMillisecond);
  ExpectNothing();
}

TEST_F(OutputTest, TheWindowClosesWhenNobodyReads) {
  HarnessSetup setup;
  setup.tcp.window_bytes_max = 65536;
  setup.tcp.timestamps = false;
  Make(setup);
  Established();
  FillTheWindow();
  EXPECT_EQ(receiver().outstanding_bytes(), 0u);
  EXPECT_EQ(TakeSeen().back().window, 0);
  EXPECT_GT(engine().stats().zero_windows_sent, 0u);
  EXPECT_EQ(ReadAll(), 65536u);
  h().Flush();
  const SeenSegment update = TakeSeen().at(0);
  EXPECT_EQ(uint32_t{update.window} << c().rcv_scale, 65536u);
}

TEST_F(OutputTest, TheWindowClosesWhileTokensAreHeldAndOpensWhenTheyComeBack) {
  HarnessSetup setup;
  setup.device_bytes = 256u << 10;
  Make(setup);
  Established();
  for (int i = 0; i < 100 && receiver().outstanding_bytes() > 0; ++i) {
    Send({.bytes = std::min(receiver().outstanding_bytes(), 20'000u)});
    h().Read(c(), &read_nxt_);  // Read, but not given back.
    h().Flush();
    if (drops(TcpDrop::kNoMemory) != 0) break;
  }
  EXPECT_LT(receiver().outstanding_bytes(), 8192u) << "next to nothing is left to promise";
  EXPECT_EQ(h().fault, "");
  const uint32_t before = receiver().outstanding_bytes();
  TakeSeen();
  h().Release();
  h().Flush();
  const std::vector<SeenSegment> seen = TakeSeen();
  ASSERT_EQ(seen.size(), 1u) << "nobody waits for a probe";
  EXPECT_GT(uint32_t{seen[0].window} << c().rcv_scale, 2 * before + 1460);
}

TEST_F(OutputTest, AProbeOfAClosedWindowIsAnswered) {
  HarnessSetup setup;
  setup.tcp.window_bytes_max = 8192;
  Make(setup);
  Established();
  FillTheWindow();
  TakeSeen();
  Send({.seq = receiver().rcv_nxt() - 1u});
  ExpectOnly(All({IsAck(receiver().rcv_nxt()), HasWindow(0)}));
}

TEST_F(OutputTest, ReadingALittleIsNotWorthAnAnnouncement) {
  HarnessSetup setup;
  setup.tcp.window_bytes_max = 60'000;
  Make(setup);
  EstablishedAndWarm();
  for (int i = 0; i < 20; ++i) Send({.bytes = 1460});
  TakeSeen();
  h().Read(c(), &read_nxt_, 1460);
  h().Flush();
  ExpectNothing();
}

TEST_F(OutputTest, MemoryThatAnotherConnectionGaveUpIsOfferedToThoseThatWait) {
  HarnessSetup setup;
  setup.device_bytes = 256u << 10;
  Make(setup);
  Established();
  FillTheWindow();
  const ConnectionId hog = id_;
  peer_port_ = 40001;
  Established();
  const uint32_t before = receiver().outstanding_bytes();
  Send({.bytes = std::min(before, 1000u)});
  TakeSeen();
  engine().Abort(engine().at(hog.index), h().now);
  engine().Detach(engine().at(hog.index), h().now);
  h().Flush();
  const std::vector<SeenSegment> seen = TakeSeen();
  ASSERT_EQ(seen.size(), 2u) << "the reset, and a window for the one that waited";
  EXPECT_GT(receiver().outstanding_bytes(), before);
}

TEST_F(OutputTest, TheRightEdgeNeverMovesLeft) {
  HarnessSetup setup;
  setup.device_bytes = 256u << 10;
  Make(setup);
  Established();
  std::mt19937 random(7);
  SeqNum edge = receiver().right_edge();
  for (int i = 0; i < 3000; ++i) {
    const uint32_t bytes = 1 + static_cast<uint32_t>(random() % 3000);
    if (random() % 4 != 0) Deliver({.bytes = std::min(bytes, receiver().outstanding_bytes())});
    if (random() % 3 == 0) h().Flush();
    if (random() % 4 == 0) h().Read(c(), &read_nxt_, 1 + random() % 5000);
    if (random() % 5 == 0) h().Release(random() % 8);
    for (const SeenSegment& seen : TakeSeen()) {
      const SeqNum announced = seen.ack + (uint32_t{seen.window} << c().rcv_scale);
      ASSERT_GE(announced - edge, 0) << "at step " << i;
      edge = announced;
    }
    peer_nxt_ = receiver().rcv_nxt();  // What was cut for lack of memory comes again.
  }
  EXPECT_EQ(h().fault, "");
  EXPECT_EQ(h().CheckAccount(false), "");
}

TEST_F(OutputTest, TheLedgerKnowsThePromisesOfAllConnections) {
  HarnessSetup setup;
  setup.device_bytes = 4u << 20;
  Make(setup, 256);
  for (uint16_t port = 40000; port < 40100; ++port) {
    peer_port_ = port;
    bound_ = true;
    Established();
    Send({.bytes = 1u + port % 1400});
    if (port % 3 == 0) Send({.seq = receiver().rcv_nxt() + 100, .bytes = 50});
    if (port % 4 == 0) Send({.flags = kTcpFin | kTcpAck});
    if (port % 5 == 0) Shutdown();
    if (port % 7 == 0) Send({.flags = kTcpRst});
    ASSERT_EQ(h().CheckAccount(false), "") << port;
  }
  EXPECT_GT(engine().promised_bytes(true), 0u);
  EXPECT_EQ(engine().promised_bytes(false), 0u);
  for (uint32_t index = 0; index < 100; ++index) {
    engine().Detach(engine().at(index), h().now);
  }
}

TEST_F(OutputTest, PromisesStayWithinThePoolButForTheFloor) {
  HarnessSetup setup;
  setup.device_bytes = 1u << 20;
  Make(setup, 256);
  for (uint16_t port = 40000; port < 40064; ++port) {
    peer_port_ = port;
    Established();
    Send({.bytes = 100});
    EXPECT_LE(engine().promised_bytes(true),
              2 * h().device->available_bytes() + 64u * (kWindowFloorSegments * 1460u + 128u));
  }
  // Handshakes may promise as much again as there is, and then 2 segments each.
  EXPECT_LT(engine().promised_bytes(true), (2u << 20) + 64u * 2 * 1460);
  for (uint32_t index = 0; index < 64; ++index) {
    engine().Abort(engine().at(index), h().now);
    engine().Detach(engine().at(index), h().now);
  }
}

TEST_F(OutputTest, DataIsCutIntoSegmentsOfThePeersSizeUnlessTheNicDoesIt) {
  peer_syn_.mss = 1000;
  Established();
  SendBytes(2500);
  // No small segment is on its way, so the last one need not wait (Minshall's variant of Nagle).
  ExpectOnly(
      {IsData(kOurIss + 1, 1000), IsData(kOurIss + 1001, 1000), IsData(kOurIss + 2001, 500)});
  SendBytes(100);
  ExpectNothing();
  Send({});
  ExpectOnly(IsData(kOurIss + 2501, 100));
}

TEST_F(OutputTest, ANicThatCutsGetsOneSuperFrame) {
  HarnessSetup setup;
  setup.tcp.gso_bytes_max = 60'000;
  Make(setup);
  Established();
  SendBytes(10'000);
  const std::vector<SeenSegment> seen = TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].payload.size(), 10'000u);
  EXPECT_EQ(seen[0].gso_segment_bytes, 1460);
}

TEST_F(OutputTest, TheTailOfASuperFrameWaitsForASmallSegmentOnItsWay) {
  HarnessSetup setup;
  setup.tcp.gso_bytes_max = 60'000;
  Make(setup);
  Established();
  SendBytes(100);
  ExpectOnly(IsData(kOurIss + 1, 100));
  SendBytes(2000);
  ExpectOnly(IsData(kOurIss + 101, 1460));
  Send({});
  ExpectOnly(IsData(kOurIss + 1561, 540));
}

TEST_F(OutputTest, AfterATimeoutAcknowledgmentsStillCarryTheHighestNumber) {
  peer_syn_.sack_permitted = false;  // Or a loss probe would go first.
  EstablishedAndWarm();
  SendBytes(2920);
  h().Advance(c().sender.rto().rto() + kMillisecond);
  TakeSeen();
  ASSERT_LT(c().sender.snd_nxt(), c().sender.snd_max());
  Send({.ack = kOurIss + 1, .bytes = 1460});
  Send({.ack = kOurIss + 1, .bytes = 1460});
  ExpectOnly(All({IsAck(peer_nxt_), HasSeq(kOurIss + 2921)}));
}

TEST_F(OutputTest, StreamBytesAreCountedOnceHoweverOftenTheyAreSent) {
  Established();
  SendBytes(1000);
  h().Advance(5 * kSecond);
  EXPECT_GT(engine().stats().retransmits, 2u);
  EXPECT_EQ(engine().stats().payload_bytes_out, 1000u);
  EXPECT_EQ(c().payload_bytes_sent, 1000u);
}

TEST_F(OutputTest, DataTellsOfTheHolesWhereItLeavesRoom) {
  Established();
  Send({.seq = kPeerIss + 101, .bytes = 100});
  TakeSeen();
  SendBytes(1000);
  ExpectOnly(All({HasPayload(1000), HasSacks({{kPeerIss + 101, kPeerIss + 201}})}));
}

TEST_F(OutputTest, HolesThatFindNoRoomBesideDataAreToldByAnAck) {
  Established();
  Deliver({.seq = kPeerIss + 101, .bytes = 100});
  const std::vector<uint8_t> data(1460, 'x');
  EXPECT_EQ(engine().Send(c(), data, h().now), data.size());
  h().Flush();
  bool told = false;
  for (const SeenSegment& seen : TakeSeen()) {
    if (seen.payload.empty()) told = HasSacks({{kPeerIss + 101, kPeerIss + 201}})(seen).empty();
  }
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace devmem::testing
