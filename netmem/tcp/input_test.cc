// SPDX-License-Identifier: Apache-2.0
// A segment arrives (RFC 9293 section 3.10.7.4): every state against every kind of segment, data in
// each state and in each order, PAWS, and challenge ACKs.

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

using InputTest = EngineFixture;

// What comes out for one segment, and the state after it.
struct Row {
  TcpState state;
  const char* answer;  // "-", "ack", "rst", "syn-ack".
  TcpState after;
};

std::string Answer(const std::vector<SeenSegment>& seen) {
  if (seen.empty()) return "-";
  if (seen.size() > 1) return "several";
  if ((seen[0].flags & kTcpRst) != 0) return "rst";
  if ((seen[0].flags & kTcpSyn) != 0) return "syn-ack";
  return (seen[0].flags & kTcpFin) != 0 ? "fin" : "ack";
}

class InputTableTest : public EngineFixture, public ::testing::WithParamInterface<Row> {};
using S = TcpState;

std::string NameOf(const ::testing::TestParamInfo<Row>& row) {
  std::string name(ToString(row.param.state));
  std::erase(name, '-');
  return name;
}

class ASynInTheWindow : public InputTableTest {};
INSTANTIATE_TEST_SUITE_P(States, ASynInTheWindow,
                         ::testing::Values(Row{S::kSynReceived, "ack", S::kSynReceived},
                                           Row{S::kEstablished, "ack", S::kEstablished},
                                           Row{S::kFinWait1, "ack", S::kFinWait1},
                                           Row{S::kFinWait2, "ack", S::kFinWait2},
                                           Row{S::kCloseWait, "ack", S::kCloseWait},
                                           Row{S::kClosing, "ack", S::kClosing},
                                           Row{S::kLastAck, "ack", S::kLastAck},
                                           // Newer than the old connection: it opens one.
                                           Row{S::kTimeWait, "syn-ack", S::kClosed}),
                         NameOf);
TEST_P(ASynInTheWindow, IsChallenged) {
  InState(GetParam().state);
  Send({.seq = receiver().rcv_nxt() + 1, .flags = kTcpSyn, .options = peer_syn_});
  EXPECT_EQ(Answer(TakeSeen()), GetParam().answer);
  EXPECT_EQ(state(), GetParam().after);
}

class ASegmentWithoutAck : public InputTableTest {};
INSTANTIATE_TEST_SUITE_P(
    States, ASegmentWithoutAck,
    ::testing::Values(Row{S::kSynSent, "-", S::kSynSent},
                      Row{S::kSynReceived, "-", S::kSynReceived},
                      Row{S::kEstablished, "-", S::kEstablished},
                      Row{S::kFinWait1, "-", S::kFinWait1}, Row{S::kFinWait2, "-", S::kFinWait2},
                      Row{S::kCloseWait, "-", S::kCloseWait}, Row{S::kClosing, "-", S::kClosing},
                      Row{S::kLastAck, "-", S::kLastAck}, Row{S::kTimeWait, "-", S::kTimeWait}),
    NameOf);
TEST_P(ASegmentWithoutAck, IsDropped) {
  InState(GetParam().state);
  Send({.flags = 0, .bytes = 10});
  EXPECT_EQ(Answer(TakeSeen()), GetParam().answer);
  EXPECT_EQ(state(), GetParam().after);
  EXPECT_EQ(receiver().in_order().bytes(), 0u);
}

class DataInOrder : public InputTableTest {};
INSTANTIATE_TEST_SUITE_P(States, DataInOrder,
                         ::testing::Values(Row{S::kEstablished, "ack", S::kEstablished},
                                           Row{S::kFinWait1, "ack", S::kFinWait2},
                                           Row{S::kFinWait2, "ack", S::kFinWait2},
                                           Row{S::kCloseWait, "ack", S::kCloseWait},
                                           Row{S::kClosing, "ack", S::kTimeWait},
                                           Row{S::kLastAck, "-", S::kClosed},
                                           Row{S::kTimeWait, "ack", S::kTimeWait}),
                         NameOf);
TEST_P(DataInOrder, IsReceivedUnlessThePeerHasClosed) {
  InState(GetParam().state);
  const bool receives = CanReceiveData(GetParam().state);
  Send({.bytes = 100});
  EXPECT_EQ(Answer(TakeSeen()), GetParam().answer);
  EXPECT_EQ(state(), GetParam().after);
  EXPECT_EQ(receiver().in_order().bytes(), receives ? 100u : 0u);
}

