// SPDX-License-Identifier: Apache-2.0
//
// The tx ring against a driver that behaves and one that does not: what is sent, what completes,
// and that every lie is counted and costs one packet.

#include "netmem/gvnic/tx_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/limits.h"
#include "selftests/testing/gvnic_ring_driver.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using testing::GvnicGuest;
using testing::TestFrame;
using testing::TestPayload;
using testing::TxCompletion;
using testing::TxDriver;

struct CapturingPort final : Port {
  void Transmit(Packet packet) override { packets.push_back(std::move(packet)); }
  std::vector<Packet> packets;
};

class TxRingTest : public ::testing::Test {
 protected:
  TxRingTest() {
    absl::StatusOr<std::unique_ptr<TxRing>> ring =
        TxRing::Create(guest_.memory(), driver_.config(), stats_);
    EXPECT_TRUE(ring.ok()) << ring.status();
    ring_ = std::move(*ring);
  }

  void Ring() { ring_->Doorbell(driver_.tail(), &port_); }

  // Rings, and expects nothing to be sent and the packet with `tag` to complete all the same.
  void ExpectDrop(uint64_t DataPathStats::*count, uint16_t tag) {
    const uint64_t before = stats_.*count;
    Ring();
    EXPECT_EQ(stats_.*count, before + 1);
    EXPECT_TRUE(port_.packets.empty());
    const std::vector<TxCompletion> completions = driver_.TakeCompletions();
    ASSERT_FALSE(completions.empty());
    EXPECT_EQ(completions[0], (TxCompletion{5, kTxCompletionPacket, tag}));
    // The ring still works.
    driver_.Send(TestFrame().Bytes(), 9);
    Ring();
    EXPECT_EQ(port_.packets.size(), 1u);
    port_.packets.clear();
    driver_.TakeCompletions();
  }

  uint64_t Frame(uint32_t bytes = 100) { return guest_.Put(TestPayload(bytes)); }

  GvnicGuest guest_;
  TxDriver driver_{guest_, 5};
  CapturingPort port_;
  DataPathStats stats_;
  std::unique_ptr<TxRing> ring_;
};

TEST_F(TxRingTest, APacketInSeveralPiecesIsSentWholeAndCompletesOnce) {
  const std::vector<uint8_t> frame = TestFrame{.payload = TestPayload(1000)}.Bytes();
  driver_.Send(frame, 77, false, 300);
  Ring();
  ASSERT_EQ(port_.packets.size(), 1u);
  EXPECT_EQ(port_.packets[0].bytes, frame);
  EXPECT_FALSE(port_.packets[0].checksum_good);
  // One packet, and one report that the ring has been read up to behind its last descriptor.
  const std::vector<TxCompletion> expected = {
      {5, kTxCompletionPacket, 77},
      {5, kTxCompletionDescriptors, static_cast<uint16_t>(driver_.tail())}};
  EXPECT_EQ(driver_.TakeCompletions(), expected);
  EXPECT_TRUE(ring_->TakeNews());
  EXPECT_FALSE(ring_->TakeNews());
}

TEST_F(TxRingTest, TheGenerationFlipsAtEveryWrap) {
  for (uint16_t i = 0; i < 500; ++i) {
    driver_.Send(TestFrame().Bytes(), i);
    Ring();
    const std::vector<TxCompletion> completions = driver_.TakeCompletions();
    ASSERT_EQ(completions.size(), 2u) << i;
    ASSERT_EQ(completions[0].value, i);
  }
  EXPECT_EQ(port_.packets.size(), 500u);
}

TEST_F(TxRingTest, APacketMayBeginInOneDoorbellAndEndInTheNext) {
  const uint64_t frame = Frame();
  driver_.PostData({.address = frame, .bytes = 60, .tag = 3, .end = false});
  Ring();
  EXPECT_TRUE(port_.packets.empty());
  driver_.PostData({.address = frame + 60, .bytes = 40, .tag = 3});
  Ring();
  ASSERT_EQ(port_.packets.size(), 1u);
  EXPECT_EQ(port_.packets[0].bytes, TestPayload(100));
}

