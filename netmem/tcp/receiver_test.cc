// SPDX-License-Identifier: Apache-2.0
// The receiving half on its own: what is acceptable (all of RFC 9293 section 3.4's table), what of
// a segment is kept, when the FIN counts, what SACK says, and what goes when memory is short.

#include "netmem/tcp/receiver.h"

#include <gtest/gtest.h>

#include "selftests/testing/engine_harness.h"

namespace devmem::testing {
namespace {

constexpr SeqNum kIrs{0xfffffeff};
constexpr SeqNum kFirst = kIrs + 1;
constexpr uint32_t kWindow = 1000;

class ReceiverTest : public ::testing::Test {
 protected:
  ReceiverTest() : ReceiverTest(HarnessSetup{}) {}
  explicit ReceiverTest(const HarnessSetup& setup) : h_(setup) { receiver_.Start(kIrs, kWindow); }
  void TearDown() override {
    receiver_.Clear(Memory());
    h_.Release();
    EXPECT_EQ(ranges_.in_use(), 0u);
    EXPECT_EQ(h_.CheckAccount(true), "");
  }

  ReceiveMemory Memory() {
    return {&ranges_, h_.store.get(), reserve_bytes_, reserve_bytes_, whole_segments_};
  }
  ReceiveResult Receive(uint32_t offset, uint32_t bytes, uint8_t flags = kTcpAck) {
    Segment segment;
    segment.seq = kFirst + offset;
    segment.flags = flags;
    if (bytes != 0) h_.AddPayload(&segment, bytes, true);
    return receiver_.Receive(Memory(), segment);
  }
  uint32_t position() const { return receiver_.rcv_nxt().value() - kFirst.value(); }
  // Everything in order, checked byte by byte.
  uint64_t Read() {
    uint64_t taken = 0;
    while (!receiver_.in_order().empty()) {
      const Piece piece = h_.store->PopFront(receiver_.in_order());
      h_.CheckBytes(piece, &read_nxt_);
      taken += piece.length_bytes;
      h_.store->Put(piece);
    }
    EXPECT_EQ(h_.fault, "");
    return taken;
  }
  std::vector<SackBlock> Sacks() {
    std::array<SackBlock, kSackBlocksMax> blocks;
    const size_t count = receiver_.sack().Fill(blocks);
    return {blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(count)};
  }
  static SackBlock Block(uint32_t left, uint32_t right) { return {kFirst + left, kFirst + right}; }

