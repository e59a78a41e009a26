// SPDX-License-Identifier: Apache-2.0
//
// The rx ring: where headers and payload go, what completions say, what waits for buffers, what
// each fault looks like to the driver, and that hostile buffers cost one packet each.

#include "netmem/gvnic/rx_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "netmem/gvnic/limits.h"
#include "selftests/testing/gvnic_ring_driver.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using testing::GvnicGuest;
using testing::ReceivedPacket;
using testing::RxDriver;
using testing::TestFrame;
using testing::TestPayload;

constexpr uint32_t kHeaderBytes = 54;  // Of TestFrame: no options.

class RxRingTest : public ::testing::Test {
 protected:
  RxRingTest() { Make({}); }

  void Make(const RxDriver::Shape& shape) {
    driver_ = std::make_unique<RxDriver>(guest_, 1, shape);
    absl::StatusOr<std::unique_ptr<RxRing>> ring =
        RxRing::Create(guest_.memory(), driver_->config(), faults_, stats_);
    ASSERT_TRUE(ring.ok()) << ring.status();
    ring_ = std::move(*ring);
  }
  void Post(uint32_t count) {
    driver_->Post(count);
    ring_->Doorbell(driver_->tail());
  }
  void Receive(std::vector<uint8_t> bytes, uint16_t segment_bytes = 0) {
    RxPacket packet;
    packet.packet.bytes = std::move(bytes);
    packet.packet.segment_bytes = segment_bytes;
    packet.layout = ReadFrameLayout(packet.packet.bytes);
    packet.hash = 0x12345678;
    packet.check = VerifyL4Checksum(packet.packet.bytes, packet.layout);
    ring_->Receive(std::move(packet));
  }
  std::vector<uint8_t> Frame(uint32_t payload_bytes, uint32_t seed = 0) {
    return TestFrame{.payload = TestPayload(payload_bytes, seed)}.Bytes();
  }

  GvnicGuest guest_;
  RxFaults faults_;
  DataPathStats stats_;
  std::unique_ptr<RxDriver> driver_;
  std::unique_ptr<RxRing> ring_;
};

TEST_F(RxRingTest, HeadersAndPayloadGoApart) {
  Post(4);
  const std::vector<uint8_t> frame = Frame(1448);
  Receive(frame);
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].header.size(), kHeaderBytes);
  EXPECT_EQ(packets[0].payload, TestPayload(1448));
  EXPECT_EQ(packets[0].Bytes(), frame);
  EXPECT_EQ(packets[0].last.hash, 0x12345678u);
  EXPECT_EQ(packets[0].last.packet_type, PacketType(L3Kind::kIpv4, L4Kind::kTcp));
  EXPECT_TRUE(packets[0].last.checksum_processed);
  EXPECT_FALSE(packets[0].last.checksum_error);
  EXPECT_FALSE(packets[0].last.is_rsc);
  EXPECT_TRUE(ring_->TakeNews());
  EXPECT_FALSE(ring_->TakeNews());
}

TEST_F(RxRingTest, APureAckTakesOneBufferWithNothingInIt) {
  Post(4);
  Receive(Frame(0));
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].bytes_in_buffers, std::vector<uint32_t>{0});
  EXPECT_EQ(packets[0].header.size(), kHeaderBytes);
}

TEST_F(RxRingTest, PaddingBehindTheIpPacketIsNotDelivered) {
  Post(4);
  std::vector<uint8_t> frame = Frame(0);
  frame.resize(60);
  Receive(frame);
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_TRUE(packets[0].payload.empty());
}

TEST_F(RxRingTest, ALargePacketFillsBuffersAndOnlyTheFirstIsSplit) {
  Make({.buffer_bytes = 4096, .gro_hw = true});
  Post(32);
  const std::vector<uint8_t> frame = Frame(60000);
  Receive(frame, 1448);
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].Bytes(), frame);
  EXPECT_EQ(packets[0].bytes_in_buffers.size(), 15u);
  EXPECT_EQ(packets[0].bytes_in_buffers.front(), 4096u);
  EXPECT_EQ(packets[0].bytes_in_buffers.back(), 60000u - 14 * 4096);
  EXPECT_TRUE(packets[0].last.is_rsc);
  EXPECT_EQ(packets[0].last.segment_bytes, 1448);
}