TEST_F(TxRingTest, AChecksumIsMadeWhateverStandsInItsField) {
  TestFrame frame{.payload = TestPayload(777)};
  std::vector<uint8_t> wanted = frame.Bytes();
  std::vector<uint8_t> sent = wanted;
  sent[50] = 0xab;
  sent[51] = 0xcd;
  driver_.Send(sent, 1, true);
  Ring();
  ASSERT_EQ(port_.packets.size(), 1u);
  EXPECT_EQ(port_.packets[0].bytes, wanted);
  EXPECT_TRUE(port_.packets[0].checksum_good);
  EXPECT_EQ(stats_.tx_checksums, 1u);
}

TEST_F(TxRingTest, AChecksumAskedForOnWhatHasNoneIsSkippedAndCounted) {
  std::vector<uint8_t> arp(60, 0);
  arp[12] = 0x08;
  arp[13] = 0x06;
  driver_.Send(arp, 1, true);
  Ring();
  ASSERT_EQ(port_.packets.size(), 1u);
  EXPECT_EQ(port_.packets[0].bytes, arp);
  EXPECT_EQ(stats_.tx_checksums_skipped, 1u);
}

TEST_F(TxRingTest, ASuperFrameKeepsItsSegmentSize) {
  const TestFrame frame{.payload = TestPayload(5000)};
  const uint8_t header_bytes = static_cast<uint8_t>(frame.Header().size());
  driver_.SendTso(frame.Bytes(), 1, 1448, header_bytes);
  Ring();
  ASSERT_EQ(port_.packets.size(), 1u);
  EXPECT_EQ(port_.packets[0].segment_bytes, 1448);
  EXPECT_EQ(port_.packets[0].header_bytes, header_bytes);
  EXPECT_EQ(stats_.tx_super_frames, 1u);
}

TEST_F(TxRingTest, ASuperFrameOfOneSegmentIsAnOrdinaryFrame) {
  const TestFrame frame{.payload = TestPayload(500)};
  std::vector<uint8_t> sent = frame.Bytes();
  sent[50] ^= 0xff;
  driver_.SendTso(sent, 1, 1448, static_cast<uint8_t>(frame.Header().size()));
  Ring();
  ASSERT_EQ(port_.packets.size(), 1u);
  EXPECT_EQ(port_.packets[0].segment_bytes, 0);
  EXPECT_EQ(port_.packets[0].bytes, frame.Bytes());
}

TEST_F(TxRingTest, WithoutAPortPacketsCompleteAndAreCounted) {
  driver_.Send(TestFrame().Bytes(), 1);
  ring_->Doorbell(driver_.tail(), nullptr);
  EXPECT_EQ(stats_.tx_drop_link_down, 1u);
  EXPECT_EQ(driver_.TakeCompletions().size(), 2u);
}

TEST_F(TxRingTest, AnAddressWithoutMemoryCostsThePacket) {
  driver_.PostData({.address = guest_.end() - 50, .bytes = 51, .tag = 4});
  ExpectDrop(&DataPathStats::tx_drop_memory, 4);
  driver_.PostData({.address = UINT64_MAX - 5, .bytes = 100, .tag = 5});
  ExpectDrop(&DataPathStats::tx_drop_memory, 5);
}

TEST_F(TxRingTest, TagsThatDifferOrUseTheReservedBitCostThePacket) {
  driver_.PostData({.address = Frame(), .bytes = 50, .tag = 4, .end = false});
  driver_.PostData({.address = Frame(), .bytes = 50, .tag = 5});
  ExpectDrop(&DataPathStats::tx_drop_tag, 4);
  driver_.PostData({.address = Frame(), .bytes = 50, .tag = 0x8004});
  ExpectDrop(&DataPathStats::tx_drop_tag, 4);
}

