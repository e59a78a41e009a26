// SPDX-License-Identifier: Apache-2.0
//
// The TAP's receive path with frames from the kernel's side: where header and payload land, what
// the header prediction's errors cost, and what is dropped. Needs root and /dev/net/tun.

#include "netmem/nic/tap_queue.h"

#include <gtest/gtest.h>

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

using testing::KernelFrame;
using testing::PutBack;
using testing::TapTest;
using testing::TestFlow;
using testing::TestMemory;
using testing::TestPayload;

constexpr uint32_t kPlainHeaderBytes = 54;
constexpr uint32_t kTimestampHeaderBytes = 66;

// One queue, bound, and a rule that sends the test's flow to it.
class TapQueueTest : public TapTest {
 protected:
  void SetUp() override {
    TapTest::SetUp();
    if (IsSkipped()) return;
    MakeNic({.queue_count = 1});
    if (nic_ == nullptr) return;
    Bind(0, device_);
    AddRule({.local_port = TestFlow().local_port}, 0);
  }

  // Sends one frame, receives it, and returns its payload; the pieces go back.
  std::vector<uint8_t> RoundTrip(const KernelFrame& frame) {
    kernel_->Send(frame);
    if (Receive(0, batch_) == 0) return {};
    const std::vector<uint8_t> payload = Payload();
    PutBackAll();
    return payload;
  }
  // Makes the queue expect timestamps in each header.
  void TeachTimestamps() {
    for (uint32_t n = 0; n < HeaderPrediction::kPatienceFramesMin; ++n) {
      RoundTrip({.payload = TestPayload(100, n), .timestamps = true});
    }
    ASSERT_EQ(nic_->queue(0).predicted_header_bytes(), kTimestampHeaderBytes);
  }
  std::vector<uint8_t> Payload(uint32_t frame = 0) {
    return PayloadOf(batch_, batch_.frames[frame], *host_[0], &device_);
  }
  void PutBackAll() { PutBack(batch_, &host_[0]->pool(), &device_.pool()); }

  // Sends a frame that must not be delivered. The one behind it shows that the first was dealt
  // with.
  void ExpectDropped(std::span<const uint8_t> bytes) {
    kernel_->Send(bytes);
    kernel_->Send(KernelFrame{.payload = {42}});
    ASSERT_EQ(Receive(0, batch_), 1u);
    EXPECT_EQ(Payload(), std::vector<uint8_t>{42});
    PutBackAll();
  }
  const RxQueueStats& stats() { return nic_->queue(0).stats(); }
  void TearDown() override {
    if (nic_ != nullptr) nic_->queue(0).Unbind();
  }

  TestMemory device_{TestMemory::Kind::kDevice};
  RxBatch batch_;
};

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

TEST_F(TapQueueTest, AFlippedPayloadBitIsDroppedForItsChecksum) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.back() ^= 1;
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_checksum, 1u);
}

TEST_F(TapQueueTest, AFrameShorterThanItsIpLengthIsDroppedAsTruncated) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.resize(bytes.size() - 1);
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_truncated, 1u);
}

TEST_F(TapQueueTest, AFrameLongerThanItsIpLengthIsDroppedAsTruncated) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.push_back(0);
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_truncated, 1u);
}

TEST_F(TapQueueTest, PaddingUpToEthernetsMinimumIsNoPayload) {
  KernelFrame frame{.payload = {1, 2, 3}};
  std::vector<uint8_t> bytes = frame.Bytes();
  bytes.resize(60, 0xee);
  kernel_->Send(bytes);
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(Payload(), frame.payload);
  PutBackAll();
}

TEST_F(TapQueueTest, AnIpHeaderThatLiesIsDroppedAsMalformed) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(100)}.Bytes();
  bytes[14 + 8] ^= 0xff;  // The TTL, and so the header's checksum.
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_malformed, 1u);
}

