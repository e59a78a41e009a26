// SPDX-License-Identifier: Apache-2.0
//
// Two data paths back to back, each with a driver: what one guest sends the other receives, whole
// or cut, on the queue that rules and hash name, with one interrupt per queue and batch.

#include "netmem/gvnic/data_path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/device_port.h"
#include "netmem/gvnic/faulty_wire.h"
#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/pair_link.h"
#include "selftests/testing/gvnic_ring_driver.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using testing::GvnicGuest;
using testing::ReceivedPacket;
using testing::RxDriver;
using testing::TestFrame;
using testing::TestPayload;
using testing::TxDriver;

struct Device {
  GvnicGuest guest;
  std::vector<uint32_t> interrupts;
  DataPath path{guest.memory(), [this](uint32_t block) { interrupts.push_back(block); }};
  DevicePort port{path};

  uint64_t Count(absl::string_view name) const {
    for (const NamedCount& count : path.statistics()) {
      if (count.name == name) return count.value;
    }
    ADD_FAILURE() << "no count " << name;
    return 0;
  }
};

class DataPathTest : public ::testing::Test {
 protected:
  DataPathTest() {
    a_.path.SetPort(&link_.end(0));
    b_.path.SetPort(&link_.end(1));
    link_.SetReceiver(0, &a_.port);
    link_.SetReceiver(1, &b_.port);
    EXPECT_TRUE(a_.path.CreateTx(tx_.config()).ok());
  }

  // Makes rx queue `queue` of device b, with buffers.
  RxDriver MakeRx(uint32_t queue, const RxDriver::Shape& shape) {
    RxDriver driver(b_.guest, queue, shape);
    EXPECT_TRUE(b_.path.CreateRx(driver.config()).ok());
    driver.Post(shape.entries - 1u);
    b_.path.RxDoorbell(queue, driver.tail());
    return driver;
  }
  void Go() {
    a_.path.TxDoorbell(0, tx_.tail());
    while (link_.Deliver()) {
    }
  }

  Device a_, b_;
  PairLink link_;
  TxDriver tx_{a_.guest, 0, 256};
};

TEST_F(DataPathTest, ASuperFrameCrossesWholeToAQueueWithGro) {
  RxDriver rx = MakeRx(0, {.entries = 64, .buffer_bytes = 4096, .gro_hw = true});
  const TestFrame frame{.payload = TestPayload(50000)};
  tx_.SendTso(frame.Bytes(), 1, 1448, 54);
  Go();
  const std::vector<ReceivedPacket> packets = rx.TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].payload, frame.payload);
  EXPECT_TRUE(packets[0].last.is_rsc);
  EXPECT_TRUE(packets[0].last.checksum_processed);
  EXPECT_EQ(a_.interrupts, std::vector<uint32_t>{0});
  EXPECT_EQ(b_.interrupts, std::vector<uint32_t>{100});
}

TEST_F(DataPathTest, ASuperFrameIsCutForAQueueWithoutGro) {
  RxDriver rx = MakeRx(0, {.entries = 64});
  const TestFrame frame{.payload = TestPayload(5000)};
  tx_.SendTso(frame.Bytes(), 1, 1448, 54);
  Go();
  const std::vector<ReceivedPacket> packets = rx.TakePackets();
  ASSERT_EQ(packets.size(), 4u);
  std::vector<uint8_t> payload;
  for (const ReceivedPacket& packet : packets) {
    const std::vector<uint8_t> bytes = packet.Bytes();
    EXPECT_EQ(VerifyL4Checksum(bytes, ReadFrameLayout(bytes)), L4Check::kGood);
    EXPECT_FALSE(packet.last.is_rsc);
    payload.insert(payload.end(), packet.payload.begin(), packet.payload.end());
  }
  EXPECT_EQ(payload, frame.payload);
  EXPECT_EQ(b_.interrupts.size(), 1u);
  EXPECT_EQ(b_.Count("rx_cut_super_frames"), 1u);
}