class AnAckOfWhatWasNeverSent : public InputTableTest {};
INSTANTIATE_TEST_SUITE_P(States, AnAckOfWhatWasNeverSent,
                         ::testing::Values(Row{S::kSynSent, "rst", S::kSynSent},
                                           Row{S::kSynReceived, "rst", S::kSynReceived},
                                           Row{S::kEstablished, "ack", S::kEstablished},
                                           Row{S::kFinWait1, "ack", S::kFinWait1},
                                           Row{S::kFinWait2, "ack", S::kFinWait2},
                                           Row{S::kCloseWait, "ack", S::kCloseWait},
                                           Row{S::kClosing, "ack", S::kClosing},
                                           Row{S::kLastAck, "ack", S::kLastAck},
                                           Row{S::kTimeWait, "ack", S::kTimeWait}),
                         NameOf);
TEST_P(AnAckOfWhatWasNeverSent, IsRefusedWithItsData) {
  InState(GetParam().state);
  Send({.ack = our_nxt_ + 1, .bytes = 10});
  EXPECT_EQ(Answer(TakeSeen()), GetParam().answer);
  EXPECT_EQ(state(), GetParam().after);
  EXPECT_EQ(drops(TcpDrop::kBadAck), 1u);
  EXPECT_EQ(receiver().in_order().bytes(), 0u);
}

class ASegmentLeftOfTheWindow : public InputTableTest {};
INSTANTIATE_TEST_SUITE_P(States, ASegmentLeftOfTheWindow,
                         ::testing::Values(Row{S::kSynReceived, "ack", S::kSynReceived},
                                           Row{S::kEstablished, "ack", S::kEstablished},
                                           Row{S::kFinWait1, "ack", S::kFinWait1},
                                           Row{S::kFinWait2, "ack", S::kFinWait2},
                                           Row{S::kCloseWait, "ack", S::kCloseWait},
                                           Row{S::kClosing, "ack", S::kClosing},
                                           Row{S::kLastAck, "ack", S::kLastAck},
                                           Row{S::kTimeWait, "ack", S::kTimeWait}),
                         NameOf);
TEST_P(ASegmentLeftOfTheWindow, IsAnsweredWithAnAckAndNotLookedAt) {
  InState(GetParam().state);
  Send({.seq = receiver().rcv_nxt() - 100u, .bytes = 100});
  EXPECT_EQ(Answer(TakeSeen()), GetParam().answer);
  EXPECT_EQ(state(), GetParam().after);
  EXPECT_EQ(drops(TcpDrop::kOutsideWindow), 1u);
}