TEST_F(TxRingTest, DescriptorsThatMakeNoSenseCostThePacket) {
  driver_.PostRaw(0, 0x1f);
  driver_.PostData({.address = Frame(), .bytes = 50, .tag = 4});
  ExpectDrop(&DataPathStats::tx_drop_descriptor, 4);
  driver_.PostData({.address = Frame(), .bytes = 0, .tag = 5});
  ExpectDrop(&DataPathStats::tx_drop_descriptor, 5);
  // A TSO context in the middle of a packet.
  driver_.PostData({.address = Frame(), .bytes = 50, .tag = 6, .end = false});
  driver_.PostTso(1000, 500, 54);
  driver_.PostData({.address = Frame(), .bytes = 50, .tag = 6});
  ExpectDrop(&DataPathStats::tx_drop_descriptor, 6);
  for (uint32_t i = 0; i <= kTxDataDescriptorsMax; ++i) {
    driver_.PostData(
        {.address = Frame(), .bytes = 50, .tag = 7, .end = i == kTxDataDescriptorsMax});
  }
  ExpectDrop(&DataPathStats::tx_drop_descriptor, 7);
}

TEST_F(TxRingTest, PacketsTooShortOrTooLongAreDropped) {
  driver_.PostData({.address = Frame(), .bytes = 13, .tag = 4});
  ExpectDrop(&DataPathStats::tx_drop_size, 4);
  driver_.PostData(
      {.address = GvnicGuest::kBase, .bytes = kTxFrameBytesMax, .tag = 5, .end = false});
  driver_.PostData({.address = GvnicGuest::kBase, .bytes = 1, .tag = 5});
  ExpectDrop(&DataPathStats::tx_drop_size, 5);
}

TEST_F(TxRingTest, SuperFramesThatLieAboutTheirLengthsAreDropped) {
  const TestFrame frame{.payload = TestPayload(5000)};
  const std::vector<uint8_t> bytes = frame.Bytes();
  const uint8_t header_bytes = static_cast<uint8_t>(frame.Header().size());
  driver_.SendTso(bytes, 1, 1448, header_bytes - 1);
  ExpectDrop(&DataPathStats::tx_drop_tso, 1);
  driver_.PostTso(4999, 1448, header_bytes);
  driver_.Send(bytes, 2);
  ExpectDrop(&DataPathStats::tx_drop_tso, 2);
  driver_.SendTso(bytes, 3, kTsoSegmentBytesMin - 1, header_bytes);
  ExpectDrop(&DataPathStats::tx_drop_tso, 3);
  driver_.SendTso(bytes, 4, kTsoSegmentBytesMax + 1, header_bytes);
  ExpectDrop(&DataPathStats::tx_drop_tso, 4);
  driver_.SendTso(TestPayload(5000), 5, 1448, header_bytes);
  ExpectDrop(&DataPathStats::tx_drop_tso, 5);
}

TEST_F(TxRingTest, ATailOutsideTheRingIsIgnored) {
  ring_->Doorbell(64, &port_);
  ring_->Doorbell(UINT32_MAX, &port_);
  EXPECT_EQ(stats_.bad_doorbells, 2u);
  EXPECT_TRUE(driver_.TakeCompletions().empty());
}

TEST_F(TxRingTest, ARingThatIsNoLongerMappedIsLeftAlone) {
  driver_.Send(TestFrame().Bytes(), 1);
  guest_.memory().UnmapAll();
  Ring();
  EXPECT_EQ(stats_.tx_ring_faults, 1u);
  EXPECT_TRUE(port_.packets.empty());
  EXPECT_FALSE(ring_->TakeNews());
}

TEST_F(TxRingTest, RingsThatCannotBeAreRefused) {
  const auto code = [this](const TxRingConfig& config) {
    return TxRing::Create(guest_.memory(), config, stats_).status().code();
  };
  TxRingConfig config = driver_.config();
  config.descriptor_entries = 48;
  EXPECT_EQ(code(config), absl::StatusCode::kOutOfRange);
  config = driver_.config();
  config.completion_entries = 0;
  EXPECT_EQ(code(config), absl::StatusCode::kOutOfRange);
  config = driver_.config();
  config.completion_ring += 4;
  EXPECT_EQ(code(config), absl::StatusCode::kInvalidArgument);
  config = driver_.config();
  config.descriptor_ring = guest_.end() - 16;
  EXPECT_EQ(code(config), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace devmem