TEST_F(DataPathTest, ARuleComesBeforeTheHashAndTheHashBeforeQueueZero) {
  RxDriver zero = MakeRx(0, {});
  RxDriver one = MakeRx(1, {});
  RxDriver two = MakeRx(2, {});
  ASSERT_TRUE(b_.path.steering().SetRssTable(std::vector<uint32_t>(kRssTableEntries, 1), 3).ok());
  MaskedRule rule{.queue = 2};
  rule.key.local_port = 5201;
  rule.mask.local_port = 0xffff;
  ASSERT_TRUE(b_.path.steering().rules().Add(rule).ok());

  TestFrame frame;
  tx_.Send(frame.Bytes(), 1);
  frame.flow.local_port = 5202;
  tx_.Send(frame.Bytes(), 2);
  std::vector<uint8_t> arp(60, 0);
  arp[12] = 0x08;
  arp[13] = 0x06;
  tx_.Send(arp, 3);
  Go();
  EXPECT_EQ(two.TakePackets().size(), 1u);
  const std::vector<ReceivedPacket> hashed = one.TakePackets();
  ASSERT_EQ(hashed.size(), 1u);
  EXPECT_EQ(hashed[0].last.hash, RssHash(frame.flow, true));
  EXPECT_EQ(zero.TakePackets().size(), 1u);
  EXPECT_EQ(b_.Count("rx_steered_by_rule"), 1u);
}

TEST_F(DataPathTest, ADamagedFrameFromOutsideIsFoundOut) {
  RxDriver rx = MakeRx(0, {});
  Packet packet{.bytes = TestFrame{.payload = TestPayload(64)}.Bytes()};
  packet.bytes.back() ^= 4;
  b_.path.Receive(packet);
  packet.checksum_good = true;  // Somebody vouches for it: nobody looks.
  b_.path.Receive(packet);
  EXPECT_TRUE(b_.interrupts.empty());
  b_.path.EndBatch();
  EXPECT_EQ(b_.interrupts.size(), 1u);
  const std::vector<ReceivedPacket> packets = rx.TakePackets();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_TRUE(packets[0].last.checksum_error);
  EXPECT_FALSE(packets[1].last.checksum_error);
}