TEST_F(InputTest, DataInOrderTakesTheShortPath) {
  Established();
  for (int i = 0; i < 10; ++i) Deliver({.bytes = 1460});
  EXPECT_EQ(engine().stats().segments_short_path, 10u);
  EXPECT_EQ(ReadAll(), 14'600u);
  EXPECT_EQ(engine().stats().payload_bytes_in, 14'600u);
  EXPECT_EQ(c().payload_bytes_received, 14'600u);
}

TEST_F(InputTest, TheShortAndTheLongPathGiveTheSameStream) {
  Established();
  for (uint32_t i = 0; i < 50; ++i) {
    // An acknowledgment that changes the window takes the long way.
    Send({.window = static_cast<uint16_t>(i % 3 == 0 ? 8000 + i : 8000), .bytes = 700 + i});
  }
  EXPECT_LT(engine().stats().segments_short_path, 50u);
  EXPECT_GT(engine().stats().segments_short_path, 10u);
  EXPECT_EQ(ReadAll(), 50u * 700 + 49 * 25);
}

TEST_F(InputTest, AHoleIsReportedAtOnceAndWithWhatLiesBehindIt) {
  Established();
  const SeqNum hole = peer_nxt_;
  Send({.seq = hole + 1000, .bytes = 1000});
  ExpectOnly(All({IsAck(hole), HasSacks({{hole + 1000, hole + 2000}})}));
  Send({.seq = hole + 3000, .bytes = 1000});
  ExpectOnly(
      All({IsAck(hole), HasSacks({{hole + 3000, hole + 4000}, {hole + 1000, hole + 2000}})}));
  Send({.seq = hole, .bytes = 1000});
  ExpectOnly(All({IsAck(hole + 2000), HasSacks({{hole + 3000, hole + 4000}})}));
  Send({.seq = hole + 2000, .bytes = 1000});
  ExpectOnly(All({IsAck(hole + 4000), HasSacks({})}));
  EXPECT_EQ(ReadAll(), 4000u);
}

TEST_F(InputTest, WithoutSackPermittedTheHoleIsReportedPlainly) {
  peer_syn_.sack_permitted = false;
  Established();
  Send({.seq = peer_nxt_ + 1000, .bytes = 1000});
  ExpectOnly(All({IsAck(peer_nxt_), HasSacks({})}));
}

TEST_F(InputTest, BesideTimestampsThereIsRoomForThreeBlocks) {
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  Established();
  for (const uint32_t offset : {1000u, 3000u, 5000u, 7000u}) {
    Send({.seq = peer_nxt_ + offset, .bytes = 10});
  }
  const std::vector<SeenSegment> seen = TakeSeen();
  EXPECT_EQ(seen.back().options.sack_block_count, 3);
}

TEST_F(InputTest, ADuplicateIsReportedAsOne) {
  Established();
  Send({.bytes = 1000});
  TakeSeen();
  Send({.seq = kPeerIss + 1, .bytes = 1000});
  ExpectOnly(All({IsAck(kPeerIss + 1001), HasSacks({{kPeerIss + 1, kPeerIss + 1001}})}));
  EXPECT_EQ(engine().stats().duplicate_bytes, 1000u);
  EXPECT_EQ(ReadAll(), 1000u);
}

TEST_F(InputTest, DataPastTheWindowIsTrimmedAndAnswered) {
  HarnessSetup setup;
  setup.tcp.window_bytes_max = 4380;
  Make(setup);
  Established();
  Send({.bytes = 5000});
  ExpectOnly(All({IsAck(kPeerIss + 1 + 4380), HasWindow(0)}));
  EXPECT_EQ(drops(TcpDrop::kBeyondWindow), 1u);
  // One byte into the closed window is how the peer asks for news (RFC 9293 section 3.8.6.1).
  Send({.seq = kPeerIss + 1 + 4380, .bytes = 1});
  ExpectOnly(All({IsAck(kPeerIss + 1 + 4380), HasWindow(0)}));
  EXPECT_EQ(ReadAll(), 4380u);
}

TEST_F(InputTest, PawsReportsTheDuplicateItDropsButIgnoresAnAckThatWasOvertaken) {
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  Established();
  peer_clock_ += 10;
  Send({.bytes = 100});
  TakeSeen();
  Send({.timestamp = peer_clock_ - 5});
  ExpectNothing();
  EXPECT_EQ(drops(TcpDrop::kPaws), 1u);
  Send({.seq = kPeerIss + 1, .bytes = 100, .timestamp = peer_clock_ - 5});
  ExpectOnly(All({IsAck(kPeerIss + 101), HasSacks({{kPeerIss + 1, kPeerIss + 101}})}));
  EXPECT_EQ(drops(TcpDrop::kPaws), 2u);
  ReadAll();
}

TEST_F(InputTest, PawsDropsWhatIsOlderThanTheLastTimestamp) {
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  Established();
  peer_clock_ += 0x20;  // Past 2^32.
  Send({.bytes = 100});
  TakeSeen();
  Send({.bytes = 100, .timestamp = peer_clock_ - 1});
  ExpectOnly(IsAck(kPeerIss + 101));
  EXPECT_EQ(drops(TcpDrop::kPaws), 1u);
  Send({.seq = kPeerIss + 101, .bytes = 100, .timestamp = peer_clock_});
  EXPECT_EQ(ReadAll(), 200u);
}

TEST_F(InputTest, AResetIsExemptFromPaws) {
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  Established();
  Send({.flags = kTcpRst, .timestamp = peer_clock_ - 1000});
  EXPECT_EQ(state(), TcpState::kClosed);
}

TEST_F(InputTest, TheOldestUnacknowledgedTimestampIsEchoed) {
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  Established();
  const uint32_t first = ++peer_clock_;
  Deliver({.bytes = 1000});
  ++peer_clock_;
  Deliver({.bytes = 1000});
  h().Flush();
  EXPECT_EQ(TakeSeen().at(0).options.timestamps->echo, first);
}

TEST_F(InputTest, ASegmentWithoutTheOptionIsStillTaken) {
  peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0};
  Established();
  peer_syn_.timestamps.reset();
  Send({.bytes = 100});
  EXPECT_EQ(ReadAll(), 100u);
}

TEST_F(InputTest, UrgentDataIsStreamData) {
  Established();
  Send({.flags = kTcpAck | kTcpUrg, .bytes = 100});
  EXPECT_EQ(ReadAll(), 100u);
  EXPECT_EQ(drops(TcpDrop::kUrgent), 1u);
}

TEST_F(InputTest, HostAndDevicePiecesMixInOneStream) {
  Established();
  Send({.bytes = 100});
  Send({.bytes = 50, .device = false});
  Send({.seq = peer_nxt_ + 50, .bytes = 70, .device = false});
  Send({.bytes = 50});
  EXPECT_EQ(ReadAll(), 270u);
}

TEST_F(InputTest, PayloadThatFoundNoMemoryIsNotAcknowledged) {
  HarnessSetup setup;
  setup.device_bytes = 128u << 10;
  Make(setup);
  Established();
  std::vector<Piece> all;
  Piece piece;
  while (!h().device->Posted().empty() && h().device->Take(4096, {&piece, 1}) != 0) {
    all.push_back(piece);
  }
  Send({.bytes = 1000});
  ExpectOnly(IsAck(kPeerIss + 1));
  EXPECT_EQ(drops(TcpDrop::kNoMemory), 1u);
  for (const Piece& held : all) h().device->Put(held);
  Send({.seq = kPeerIss + 1, .bytes = 1000});
  EXPECT_EQ(ReadAll(), 1000u);
}

// One connection holds every piece entry with out-of-order data; another one needs one in order.
class PieceShortageTest : public EngineFixture {
 protected:
  void SetUp() override {
    HarnessSetup setup;
    setup.piece_count = 2;
    Make(setup);
    Established();
    const ConnectionId starved = id_;
    peer_port_ = 40001;
    Established();
    hoarder_ = id_;
    Send({.seq = peer_nxt_ + 1000, .bytes = 10});
    Send({.seq = peer_nxt_ + 2000, .bytes = 10});
    EXPECT_EQ(h().array.in_use(), 2u);
    TakeSeen();
    id_ = starved;
    peer_port_ = 40000;
    our_nxt_ = kOurIss + 1;
  }
  void TearDown() override {
    engine().Abort(engine().at(hoarder_.index), h().now);
    engine().Detach(engine().at(hoarder_.index), h().now);
    EngineFixture::TearDown();
  }
  ConnectionId hoarder_;
};

TEST_F(PieceShortageTest, OutOfOrderDataOfAnyConnectionGivesWayOnTheShortPath) {
  for (int tries = 0; tries < 2; ++tries) Send({.seq = kPeerIss + 1, .bytes = 100});
  EXPECT_EQ(ReadAll(), 100u);
  EXPECT_EQ(drops(TcpDrop::kSackedGivenUp), 1u);
  EXPECT_EQ(drops(TcpDrop::kPieceArray), 1u);
}

TEST_F(PieceShortageTest, AndOnTheLongPath) {
  for (uint16_t tries = 0; tries < 2; ++tries) {
    const uint16_t window = static_cast<uint16_t>(7000 + tries);
    Send({.seq = kPeerIss + 1, .window = window, .bytes = 100});
    EXPECT_EQ(TakeSeen().size(), 1u) << "the peer hears at once";
  }
  EXPECT_EQ(engine().stats().segments_short_path, 0u);
  EXPECT_EQ(ReadAll(), 100u);
  EXPECT_EQ(drops(TcpDrop::kSackedGivenUp), 1u);
}

TEST_F(InputTest, SegmentsOfDifferentConnectionsMayAlternate) {
  Established();
  const ConnectionId first = id_;
  peer_port_ = 40001;
  Established();
  const ConnectionId second = id_;
  for (uint32_t i = 0; i < 10; ++i) {
    for (const uint16_t port : {uint16_t{40000}, uint16_t{40001}}) {
      peer_port_ = port;
      our_nxt_ = engine().at(port == 40000 ? first.index : second.index).sender.snd_max();
      Deliver({.seq = kPeerIss + 1 + i * 100, .bytes = 100});
    }
  }
  for (const ConnectionId id : {first, second}) {
    id_ = id;
    read_nxt_ = kPeerIss + 1;
    EXPECT_EQ(ReadAll(), 1000u);
  }
  engine().Detach(engine().at(first.index), h().now);
}

}  // namespace
}  // namespace devmem::testing
