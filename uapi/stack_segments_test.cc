// SPDX-License-Identifier: Apache-2.0
//
// Segments that no honest peer sends, through a whole session: overlaps, bytes outside of the
// window, and the reset that follows when nobody reads. What lands is looked at in the region.

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "provider/region_view.h"
#include "selftests/testing/raw_peer.h"

namespace devmem::testing {
namespace {

constexpr SeqNum kIss(0xfffffff0);  // Of the peer: the stream crosses 2^32.
constexpr uint32_t kFull = 1460;    // What fits an MTU of 1500 without options.

class StackSegmentsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    region_ = ValueOrFail(peer_.session().Allocate({.bytes = 1 << 20}), "region");
    view_ = ValueOrFail(RegionView::Map(*region_), "view");
    binding_ = ValueOrFail(peer_.session().Bind(*region_, {.queues = {1}}), "binding");
    listener_ = ValueOrFail(
        peer_.session().Listen({.address = "192.0.2.1", .port = 5201}, binding_), "listener");
    iss_ = peer_.Handshake({.seq = kIss});
    connection_ = ValueOrFail(listener_->Accept(0), "connection");
  }

  void TearDown() override {
    connection_->Abort();
    connection_.reset();
    listener_.reset();
    EXPECT_TRUE(peer_.session().account(binding_)->idle());
    EXPECT_TRUE(peer_.session().host_account().idle());
    EXPECT_TRUE(peer_.stack().Audit().ok());
    EXPECT_EQ(peer_.stack().worker(1).engine().promised_bytes(true), 0u);
  }

  // Sends bytes [from, to) of the stream.
  std::vector<SeenFrame> SendBytes(uint32_t from, uint32_t to) {
    const std::vector<uint8_t> stream = TestPayload(4000);
    return peer_.Send(RawSegment{.seq = kIss + 1 + from,
                                 .ack = iss_ + 1,
                                 .payload = {stream.begin() + from, stream.begin() + to}});
  }

  // Sends `count` full-sized frames in one batch, from the `first` one of the stream on.
  std::vector<SeenFrame> SendBatch(uint32_t first, uint32_t count) {
    const std::vector<uint8_t> stream = TestPayload(14 * kFull);
    for (uint32_t at = first * kFull; at < (first + count) * kFull; at += kFull) {
      const RawSegment segment{.seq = kIss + 1 + at,
                               .ack = iss_ + 1,
                               .payload = {stream.begin() + at, stream.begin() + at + kFull}};
      EXPECT_TRUE(peer_.link().b().Inject(segment.Bytes()));
    }
    return peer_.Exchange();
  }

  // Sends these segments in one batch.
  void SendTogether(const std::vector<RawSegment>& segments) {
    for (const RawSegment& segment : segments) {
      EXPECT_TRUE(peer_.link().b().Inject(segment.Bytes()));
    }
    (void)peer_.Exchange();
  }
  // Bytes [from, to) of the stream as a segment.
  RawSegment Part(uint32_t from, uint32_t to, uint8_t flags = kTcpAck) const {
    const std::vector<uint8_t> stream = TestPayload(14 * kFull);
    return RawSegment{.seq = kIss + 1 + from,
                      .ack = iss_ + 1,
                      .flags = flags,
                      .payload = {stream.begin() + from, stream.begin() + to}};
  }
  std::vector<uint8_t> Stream(uint32_t bytes) const {
    const std::vector<uint8_t> stream = TestPayload(14 * kFull);
    return {stream.begin(), stream.begin() + bytes};
  }
  uint64_t merged_frames() { return peer_.stack().worker(1).stats().merged_frames; }

  // Everything that has arrived in order.
  std::vector<uint8_t> Received() {
    std::vector<uint8_t> bytes;
    std::array<Frag, 16> frags;
    while (true) {
      const absl::StatusOr<size_t> count = connection_->Recv(frags, 0);
      if (!count.ok() || *count == 0) return bytes;
      for (const Frag& frag : std::span(frags).first(*count)) {
        const auto part = view_->bytes().subspan(frag.offset, frag.length_bytes);
        bytes.insert(bytes.end(), part.begin(), part.end());
      }
      EXPECT_TRUE(connection_->Release(std::span(frags).first(*count)).ok());
    }
  }