TEST_F(TapQueueTest, FragmentsAreDroppedAndCounted) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(100)}.Bytes();
  StoreBe16(&bytes[14 + 6], 0x2000);  // More fragments follow.
  StoreBe16(&bytes[14 + 10], 0);
  StoreBe16(&bytes[14 + 10], ChecksumField(PartialSum(std::span(bytes).subspan(14, 20))));
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_fragment, 1u);
}

TEST_F(TapQueueTest, WhenThePoolIsEmptyThePrefixIsPlacedAndTheRestCounted) {
  // All but the last 10,000 bytes of the region are held by somebody.
  std::vector<Piece> held(64);
  uint32_t held_count = 0;
  uint64_t to_hold = device_.pool().capacity_bytes() - 10'000;
  while (to_hold > 0) {
    (void)device_.pool().Posted();
    const uint32_t bytes = static_cast<uint32_t>(std::min<uint64_t>(to_hold, 60'000));
    const uint32_t taken = device_.pool().Take(bytes, std::span(held).subspan(held_count));
    ASSERT_GT(taken, 0u);
    held_count += taken;
    to_hold -= bytes;
  }
  const KernelFrame frame{.payload = TestPayload(30'000), .gso_segment_bytes = 1448};
  kernel_->Send(frame);
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(batch_.frames[0].placed_bytes, 10'000u);
  EXPECT_EQ(batch_.frames[0].headers.payload_bytes, 30'000u);
  const std::vector<uint8_t> got = Payload();
  EXPECT_TRUE(std::equal(got.begin(), got.end(), frame.payload.begin()));
  EXPECT_EQ(stats().drop_pool_empty, 1u);
  EXPECT_EQ(stats().drop_pool_empty_bytes, 20'000u);

  // A header alone still comes through, and so does a stray frame: the spill takes both.
  kernel_->Send(KernelFrame{.flags = kTcpAck | kTcpFin});
  RxBatch more;
  ASSERT_EQ(Receive(0, more), 1u);
  EXPECT_EQ(more.frames[0].header.size(), kPlainHeaderBytes);
  FlowKey other = TestFlow();
  other.local_port = 80;
  const KernelFrame stray{.flow = other, .payload = TestPayload(20'000), .gso_segment_bytes = 1448};
  kernel_->Send(stray);
  ASSERT_EQ(Receive(0, more), 1u);
  EXPECT_EQ(PayloadOf(more, more.frames[0], *host_[0], &device_), stray.payload);
  PutBack(more, &host_[0]->pool(), nullptr);

  PutBackAll();
  for (uint32_t n = 0; n < held_count; ++n) device_.pool().Put(held[n]);
}

TEST_F(TapQueueTest, RevokedMemoryReceivesNothingAndHeadersStillArrive) {
  device_.attachment().Revoke();
  kernel_->Send(KernelFrame{.payload = TestPayload(1000)});
  kernel_->Send(KernelFrame{.timestamps = true, .flags = kTcpAck | kTcpRst});
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(batch_.frames[0].header.size(), kTimestampHeaderBytes);
  EXPECT_EQ(stats().drop_revoked, 1u);
  EXPECT_TRUE(std::ranges::all_of(device_.bytes(), [](uint8_t byte) { return byte == 0; }));
}

TEST_F(TapQueueTest, AStrayFrameIsCopiedOutAndScrubbedFromTheRegion) {
  FlowKey other = TestFlow();
  other.local_port = 80;
  const auto expect_host_bytes = [&](bool timestamps) {
    const KernelFrame frame{.flow = other,
                            .payload = TestPayload(40'001),
                            .timestamps = timestamps,
                            .gso_segment_bytes = 1448};
    kernel_->Send(frame);
    ASSERT_EQ(Receive(0, batch_), 1u);
    const RxDescriptor& got = batch_.frames[0];
    EXPECT_EQ(got.rx_class, RxClass::kHost);
    EXPECT_EQ(std::vector(got.header.begin(), got.header.end()), frame.Header());
    EXPECT_EQ(Payload(), frame.payload);
    for (const Piece& piece : batch_.PiecesOf(got)) EXPECT_FALSE(piece.netmem.is_device());
    PutBackAll();
  };
  // A guess that is right, one that is too short, and one that is too long.
  expect_host_bytes(false);
  expect_host_bytes(true);
  EXPECT_TRUE(std::ranges::all_of(device_.bytes(), [](uint8_t byte) { return byte == 0; }));
  TeachTimestamps();
  const std::vector<uint8_t> before(device_.bytes().begin(), device_.bytes().end());
  expect_host_bytes(false);
  EXPECT_TRUE(std::ranges::equal(before, device_.bytes()));
  EXPECT_EQ(stats().host_bytes, 3 * 40'001u);
  EXPECT_EQ(stats().payload_bytes_bounced, 0u);
}

TEST_F(TapQueueTest, AFrameIsWholeInTheRegionOrDroppedWhenAccessIsRevokedMeanwhile) {
  std::thread revoker;
  uint32_t delivered = 0;
  for (uint32_t n = 0; n < 400; ++n) {
    const KernelFrame frame{.payload = TestPayload(30'000, n), .gso_segment_bytes = 1448};
    kernel_->Send(frame);
    if (n == 100) revoker = std::thread([&] { device_.attachment().Revoke(); });
    if (nic_->queue(0).Poll(batch_) == 0) continue;
    EXPECT_TRUE(Payload() == frame.payload) << n;
    ++delivered;
    PutBackAll();
  }
  revoker.join();
  EXPECT_GE(delivered, 100u);
  EXPECT_EQ(delivered + stats().drop_revoked, 400u);
  kernel_->Send(KernelFrame{.payload = TestPayload(100)});
  EXPECT_EQ(nic_->queue(0).Poll(batch_), 0u);
}

TEST_F(TapQueueTest, DroppedFramesLeaveNothingInTheRegion) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.back() ^= 1;
  kernel_->Send(bytes);
  kernel_->Send(KernelFrame{});
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_TRUE(std::ranges::all_of(device_.bytes(), [](uint8_t byte) { return byte == 0; }));
}

TEST_F(TapQueueTest, StraysBeforeTheQueueSettledArePresteerAndLaterOnesMissteered) {
  FlowKey other = TestFlow();
  other.local_port = 80;
  // The binding and the rule are new: the frame may have been queued before them.
  RoundTrip({.flow = other, .payload = TestPayload(100)});
  EXPECT_EQ(stats().presteer_bytes, 100u);
  EXPECT_EQ(stats().missteered_bytes, 0u);
  EXPECT_EQ(nic_->queue(0).Poll(batch_), 0u);
  RoundTrip({.flow = other, .payload = TestPayload(100)});
  EXPECT_EQ(stats().presteer_bytes, 100u);
  EXPECT_EQ(stats().missteered_bytes, 100u);
}

TEST_F(TapQueueTest, APollEndsAtItsBoundsAndTheNextGoesOn) {
  for (uint32_t n = 0; n < 6; ++n) {
    kernel_->Send(KernelFrame{.payload = TestPayload(60'000, n), .gso_segment_bytes = 1448});
  }
  ASSERT_EQ(Receive(0, batch_), 5u);  // 5 x 60,000 is the first sum past 256 KiB.
  for (uint32_t n = 0; n < 5; ++n) EXPECT_EQ(Payload(n), TestPayload(60'000, n));
  PutBackAll();
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(Payload(), TestPayload(60'000, 5));
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
TEST_F(TapQueueTest, AFrameLongerThanTheVectorIsDroppedAsTruncated) {
  TapSteeringState shared(1);
  TapQueue small({.fd = nic_->queue(0).fd(), .index = 0, .frame_bytes_max = 1000}, shared);
  small.SetHostMemory(host_[0]->queue_memory());
  kernel_->Send(KernelFrame{.payload = TestPayload(1000)});
  kernel_->Send(KernelFrame{.payload = TestPayload(946)});
  EXPECT_EQ(small.Poll(batch_), 1u);
  EXPECT_EQ(small.stats().drop_truncated, 1u);
  EXPECT_EQ(Payload(), TestPayload(946));
  PutBackAll();
}

}  // namespace
}  // namespace devmem