TEST_F(RxRingTest, FramesThatAreNotTcpStayWhole) {
  Post(4);
  std::vector<uint8_t> arp(60, 7);
  arp[12] = 0x08;
  arp[13] = 0x06;
  Receive(arp);
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_FALSE(packets[0].last.is_split);
  EXPECT_EQ(packets[0].payload, arp);
  EXPECT_EQ(packets[0].last.packet_type, 0);
  EXPECT_FALSE(packets[0].last.checksum_processed);
}

TEST_F(RxRingTest, WithoutHeaderBuffersFramesStayWhole) {
  Make({.header_bytes = 0});
  Post(4);
  const std::vector<uint8_t> frame = Frame(100);
  Receive(frame);
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_FALSE(packets[0].last.is_split);
  EXPECT_EQ(packets[0].payload, frame);
  EXPECT_EQ(stats_.rx_header_overflows, 0u);
}

TEST_F(RxRingTest, HeadersLongerThanTheirBufferOverflowIntoThePayload) {
  Make({.header_bytes = kHeaderBytes - 1});
  Post(4);
  Receive(Frame(100));
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_TRUE(packets[0].last.is_split);
  EXPECT_TRUE(packets[0].last.header_overflow);
  EXPECT_EQ(packets[0].last.header_bytes, 0);
  EXPECT_EQ(packets[0].payload.size(), kHeaderBytes + 100u);
  EXPECT_EQ(stats_.rx_header_overflows, 1u);
}

TEST_F(RxRingTest, ADamagedPacketCarriesTheErrorBit) {
  Post(4);
  std::vector<uint8_t> frame = Frame(100);
  frame.back() ^= 1;
  Receive(frame);
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_TRUE(packets[0].last.checksum_error);
  EXPECT_EQ(stats_.rx_checksum_errors, 1u);
}

TEST_F(RxRingTest, PacketsWaitInOrderForBuffers) {
  Post(1);
  for (uint32_t i = 0; i < 5; ++i) Receive(Frame(100, i));
  EXPECT_EQ(driver_->TakePackets().size(), 1u);
  EXPECT_EQ(ring_->held_packets(), 4u);
  Post(3);
  std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(packets[i].payload, TestPayload(100, i + 1));
  // A new one does not overtake the one that still waits.
  Receive(Frame(100, 5));
  Post(8);
  packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].payload, TestPayload(100, 4));
  EXPECT_EQ(packets[1].payload, TestPayload(100, 5));
  EXPECT_EQ(stats_.rx_drop_held, 0u);
}

TEST_F(RxRingTest, WhatWaitsIsBoundedAndCountedWhenTheQueueGoes) {
  for (uint32_t i = 0; i < kRxHeldPacketsMax + 3; ++i) Receive(Frame(0));
  EXPECT_EQ(ring_->held_packets(), kRxHeldPacketsMax);
  EXPECT_EQ(stats_.rx_drop_held, 3u);
  ring_ = nullptr;
  EXPECT_EQ(stats_.rx_drop_held, 3u + kRxHeldPacketsMax);
}

TEST_F(RxRingTest, APacketThatNoRingFullOfBuffersHoldsIsDropped) {
  Make({.entries = 4, .buffer_bytes = 2048});
  Post(3);
  Receive(Frame(3 * 2048));
  EXPECT_EQ(driver_->TakePackets().size(), 1u);
  Receive(Frame(3 * 2048 + 1));
  EXPECT_EQ(stats_.rx_drop_size, 1u);
  EXPECT_EQ(ring_->held_packets(), 0u);
}

TEST_F(RxRingTest, TheGenerationFlipsAtEveryWrap) {
  for (uint32_t i = 0; i < 300; ++i) {
    Post(1);
    Receive(Frame(100, i));
    const std::vector<ReceivedPacket> packets = driver_->TakePackets();
    ASSERT_EQ(packets.size(), 1u) << i;
    ASSERT_EQ(packets[0].payload, TestPayload(100, i));
  }
}