  RawPeer peer_;
  std::unique_ptr<Region> region_;
  std::optional<RegionView> view_;
  BindingId binding_ = 0;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> connection_;
  SeqNum iss_;
};

TEST_F(StackSegmentsTest, OverlapsOfEveryKindGiveEachByteOnce) {
  SendBytes(100, 200);  // A hole in front.
  SendBytes(150, 300);  // Overlaps its end.
  SendBytes(50, 120);   // Overlaps its start.
  SendBytes(120, 180);  // Inside.
  SendBytes(400, 500);  // Another range.
  SendBytes(40, 600);   // Around everything.
  EXPECT_TRUE(Received().empty());
  SendBytes(0, 45);
  std::vector<uint8_t> expected = TestPayload(4000);
  expected.resize(600);
  EXPECT_EQ(Received(), expected);
  SendBytes(0, 600);  // All of it again.
  SendBytes(590, 700);
  const std::vector<uint8_t> stream = TestPayload(4000);
  EXPECT_EQ(Received(), std::vector<uint8_t>(stream.begin() + 600, stream.begin() + 700));
}

TEST_F(StackSegmentsTest, SegmentsInReverseOrderComeOutInOrder) {
  for (uint32_t at = 4000; at > 0; at -= 100) SendBytes(at - 100, at);
  EXPECT_EQ(Received(), TestPayload(4000));
}

TEST_F(StackSegmentsTest, NeighboursOfABatchAreAcknowledgedTogetherUnlessSomethingIsMissing) {
  EXPECT_EQ(SendBatch(0, 4).size(), 1u);
  EXPECT_EQ(peer_.stack().worker(1).stats().merged_frames.value(), 3u);
  // The fifth is missing: each of these is news for the peer's loss recovery.
  const std::vector<SeenFrame> duplicates = SendBatch(5, 3);
  ASSERT_EQ(duplicates.size(), 3u);
  for (const SeenFrame& frame : duplicates) EXPECT_EQ(frame.tcp().ack(), kIss + 1 + 4 * kFull);
  EXPECT_EQ(SendBatch(4, 1).size(), 1u);
  // Whoever lost a segment may lose an acknowledgment.
  EXPECT_EQ(SendBatch(8, 6).size(), 3u);
  EXPECT_EQ(Received().size(), 14 * kFull);
}

TEST_F(StackSegmentsTest, FramesOfABatchThatContinueEachOtherAreTakenAsOne) {
  SendTogether({Part(0, 100), Part(100, 300), Part(300, 301, kTcpAck | kTcpPsh)});
  EXPECT_EQ(merged_frames(), 2u);
  EXPECT_EQ(Received(), Stream(301));
}

TEST_F(StackSegmentsTest, AGapInABatchIsNotMergedOver) {
  SendTogether({Part(0, 100), Part(200, 300), Part(100, 200)});
  EXPECT_EQ(Received(), Stream(300));
}

TEST_F(StackSegmentsTest, RepeatsAndOverlapsInABatchAreNotMerged) {
  SendTogether({Part(0, 100), Part(0, 100), Part(50, 150), Part(150, 200)});
  EXPECT_EQ(Received(), Stream(200));
}

TEST_F(StackSegmentsTest, AFlagThatMeansSomethingIsNotMergedAway) {
  SendTogether(
      {Part(0, 100), Part(100, 200, kTcpAck | kTcpUrg), Part(200, 300, kTcpAck | kTcpFin)});
  EXPECT_EQ(merged_frames(), 0u);
  EXPECT_EQ(peer_.Statistic("tcp.drop.urgent_ignored"), 1u);
  EXPECT_EQ(Received(), Stream(300));
  EXPECT_EQ(connection_->info().state, "CLOSE-WAIT");
}

TEST_F(StackSegmentsTest, FramesThatAcknowledgeDifferentlyAreNotMerged) {
  RawSegment other = Part(100, 200);
  other.ack = iss_ + 5000;  // Of what was never sent: refused, with its payload.
  SendTogether({Part(0, 100), other});
  EXPECT_EQ(merged_frames(), 0u);
  EXPECT_EQ(Received(), Stream(100));
  EXPECT_EQ(peer_.Statistic("tcp.drop.bad_ack"), 1u);
}