TEST_F(DataPathTest, QueuesThatDoNotExistAreCounted) {
  b_.path.TxDoorbell(3, 0);
  b_.path.RxDoorbell(UINT32_MAX, 0);
  EXPECT_EQ(b_.Count("bad_doorbells"), 2u);
  tx_.Send(TestFrame().Bytes(), 1);
  Go();
  EXPECT_EQ(b_.Count("rx_drop_no_queue"), 1u);
  EXPECT_EQ(b_.path.DestroyRx(0).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(a_.path.CreateTx(tx_.config()).code(), absl::StatusCode::kAlreadyExists);
  TxRingConfig far = tx_.config();
  far.queue = kGvnicQueuesMax;
  EXPECT_EQ(a_.path.CreateTx(far).code(), absl::StatusCode::kOutOfRange);
}

TEST_F(DataPathTest, NothingOfADestroyedQueueIsTouched) {
  RxDriver rx = MakeRx(0, {});
  ASSERT_TRUE(b_.path.DestroyRx(0).ok());
  const uint64_t ring_bytes = uint64_t{rx.config().completion_entries} * kRxCompletionBytes;
  tx_.Send(TestFrame().Bytes(), 1);
  Go();
  b_.path.RxDoorbell(0, 5);
  EXPECT_EQ(b_.guest.Bytes(rx.config().completion_ring, ring_bytes),
            std::vector<uint8_t>(ring_bytes, 0));
  // Made anew, it begins at the beginning.
  RxDriver again = MakeRx(0, {});
  tx_.Send(TestFrame().Bytes(), 2);
  Go();
  EXPECT_EQ(again.TakePackets().size(), 1u);
}

TEST_F(DataPathTest, AResetLeavesNoQueueNoRuleAndNoRss) {
  RxDriver rx = MakeRx(0, {});
  ASSERT_TRUE(b_.path.steering().rules().Add({.queue = 7}).ok());
  b_.path.Reset();
  EXPECT_EQ(b_.path.steering().rules().size(), 0u);
  EXPECT_EQ(b_.path.DestroyRx(0).code(), absl::StatusCode::kNotFound);
}

TEST_F(DataPathTest, NothingPassesALinkThatIsDown) {
  RxDriver rx = MakeRx(0, {});
  b_.path.SetLinkUp(false);
  tx_.Send(TestFrame().Bytes(), 1);
  Go();
  EXPECT_EQ(b_.Count("rx_drop_link_down"), 1u);
  a_.path.SetLinkUp(false);
  b_.path.SetLinkUp(true);
  tx_.Send(TestFrame().Bytes(), 2);
  Go();
  EXPECT_EQ(a_.Count("tx_drop_link_down"), 1u);
  EXPECT_EQ(tx_.TakeCompletions().size(), 4u);
  a_.path.SetLinkUp(true);
  tx_.Send(TestFrame().Bytes(), 3);
  Go();
  EXPECT_EQ(rx.TakePackets().size(), 1u);
}

TEST_F(DataPathTest, LiftingAFaultDeliversWhatWaited) {
  RxDriver rx = MakeRx(0, {});
  b_.path.SetFaults({.withhold_buffers = true});
  tx_.Send(TestFrame().Bytes(), 1);
  Go();
  EXPECT_TRUE(rx.TakePackets().empty());
  b_.path.SetFaults({});
  EXPECT_EQ(rx.TakePackets().size(), 1u);
  EXPECT_EQ(b_.interrupts.size(), 1u);
}

// Frames of a stream that arrive one by one.
class DataPathRscTest : public DataPathTest {
 protected:
  static constexpr uint32_t kSegmentBytes = 1448;

  void Receive(uint32_t frames) {
    for (; frames > 0; --frames) {
      const TestFrame frame{.seq = seq_, .payload = TestPayload(kSegmentBytes, seq_.value())};
      b_.path.Receive({.bytes = frame.Bytes()});
      seq_ += kSegmentBytes;
    }
  }

  SeqNum seq_ = SeqNum(1);
};

TEST_F(DataPathRscTest, TheFramesOfABurstAreOnePacketAndNoneWaitsForAnother) {
  RxDriver rx = MakeRx(0, {.entries = 64, .buffer_bytes = 4096, .gro_hw = true});
  for (int burst = 0; burst < 2; ++burst) {
    Receive(10);
    EXPECT_TRUE(rx.TakePackets().empty());
    b_.path.EndBatch();
    const std::vector<ReceivedPacket> packets = rx.TakePackets();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_TRUE(packets[0].last.is_rsc);
    EXPECT_EQ(packets[0].last.segment_bytes, kSegmentBytes);
    EXPECT_TRUE(packets[0].last.checksum_processed);
    EXPECT_FALSE(packets[0].last.checksum_error);
    EXPECT_EQ(packets[0].payload.size(), 10 * kSegmentBytes);
    EXPECT_EQ(packets[0].bytes_in_buffers.size(), 4u);
    const std::vector<uint8_t> bytes = packets[0].Bytes();
    EXPECT_EQ(VerifyL4Checksum(bytes, ReadFrameLayout(bytes)), L4Check::kGood);
  }
  EXPECT_EQ(b_.interrupts.size(), 2u);
  EXPECT_EQ(b_.Count("rx_rsc_packets"), 2u);
  EXPECT_EQ(b_.Count("rx_rsc_frames"), 20u);
  EXPECT_EQ(b_.Count("rx_packets"), 2u);
}

TEST_F(DataPathRscTest, AQueueWithoutGroMergesNothing) {
  RxDriver rx = MakeRx(0, {});
  Receive(3);
  EXPECT_EQ(rx.TakePackets().size(), 3u);
}

TEST_F(DataPathRscTest, ADestroyedQueueHasWhatWasBeingMerged) {
  RxDriver rx = MakeRx(0, {.gro_hw = true});
  Receive(2);
  ASSERT_TRUE(b_.path.DestroyRx(0).ok());
  EXPECT_EQ(rx.TakePackets().size(), 1u);
  EXPECT_EQ(b_.Count("rx_rsc_end_stop"), 1u);
}

TEST_F(DataPathRscTest, AResetDropsWhatWasBeingMergedAndCountsItsFrames) {
  RxDriver rx = MakeRx(0, {.gro_hw = true});
  Receive(3);
  b_.path.Reset();
  b_.path.EndBatch();
  EXPECT_TRUE(rx.TakePackets().empty());
  EXPECT_EQ(b_.Count("rx_drop_held"), 3u);
}

TEST_F(DataPathRscTest, WhatAWireCutArrivesWholeAgain) {
  RxDriver rx = MakeRx(0, {.entries = 64, .buffer_bytes = 4096, .gro_hw = true});
  FaultyWire wire({}, 1, 1, b_.port);
  a_.path.SetPort(&wire);
  const TestFrame frame{.payload = TestPayload(20 * kSegmentBytes)};
  tx_.SendTso(frame.Bytes(), 1, kSegmentBytes, 54);
  Go();
  wire.Advance(1);
  const std::vector<ReceivedPacket> packets = rx.TakePackets();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].payload, frame.payload);
  EXPECT_TRUE(packets[0].last.is_rsc);
  EXPECT_FALSE(packets[0].last.checksum_error);
}

}  // namespace
}  // namespace devmem