TEST_F(RxRingTest, FaultsSpoilAsManyPacketsAsAskedFor) {
  Post(16);
  faults_ = {.unsplittable = 1, .header_overflow = 1, .rx_error = 2};
  for (uint32_t i = 0; i < 4; ++i) Receive(Frame(100, i));
  const std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_TRUE(packets[0].last.header_overflow);
  EXPECT_EQ(packets[0].last.header_bytes, 0);
  EXPECT_TRUE(packets[0].last.rx_error);
  EXPECT_FALSE(packets[1].last.is_split);
  EXPECT_FALSE(packets[1].last.header_overflow);
  EXPECT_TRUE(packets[1].last.rx_error);
  EXPECT_TRUE(packets[2].last.is_split);
  EXPECT_FALSE(packets[2].last.rx_error);
  EXPECT_EQ(packets[3].Bytes(), Frame(100, 3));
}

TEST_F(RxRingTest, AFaultThatNeedsABufferMoreThanThereIsWaitsForAnotherPacket) {
  Post(1);
  faults_.unsplittable = 1;
  Receive(Frame(2048));
  std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_TRUE(packets[0].last.is_split);
  Post(2);
  Receive(Frame(2048));
  packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_FALSE(packets[0].last.is_split);
  EXPECT_EQ(packets[0].buffer_ids.size(), 2u);
}

TEST_F(RxRingTest, WithheldBuffersMakePacketsWait) {
  Post(16);
  faults_.withhold_buffers = true;
  Receive(Frame(100));
  EXPECT_TRUE(driver_->TakePackets().empty());
  faults_.withhold_buffers = false;
  ring_->Retry();
  EXPECT_EQ(driver_->TakePackets().size(), 1u);
}

TEST_F(RxRingTest, ABufferWithoutMemoryCostsThePacketAndEveryBufferCompletes) {
  driver_->Post(1);
  driver_->PostRaw(9, guest_.end() - 2047, 0);
  driver_->Post(1);
  ring_->Doorbell(driver_->tail());
  Receive(Frame(2048 + 100));
  std::vector<ReceivedPacket> packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_TRUE(packets[0].last.rx_error);
  EXPECT_FALSE(packets[0].last.is_split);
  EXPECT_EQ(packets[0].buffer_ids, (std::vector<uint16_t>{0, 9}));
  EXPECT_EQ(stats_.rx_drop_memory, 1u);
  Receive(Frame(100));
  packets = driver_->TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_FALSE(packets[0].last.rx_error);
}

TEST_F(RxRingTest, AHeaderBufferWithoutMemoryAndANumberOutsideTheRingCostAPacketEach) {
  driver_->PostRaw(3, driver_->buffer_address(3), UINT64_MAX - 20);
  driver_->PostRaw(64, driver_->buffer_address(3), driver_->buffer_address(4));
  ring_->Doorbell(driver_->tail());
  Receive(Frame(100));
  Receive(Frame(100));
  EXPECT_EQ(stats_.rx_drop_memory, 2u);
  std::optional<RxCompletion> completion = driver_->TakeCompletion();
  ASSERT_TRUE(completion);
  EXPECT_TRUE(completion->rx_error);
  completion = driver_->TakeCompletion();
  ASSERT_TRUE(completion);
  EXPECT_TRUE(completion->rx_error);
}

TEST_F(RxRingTest, ARingThatIsNoLongerMappedIsLeftAlone) {
  Post(4);
  guest_.memory().UnmapAll();
  Receive(Frame(100));
  EXPECT_GE(stats_.rx_ring_faults, 1u);
  EXPECT_EQ(stats_.rx_packets, 0u);
}

TEST_F(RxRingTest, ATailOutsideTheRingIsIgnored) {
  ring_->Doorbell(64);
  EXPECT_EQ(stats_.bad_doorbells, 1u);
  Receive(Frame(100));
  EXPECT_EQ(ring_->held_packets(), 1u);
}

TEST_F(RxRingTest, QueuesThatCannotBeAreRefused) {
  const auto code = [this](const RxRingConfig& config) {
    return RxRing::Create(guest_.memory(), config, faults_, stats_).status().code();
  };
  RxRingConfig config = driver_->config();
  config.buffer_bytes = kRxBufferBytesMax + 1;
  EXPECT_EQ(code(config), absl::StatusCode::kOutOfRange);
  config = driver_->config();
  config.header_bytes = kRxHeaderBytesMax + 1;
  EXPECT_EQ(code(config), absl::StatusCode::kOutOfRange);
  config = driver_->config();
  config.buffer_entries = 100;
  EXPECT_EQ(code(config), absl::StatusCode::kOutOfRange);
  config = driver_->config();
  config.completion_ring = 0;
  EXPECT_EQ(code(config), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace devmem