  EngineHarness h_;
  ReassemblyRanges ranges_{512};
  Receiver receiver_;
  uint64_t reserve_bytes_ = 0;
  bool whole_segments_ = false;
  SeqNum read_nxt_ = kFirst;
};

// Section 3.4's four cases, spelled with plain numbers: a window of w numbers from 100 on.
bool TableSaysAcceptable(int seq, int length, int window) {
  const auto inside = [&](int number) { return number >= 100 && number < 100 + window; };
  if (length == 0) return window == 0 ? seq == 100 : inside(seq);
  return window != 0 && (inside(seq) || inside(seq + length - 1));
}

TEST_F(ReceiverTest, EverySegmentIsJudgedAsTheTableOfTheRfcDoes) {
  for (int window = 0; window <= 6; ++window) {
    Receiver receiver;
    receiver.Start(SeqNum(0xfffffffd), static_cast<uint32_t>(window));
    for (int seq = 88; seq <= 112; ++seq) {
      for (int length = 0; length <= 14; ++length) {
        // The one departure: at rcv_nxt everything is looked at, for its ACK.
        const bool expected = seq == 100 || TableSaysAcceptable(seq, length, window);
        const SeqNum number = SeqNum(0xfffffffe) + static_cast<uint32_t>(seq - 100);
        EXPECT_EQ(receiver.Acceptable(number, static_cast<uint32_t>(length)), expected)
            << "seq " << seq << " length " << length << " window " << window;
      }
    }
  }
}

TEST_F(ReceiverTest, DataInOrderMovesRcvNxtPastTheWrap) {
  EXPECT_EQ(Receive(0, 400).advanced_bytes, 400u);
  EXPECT_EQ(Receive(400, 100).advanced_bytes, 100u);
  EXPECT_EQ(position(), 500u);
  EXPECT_EQ(receiver_.outstanding_bytes(), kWindow - 500);
  EXPECT_EQ(Read(), 500u);
}

TEST_F(ReceiverTest, WhatWasReceivedBeforeIsTrimmedFromTheFront) {
  Receive(0, 100);
  const ReceiveResult result = Receive(40, 100);
  EXPECT_EQ(result.duplicate_bytes, 60u);
  EXPECT_EQ(result.advanced_bytes, 40u);
  EXPECT_FALSE(result.out_of_order);
  EXPECT_EQ(Sacks(), std::vector<SackBlock>{Block(40, 100)}) << "a D-SACK";
  EXPECT_EQ(Read(), 140u);
}

TEST_F(ReceiverTest, WhatWasNeverPromisedIsTrimmedFromTheBack) {
  const ReceiveResult result = Receive(0, kWindow + 50);
  EXPECT_TRUE(result.beyond_window);
  EXPECT_EQ(result.advanced_bytes, kWindow);
  EXPECT_EQ(receiver_.outstanding_bytes(), 0u);
  EXPECT_EQ(Read(), kWindow);
}

TEST_F(ReceiverTest, WholeSegmentsAreTakenBeyondTheWindowOnlyIntoAnEmptyQueue) {
  whole_segments_ = true;
  const ReceiveResult first = Receive(0, kWindow + 50);
  EXPECT_FALSE(first.beyond_window);
  EXPECT_EQ(first.advanced_bytes, kWindow + 50);
  EXPECT_EQ(receiver_.outstanding_bytes(), 0u) << "the edge moved with it";
  const ReceiveResult second = Receive(kWindow + 50, 10);
  EXPECT_TRUE(second.beyond_window);
  EXPECT_EQ(second.advanced_bytes, 0u);
  EXPECT_EQ(Read(), kWindow + 50);
}

TEST_F(ReceiverTest, OneSegmentMayBeTrimmedOnBothSides) {
  Receive(0, 100);
  const ReceiveResult result = Receive(50, kWindow);
  EXPECT_EQ(result.duplicate_bytes, 50u);
  EXPECT_EQ(result.advanced_bytes, kWindow - 100);
  EXPECT_TRUE(result.beyond_window);
  EXPECT_EQ(Read(), kWindow);
}

TEST_F(ReceiverTest, AFinInOrderTakesOneNumber) {
  const ReceiveResult result = Receive(0, 10, kTcpFin | kTcpAck);
  EXPECT_TRUE(result.fin_reached);
  EXPECT_EQ(result.advanced_bytes, 10u);
  EXPECT_EQ(position(), 11u);
  EXPECT_EQ(receiver_.outstanding_bytes(), kWindow - 11);
}

TEST_F(ReceiverTest, AFinBehindAHoleWaitsForTheHole) {
  EXPECT_FALSE(Receive(100, 10, kTcpFin | kTcpAck).fin_reached);
  EXPECT_FALSE(receiver_.InOrderOnly(kFirst, 10)) << "a FIN that waits rules the short path out";
  const ReceiveResult result = Receive(0, 100);
  EXPECT_TRUE(result.hole_filled);
  EXPECT_EQ(result.advanced_bytes, 110u);
  EXPECT_TRUE(result.fin_reached);
  EXPECT_EQ(position(), 111u);
}

TEST_F(ReceiverTest, ABareFinBehindAHoleWaitsToo) {
  EXPECT_TRUE(Receive(100, 0, kTcpFin | kTcpAck).out_of_order);
  EXPECT_EQ(position(), 0u);
  EXPECT_TRUE(Receive(0, 100).fin_reached);
  EXPECT_EQ(position(), 101u);
}

TEST_F(ReceiverTest, AFinBehindAHoleIsReportedAndEachTimeAnswered) {
  Receive(100, 0, kTcpFin | kTcpAck);
  EXPECT_EQ(Sacks(), std::vector<SackBlock>{Block(100, 101)});
  // The probe of a peer whose last data was lost: without an answer it would wait for a timeout.
  EXPECT_TRUE(Receive(100, 0, kTcpFin | kTcpAck).out_of_order);
  EXPECT_EQ(Sacks(), std::vector<SackBlock>{Block(100, 101)});
  Receive(80, 20);
  EXPECT_EQ(Sacks(), std::vector<SackBlock>{Block(80, 101)});
  Receive(40, 20);
  Receive(90, 10, kTcpFin | kTcpAck);
  EXPECT_EQ(Sacks().back(), Block(40, 60));
  EXPECT_TRUE(Receive(0, 80).fin_reached);
  EXPECT_TRUE(Sacks().empty());
  EXPECT_EQ(Read(), 100u);
}

TEST_F(ReceiverTest, AFinAtTheEdgeOfAClosedWindowIsTaken) {
  Receive(0, kWindow);
  EXPECT_TRUE(Receive(kWindow, 0, kTcpFin | kTcpAck).fin_reached);
  EXPECT_EQ(receiver_.outstanding_bytes(), 0u) << "the edge moved with it";
}

TEST_F(ReceiverTest, WhatCameAgainWithTheFinIsNotReported) {
  Receive(0, 100);
  EXPECT_TRUE(Receive(0, 100, kTcpFin | kTcpAck).fin_reached);
  EXPECT_TRUE(Sacks().empty());
  EXPECT_EQ(Read(), 100u);
}

TEST_F(ReceiverTest, AFinThatWasTrimmedOffDoesNotCount) {
  EXPECT_FALSE(Receive(0, kWindow + 1, kTcpFin | kTcpAck).fin_reached);
  EXPECT_EQ(position(), kWindow);
}

TEST_F(ReceiverTest, AFinOfACutSegmentDoesNotCount) {
  const Segment segment{.seq = kFirst, .flags = kTcpFin | kTcpAck, .cut = true};
  EXPECT_FALSE(receiver_.Receive(Memory(), segment).fin_reached);
  EXPECT_EQ(position(), 0u);
}

TEST_F(ReceiverTest, DataBehindTheFinIsNotStreamData) {
  Receive(100, 0, kTcpFin | kTcpAck);
  EXPECT_TRUE(Receive(50, 100).beyond_window);
  EXPECT_TRUE(Receive(0, 50).fin_reached);
  EXPECT_EQ(Read(), 100u);
}

TEST_F(ReceiverTest, TheFirstFinSaysWhereTheStreamEnds) {
  Receive(100, 0, kTcpFin | kTcpAck);
  Receive(60, 0, kTcpFin | kTcpAck);
  EXPECT_EQ(Receive(0, 100).advanced_bytes, 100u);
  EXPECT_EQ(position(), 101u);
}

TEST_F(ReceiverTest, AFinInTheMiddleOfDataThatIsThereIsForgotten) {
  Receive(50, 150);
  Receive(100, 0, kTcpFin | kTcpAck);
  const ReceiveResult result = Receive(0, 50);
  EXPECT_FALSE(result.fin_reached);
  EXPECT_EQ(position(), 200u);
  EXPECT_TRUE(receiver_.InOrderOnly(kFirst + 200, 10)) << "and stands in nobody's way";
}

TEST_F(ReceiverTest, SackReportsTheLatestArrivalFirst) {
  Receive(100, 50);
  Receive(300, 50);
  Receive(200, 50);
  EXPECT_EQ(Sacks(), (std::vector<SackBlock>{Block(200, 250), Block(300, 350), Block(100, 150)}));
  Receive(0, 100);
  EXPECT_EQ(Sacks(), (std::vector<SackBlock>{Block(200, 250), Block(300, 350)}));
}

TEST_F(ReceiverTest, InOrderDataLeavesAllFourBlocksInTheSack) {
  for (uint32_t at = 100; at <= 400; at += 100) Receive(at, 50);
  Receive(0, 10);
  EXPECT_EQ(Sacks(), (std::vector<SackBlock>{Block(400, 450), Block(300, 350), Block(200, 250),
                                             Block(100, 150)}));
}

TEST_F(ReceiverTest, ADuplicateAboveTheHoleIsReportedOnceBeforeItsBlock) {
  Receive(100, 50);
  Receive(110, 10);
  EXPECT_EQ(Sacks(), (std::vector<SackBlock>{Block(110, 120), Block(100, 150)}));
  EXPECT_EQ(Sacks(), std::vector<SackBlock>{Block(100, 150)});
}

TEST_F(ReceiverTest, ADuplicateBringsItsBlockBackThatFourOthersHadPushedOut) {
  for (uint32_t at = 100; at <= 500; at += 100) Receive(at, 50);
  Receive(110, 10);
  EXPECT_EQ(Sacks(), (std::vector<SackBlock>{Block(110, 120), Block(100, 150), Block(500, 550),
                                             Block(400, 450)}));
}

TEST_F(ReceiverTest, OfTwoDuplicatePartsOfASegmentTheFirstIsReported) {
  Receive(0, 100);
  Receive(110, 10);
  Receive(50, 100);
  EXPECT_EQ(Sacks(), std::vector<SackBlock>{Block(50, 100)});
}

TEST_F(ReceiverTest, TheReserveServesOnlyDataAtRcvNxt) {
  Receive(100, 50);
  reserve_bytes_ = h_.device->capacity_bytes() + 1;
  const ReceiveResult refused = Receive(200, 50);
  EXPECT_EQ(refused.reserve_bytes, 50u);
  EXPECT_EQ(receiver_.reassembly().bytes(), 50u);
  const ReceiveResult taken = Receive(0, 100);
  EXPECT_EQ(taken.advanced_bytes, 150u);
}

TEST_F(ReceiverTest, AFinOfDataThatFoundNoMemoryIsForgottenWithIt) {
  reserve_bytes_ = h_.device->capacity_bytes() + 1;
  Receive(100, 50, kTcpFin | kTcpAck);
  reserve_bytes_ = 0;
  EXPECT_FALSE(Receive(0, 150).fin_reached);
}

TEST_F(ReceiverTest, SackedDataIsGivenUpFarthestFirstAndLeavesTheSack) {
  Receive(100, 50);
  Receive(300, 50);
  Sacks();
  EXPECT_TRUE(receiver_.GiveUpFarthest(Memory()));
  EXPECT_EQ(Sacks(), std::vector<SackBlock>{Block(100, 150)});
  EXPECT_TRUE(receiver_.GiveUpFarthest(Memory()));
  EXPECT_FALSE(receiver_.GiveUpFarthest(Memory()));
  EXPECT_TRUE(Sacks().empty());
}

class ReceiverWithFewPiecesTest : public ReceiverTest {
 protected:
  ReceiverWithFewPiecesTest() : ReceiverTest(HarnessSetup{.piece_count = 3}) {}
};

TEST_F(ReceiverWithFewPiecesTest, OutOfOrderDataMakesRoomForDataAtRcvNxt) {
  Receive(100, 10);
  Receive(300, 10);
  Receive(200, 10);
  EXPECT_EQ(Receive(400, 10).forgotten_bytes, 10u) << "out of order itself: nobody makes room";
  const ReceiveResult result = Receive(0, 50);
  EXPECT_TRUE(result.gave_up_sacked);
  EXPECT_EQ(result.advanced_bytes, 50u);
  EXPECT_EQ(receiver_.reassembly().bytes(), 20u) << "300 went, being the farthest";
  EXPECT_EQ(Read(), 50u);
}

TEST_F(ReceiverWithFewPiecesTest, TheShortPathTakesWhatFindsAnEntry) {
  std::array<Piece, 5> pieces;
  for (Piece& piece : pieces) {
    // Every second take is put back at once, so that no two of the others touch.
    (void)h_.device->Posted();
    ASSERT_EQ(h_.device->Take(10, {&piece, 1}), 1u);
    Piece gap;
    ASSERT_EQ(h_.device->Take(10, {&gap, 1}), 1u);
    h_.device->Put(gap);
  }
  EXPECT_EQ(receiver_.AppendInOrder(*h_.store, pieces, 50), 30u);
  EXPECT_EQ(position(), 30u);
}

TEST_F(ReceiverTest, NeighboursInMemoryBecomeOnePiece) {
  Receive(0, 100);
  Receive(100, 100);
  Receive(300, 100);
  Receive(200, 100);
  EXPECT_EQ(h_.array.in_use(), 3u) << "0-200, 200-300 and 300-400 lie in the order of arrival";
  EXPECT_EQ(Read(), 400u);
}

}  // namespace
}  // namespace devmem::testing
