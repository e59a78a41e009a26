// SPDX-License-Identifier: Apache-2.0
//
// The TAP's receive path with frames from the kernel's side: where header and payload land, what
// the header prediction's errors cost, and what is dropped. Needs root and /dev/net/tun.

#include "netmem/nic/tap_queue.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include <algorithm>
#include <array>
#include <span>
#include <thread>
#include <vector>

#include "netmem/nic/tap_nic.h"
#include "netmem/wire/byte_order.h"
#include "selftests/testing/tap_fixture.h"

namespace devmem {
namespace {

using testing::BoundTapTest;
using testing::KernelFrame;
using testing::kPlainHeaderBytes;
using testing::kTimestampHeaderBytes;
using testing::PutBack;
using testing::TestFlow;
using testing::TestMemory;
using testing::TestPayload;

class TapQueueTest : public BoundTapTest {};

TEST_F(TapQueueTest, PayloadOfASteeredFrameLandsInTheRegionAndItsHeaderInHostMemory) {
  const KernelFrame frame{.payload = TestPayload(1000)};
  kernel_->Send(frame);
  ASSERT_EQ(Receive(0, batch_), 1u);
  const RxDescriptor& got = batch_.frames[0];
  EXPECT_EQ(got.rx_class, RxClass::kSteered);
  EXPECT_EQ(std::vector(got.header.begin(), got.header.end()), frame.Header());
  EXPECT_EQ(got.headers.flow, frame.flow);
  EXPECT_EQ(got.placed_bytes, 1000u);
  ASSERT_EQ(got.piece_count, 1u);
  EXPECT_TRUE(batch_.pieces[0].netmem.is_device());
  EXPECT_EQ(Payload(), frame.payload);
  EXPECT_EQ(stats().steered_bytes, 1000u);
  EXPECT_EQ(stats().payload_bytes_bounced, 0u);
  EXPECT_EQ(stats().host_bytes, 0u);
  PutBackAll();
}

TEST_F(TapQueueTest, AFrameWithoutPayloadTakesNoMemory) {
  kernel_->Send(KernelFrame{.timestamps = true, .flags = kTcpSyn});
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(batch_.frames[0].rx_class, RxClass::kSteered);
  EXPECT_EQ(batch_.frames[0].piece_count, 0u);
  EXPECT_EQ(batch_.frames[0].header.size(), kTimestampHeaderBytes);
  EXPECT_EQ(device_.pool().account().used, 0u);
}

TEST_F(TapQueueTest, SuperFramesArriveWholeWithTheirSegmentCount) {
  const KernelFrame frame{.payload = TestPayload(60'000), .gso_segment_bytes = 1448};
  kernel_->Send(frame);
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(batch_.frames[0].segment_count, (60'000 + 1447) / 1448);
  EXPECT_EQ(batch_.frames[0].placed_bytes, 60'000u);
  EXPECT_EQ(Payload(), frame.payload);
  // The kernel's pseudo-header sum needs no look at the payload.
  EXPECT_EQ(stats().checksum_computed, 0u);
  PutBackAll();
}

TEST_F(TapQueueTest, PayloadOfSuccessiveFramesIsPackedWithoutGaps) {
  const std::vector<uint8_t> first = TestPayload(1001, 1);
  const std::vector<uint8_t> second = TestPayload(999, 2);
  kernel_->Send(KernelFrame{.payload = first});
  kernel_->Send(KernelFrame{.payload = second});
  ASSERT_EQ(Receive(0, batch_), 2u);
  Piece both = batch_.pieces[0];
  EXPECT_TRUE(device_.pool().Merge(both, batch_.pieces[1]));
  std::vector<uint8_t> expected = first;
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(device_.BytesOf(std::span(&both, 1)), expected);
  device_.pool().Put(both);
}

TEST_F(TapQueueTest, AHeaderLongerThanPredictedIsCompletedAndSkippedByOffset) {
  ASSERT_EQ(nic_->queue(0).predicted_header_bytes(), kPlainHeaderBytes);
  const KernelFrame frame{
      .payload = TestPayload(5000), .timestamps = true, .gso_segment_bytes = 1448};
  kernel_->Send(frame);
  ASSERT_EQ(Receive(0, batch_), 1u);
  const auto header = batch_.frames[0].header;
  EXPECT_EQ(std::vector(header.begin(), header.end()), frame.Header());
  // The surplus bytes of the header take their room in the region, in front of the payload.
  EXPECT_EQ(batch_.pieces[0].offset_bytes, kTimestampHeaderBytes - kPlainHeaderBytes);
  EXPECT_EQ(Payload(), frame.payload);
  EXPECT_EQ(batch_.frames[0].placed_bytes, 5000u);
  EXPECT_EQ(stats().steered_bytes, 5000u);
  EXPECT_EQ(stats().payload_bytes_bounced, 0u);
  PutBackAll();
}

TEST_F(TapQueueTest, SurplusHeaderBytesMayCrossFromOneRunToTheNext) {
  // A region of four slabs, given back in such an order that no two neighbours follow one another,
  // and 5 bytes left in the first: the 12 surplus bytes lie in two slabs.
  TestMemory slabs(TestMemory::Kind::kDevice, 4 * kSlabBytesDefault);
  nic_->queue(0).Unbind();
  Bind(0, slabs);
  std::array<Piece, 4> whole;
  for (Piece& slab : whole) ASSERT_EQ(slabs.pool().Take(kSlabBytesDefault, {&slab, 1}), 1u);
  for (const uint32_t index : {1u, 3u, 0u, 2u}) slabs.pool().Put(whole[index]);
  Piece held;
  ASSERT_EQ(slabs.pool().Take(kSlabBytesDefault - 5, {&held, 1}), 1u);
  ASSERT_EQ(slabs.pool().Posted()[0].bytes, 5u);
  const KernelFrame frame{
      .payload = TestPayload(3000), .timestamps = true, .gso_segment_bytes = 1448};
  kernel_->Send(frame);
  ASSERT_EQ(Receive(0, batch_), 1u);
  const auto header = batch_.frames[0].header;
  EXPECT_EQ(std::vector(header.begin(), header.end()), frame.Header());
  EXPECT_EQ(batch_.frames[0].piece_count, 1u);
  EXPECT_EQ(PayloadOf(batch_, batch_.frames[0], *host_[0], &slabs), frame.payload);
  PutBack(batch_, &host_[0]->pool(), &slabs.pool());
  slabs.pool().Put(held);
  nic_->queue(0).Unbind();
}

TEST_F(TapQueueTest, ThePredictionLearnsTheFlowsHeaderLength) {
  for (uint32_t n = 0; n < HeaderPrediction::kPatienceFramesMin; ++n) {
    const KernelFrame frame{.payload = TestPayload(100, n), .timestamps = true};
    EXPECT_EQ(RoundTrip(frame), frame.payload);
  }
  EXPECT_EQ(nic_->queue(0).predicted_header_bytes(), kTimestampHeaderBytes);
  kernel_->Send(KernelFrame{.payload = TestPayload(100), .timestamps = true});
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(batch_.frames[0].placed_bytes, 100u);
  PutBackAll();
  EXPECT_EQ(stats().payload_bytes_bounced, 0u);
}

TEST_F(TapQueueTest, AHeaderShorterThanPredictedBouncesOnlyTheBytesInTheSlot) {
  TeachTimestamps();
  const uint64_t steered_before = stats().steered_bytes;
  const KernelFrame frame{.payload = TestPayload(4000, 99), .gso_segment_bytes = 1448};
  kernel_->Send(frame);
  ASSERT_EQ(Receive(0, batch_), 1u);
  const RxDescriptor& got = batch_.frames[0];
  ASSERT_GE(got.piece_count, 2u);
  EXPECT_FALSE(batch_.PiecesOf(got)[0].netmem.is_device());
  EXPECT_EQ(batch_.PiecesOf(got)[0].length_bytes, 12u);
  EXPECT_TRUE(batch_.PiecesOf(got)[1].netmem.is_device());
  EXPECT_EQ(Payload(), frame.payload);
  EXPECT_EQ(got.placed_bytes, 4000u);
  EXPECT_EQ(stats().payload_bytes_bounced, 12u);
  EXPECT_EQ(stats().steered_bytes - steered_before, 3988u);
  EXPECT_EQ(nic_->queue(0).predicted_header_bytes(), kPlainHeaderBytes);
  PutBackAll();
}

TEST_F(TapQueueTest, APayloadThatFitsIntoTheSlotEntirelyIsStillDelivered) {
  TeachTimestamps();
  const KernelFrame frame{.payload = {7, 8, 9}};
  EXPECT_EQ(RoundTrip(frame), frame.payload);
  EXPECT_EQ(stats().payload_bytes_bounced, 3u);
}

TEST_F(TapQueueTest, ChecksumsThatTheKernelLeftUnsaidAreSummedInTheRegion) {
  const KernelFrame frame{.payload = TestPayload(1001)};
  EXPECT_EQ(RoundTrip(frame), frame.payload);
  EXPECT_EQ(stats().checksum_computed, 1u);
  EXPECT_EQ(stats().drop_checksum, 0u);
}

TEST_F(TapQueueTest, APollEndsAtItsBoundsAndTheNextGoesOn) {
  constexpr uint32_t kFull = kBatchPayloadBytesMax / 60'000 + 1;  // The first sum past the bound.
  for (uint32_t n = 0; n < kFull + 1; ++n) {
    kernel_->Send(KernelFrame{.payload = TestPayload(60'000, n), .gso_segment_bytes = 1448});
  }
  ASSERT_EQ(Receive(0, batch_), kFull);
  for (uint32_t n = 0; n < kFull; ++n) EXPECT_EQ(Payload(n), TestPayload(60'000, n));
  PutBackAll();
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(Payload(), TestPayload(60'000, kFull));
  PutBackAll();
}

TEST_F(TapQueueTest, AnUnboundQueueReceivesIntoHostMemory) {
  nic_->queue(0).Unbind();
  for (const bool timestamps : {false, true}) {
    const KernelFrame frame{
        .payload = TestPayload(50'000), .timestamps = timestamps, .gso_segment_bytes = 1448};
    kernel_->Send(frame);
    ASSERT_EQ(Receive(0, batch_), 1u);
    EXPECT_EQ(batch_.frames[0].rx_class, RxClass::kHost);
    EXPECT_EQ(Payload(), frame.payload);
    PutBackAll();
  }
  EXPECT_EQ(stats().host_bytes, 100'000u);
  EXPECT_EQ(stats().steered_bytes, 0u);
  EXPECT_EQ(stats().payload_bytes_bounced, 0u);
}

TEST_F(TapQueueTest, OnAnUnboundQueueAWrongGuessKeepsTheBytesInOrder) {
  nic_->queue(0).Unbind();
  TeachTimestamps();
  const KernelFrame frame{.payload = TestPayload(20'000, 99), .gso_segment_bytes = 1448};
  EXPECT_EQ(RoundTrip(frame), frame.payload);
  EXPECT_EQ(stats().payload_bytes_bounced, 0u);
}

TEST_F(TapQueueTest, BindingABoundQueueIsRefused) {
  TestMemory more(TestMemory::Kind::kDevice);
  const absl::Status bound = nic_->queue(0).Bind(more.queue_memory());
  EXPECT_EQ(bound.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(bound.message().find("queue 0"), std::string::npos);
}

// A queue whose vector is too short for what comes, as none is that TapNic makes.

TEST_F(TapQueueTest, ANewBindingStartsFromTheShortestGuess) {
  nic_->queue(0).Unbind();
  TeachTimestamps();
  Bind(0, device_);
  EXPECT_EQ(nic_->queue(0).predicted_header_bytes(), kPlainHeaderBytes);
}

TEST_F(BoundTapTest, ADeviceThatIsDeletedIsGoneAndNotJustQuiet) {
  RxQueue& queue = nic_->queue(0);
  EXPECT_EQ(queue.Poll(batch_), 0u);
  EXPECT_FALSE(queue.gone());
  ASSERT_EQ(std::system("ip link del dmt0"), 0);
  EXPECT_EQ(queue.Poll(batch_), 0u);
  EXPECT_TRUE(queue.gone());
}

}  // namespace
}  // namespace devmem