TEST_F(StackSegmentsTest, BytesOutsideOfTheWindowAreRefusedAndAnsweredWithAnAck) {
  // What the peer may send; what memory is set aside for it (promised_bytes()) may be less.
  uint32_t window = 0;
  peer_.stack().worker(1).engine().VisitConnections(
      [&](const TcpConnection& connection) { window = connection.receiver.outstanding_bytes(); });
  const std::vector<SeenFrame> answers =
      peer_.Send(RawSegment{.seq = kIss + 1 + window + 1, .ack = iss_ + 1, .payload = {1, 2, 3}});
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].tcp().ack(), kIss + 1);
  EXPECT_EQ(peer_.Statistic("tcp.drop.outside_window"), 1u);
  // Half of this one lies inside.
  (void)peer_.Send(
      RawSegment{.seq = kIss + 1 + window - 50, .ack = iss_ + 1, .payload = TestPayload(100)});
  EXPECT_EQ(peer_.Statistic("tcp.drop.beyond_window"), 1u);
  SendBytes(0, 100);
  EXPECT_EQ(Received().size(), 100u);
}

TEST_F(StackSegmentsTest, ABlindResetAndABlindSynAreChallengedAndHarmNobody) {
  EXPECT_EQ(peer_.Send(RawSegment{.seq = kIss + 50, .flags = kTcpRst}).size(), 1u);
  EXPECT_EQ(peer_.Send(RawSegment{.seq = kIss + 50, .flags = kTcpSyn}).size(), 1u);
  SendBytes(0, 100);
  EXPECT_EQ(Received().size(), 100u);
  EXPECT_EQ(connection_->info().state, "ESTABLISHED");
}

TEST_F(StackSegmentsTest, AResetEndsTheStreamAfterWhatHadArrived) {
  SendBytes(0, 100);
  SendBytes(200, 300);
  (void)peer_.Send(RawSegment{.seq = kIss + 101, .flags = kTcpRst});
  std::array<Frag, 4> frags;
  ASSERT_EQ(*connection_->Recv(frags, 0), 1u);
  EXPECT_EQ(frags[0].length_bytes, 100u);
  EXPECT_TRUE(absl::IsUnavailable(connection_->Recv(frags, 0).status()));
  EXPECT_TRUE(connection_->Release(std::span(frags).first(1)).ok());
}

TEST_F(StackSegmentsTest, DataForAConnectionThatNobodyReadsAnyMoreIsAnsweredWithAReset) {
  SendBytes(0, 100);
  EXPECT_EQ(Received().size(), 100u);
  connection_.reset();
  EXPECT_EQ(peer_.Exchange().size(), 1u);  // The FIN.
  const std::vector<SeenFrame> answers = SendBytes(100, 200);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_NE(answers[0].tcp().flags() & kTcpRst, 0);
  EXPECT_EQ(peer_.stack().worker(1).engine().connection_count(), 0u);
  iss_ = peer_.Handshake({.source_port = 40001, .seq = kIss});
  connection_ = ValueOrFail(listener_->Accept(0), "connection");
}

TEST_F(StackSegmentsTest, APeerThatVanishesIsGivenUpAndItsMemoryFreed) {
  SendBytes(0, 100);
  SendBytes(200, 300);
  EXPECT_EQ(*connection_->Send(TestPayload(1000)), 1000u);
  // Nothing comes back from now on. Retransmissions go on for more than a hundred seconds.
  const absl::Status flushed = connection_->Flush(peer_.session().Now() + 100 * kSecond);
  EXPECT_TRUE(absl::IsDeadlineExceeded(flushed)) << flushed;
  const absl::Status over = connection_->Flush(peer_.session().Now() + 7200 * kSecond);
  EXPECT_TRUE(absl::IsUnavailable(over)) << over;
  EXPECT_NE(over.message().find("timed out"), absl::string_view::npos) << over;
  EXPECT_EQ(peer_.Statistic("tcp.timeouts"), kDataRetriesMax + 1);
  // What had arrived in order is still there.
  EXPECT_EQ(Received().size(), 100u);
  EXPECT_EQ(connection_->info().state, "CLOSED");
  (void)peer_.Exchange();
}

}  // namespace
}  // namespace devmem::testing
