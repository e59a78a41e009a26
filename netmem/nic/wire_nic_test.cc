// SPDX-License-Identifier: Apache-2.0
//
// One wire NIC: from an injected frame to descriptors and bytes in the region, on bound and unbound
// queues, with memory short, checksums wrong, and headers that lie.

#include "netmem/nic/wire_nic.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "netmem/nic/pcapng_recorder.h"
#include "netmem/wire/byte_order.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using ::devmem::testing::PutBack;
using ::devmem::testing::TestFlow;
using ::devmem::testing::TestFlowV6;
using ::devmem::testing::TestFrame;
using ::devmem::testing::TestLink;
using ::devmem::testing::TestMemory;
using ::devmem::testing::TestPayload;

// A NIC of two queues; queue 1 is bound and gets the flows to port 5201.
class WireNicTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kBound = 1;

  WireNicTest() { Make({.a = {.queue_count = 2}}); }
  ~WireNicTest() override { PutBackAll(); }

  void Make(const WireConfig& config, uint64_t device_bytes = 1u << 20) {
    PutBackAll();
    link_.reset();
    device_ = std::make_unique<TestMemory>(TestMemory::Kind::kDevice, device_bytes);
    link_ = std::make_unique<TestLink>(config);
    EXPECT_TRUE(nic().queue(kBound).Bind(device_->queue_memory()).ok());
    EXPECT_TRUE(nic().AddRule({.local_port = 5201}, kBound).ok());
  }

  WireNic& nic() { return link_->a(); }
  const RxQueueStats& Stats(uint32_t queue) { return nic().queue(queue).stats(); }

  // The batch of the last poll is put back before the next.
  uint32_t Poll(uint32_t queue) {
    PutBackAll();
    polled_queue_ = queue;
    return nic().queue(queue).Poll(batch_);
  }
  void PutBackAll() {
    if (link_ == nullptr) return;
    PutBack(batch_, &link_->host_a(polled_queue_).pool(), &device_->pool());
    batch_.piece_count = 0;
    batch_.frame_count = 0;
  }
  const RxDescriptor& frame(uint32_t i = 0) const { return batch_.frames[i]; }
  std::vector<uint8_t> BytesOf(const RxDescriptor& frame) {
    const bool device = frame.rx_class == RxClass::kSteered;
    TestMemory& memory = device ? *device_ : link_->host_a(polled_queue_);
    return memory.BytesOf(batch_.PiecesOf(frame));
  }

  std::unique_ptr<TestMemory> device_;
  std::unique_ptr<TestLink> link_;
  RxBatch batch_;
  uint32_t polled_queue_ = 0;
};

FlowKey OtherPort() {
  FlowKey flow = TestFlow();
  flow.local_port = 80;
  return flow;
}

TEST_F(WireNicTest, ASteeredFramesPayloadLiesInTheRegionAndItsHeaderInHostMemory) {
  const TestFrame sent{.payload = TestPayload(1448)};
  ASSERT_TRUE(nic().Inject(sent.Bytes()));
  EXPECT_EQ(Poll(0), 0u);
  ASSERT_EQ(Poll(kBound), 1u);
  EXPECT_EQ(frame().rx_class, RxClass::kSteered);
  EXPECT_EQ(std::vector<uint8_t>(frame().header.begin(), frame().header.end()), sent.Header());
  EXPECT_EQ(frame().headers.flow, TestFlow());
  EXPECT_EQ(frame().segment_count, 1u);
  EXPECT_EQ(frame().placed_bytes, 1448u);
  EXPECT_EQ(BytesOf(frame()), sent.payload);
  EXPECT_EQ(Stats(kBound).steered_bytes, 1448u);
  EXPECT_EQ(Stats(kBound).payload_bytes, 1448u);
  EXPECT_EQ(Stats(kBound).host_bytes + Stats(kBound).payload_bytes_bounced, 0u);
}

TEST_F(WireNicTest, NeighbouringFramesTouchInTheRegion) {
  for (uint32_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(nic().Inject(TestFrame{.payload = TestPayload(1000, i)}.Bytes()));
  }
  ASSERT_EQ(Poll(kBound), 20u);
  Piece whole = batch_.PiecesOf(frame(0))[0];
  for (uint32_t i = 0; i < 20; ++i) {
    ASSERT_EQ(BytesOf(frame(i)), TestPayload(1000, i)) << i;
    if (i > 0) {
      ASSERT_TRUE(device_->pool().Merge(whole, batch_.PiecesOf(frame(i))[0]));
    }
  }
  batch_.piece_count = 0;
  device_->pool().Put(whole);
}

TEST_F(WireNicTest, AnUnmatchedFlowGoesToHostMemoryOfAnUnboundQueue) {
  const TestFrame sent{.flow = OtherPort(), .payload = TestPayload(700)};
  ASSERT_TRUE(nic().Inject(sent.Bytes()));
  EXPECT_EQ(Poll(kBound), 0u);
  ASSERT_EQ(Poll(0), 1u);
  EXPECT_EQ(frame().rx_class, RxClass::kHost);
  EXPECT_EQ(BytesOf(frame()), sent.payload);
  EXPECT_EQ(Stats(0).host_bytes, 700u);
  EXPECT_EQ(Stats(0).missteered_bytes + Stats(0).presteer_bytes, 0u);
}

TEST_F(WireNicTest, Ipv6FlowsAreSteeredAndVerifiedToo) {
  const TestFrame sent{.flow = TestFlowV6(), .payload = TestPayload(1428)};
  ASSERT_TRUE(nic().Inject(sent.Bytes()));
  ASSERT_EQ(Poll(kBound), 1u);
  EXPECT_TRUE(frame().headers.is_v6);
  EXPECT_EQ(BytesOf(frame()), sent.payload);
}

TEST_F(WireNicTest, RssPassesOverTheBoundQueueUntilItIsUnbound) {
  Make({.a = {.queue_count = 4}});
  TestFrame sent{.flow = OtherPort(), .payload = TestPayload(10)};
  const auto inject_flows = [&] {
    for (uint16_t port = 0; port < 200; ++port) {
      sent.flow.remote_port = static_cast<uint16_t>(30'000 + port);
      ASSERT_TRUE(nic().Inject(sent.Bytes()));
    }
  };
  const auto polled = [&](uint32_t queue) {
    uint32_t frames = 0;
    while (Poll(queue) > 0) frames += batch_.frame_count;
    return frames;
  };
  inject_flows();
  for (const uint32_t queue : {0u, 2u, 3u}) EXPECT_GT(polled(queue), 30u);
  EXPECT_EQ(polled(kBound), 0u);

  ASSERT_TRUE(nic().SetRssQueues(std::vector<uint32_t>{kBound, 3}).ok());
  inject_flows();
  EXPECT_EQ(polled(3), 200u);

  nic().queue(kBound).Unbind();
  inject_flows();
  EXPECT_GT(polled(kBound), 50u);
  EXPECT_GT(polled(3), 50u);
}

TEST_F(WireNicTest, WithNoUnboundQueueLeftStrayPayloadIsServedFromHostMemoryAndCounted) {
  ASSERT_TRUE(nic().SetRssQueues(std::vector<uint32_t>{kBound}).ok());
  const TestFrame sent{.flow = OtherPort(), .payload = TestPayload(300)};
  ASSERT_TRUE(nic().Inject(sent.Bytes()));
  ASSERT_EQ(Poll(kBound), 1u);
  EXPECT_EQ(frame().rx_class, RxClass::kHost);
  EXPECT_EQ(BytesOf(frame()), sent.payload);
  EXPECT_EQ(Stats(kBound).missteered_bytes, 300u);
  EXPECT_EQ(Stats(kBound).steered_bytes, 0u);
}

TEST_F(WireNicTest, AFrameWhoseRuleCameWhileItWaitedIsHandedOverWithoutItsPayload) {
  const TestFrame sent{.flow = OtherPort(), .payload = TestPayload(300)};
  ASSERT_TRUE(nic().Inject(sent.Bytes()));
  ASSERT_TRUE(nic().AddRule({.local_port = 80}, kBound).ok());
  ASSERT_EQ(Poll(0), 1u);
  EXPECT_EQ(frame().rx_class, RxClass::kElsewhere);
  EXPECT_EQ(frame().target_queue, kBound);
  EXPECT_EQ(frame().piece_count, 0u);
  EXPECT_EQ(Stats(0).elsewhere_bytes, 300u);
  EXPECT_EQ(Stats(0).host_bytes, 0u);
}

TEST_F(WireNicTest, ADeletedRuleNoLongerSteers) {
  const std::vector<FlowRule> rules = nic().ListRules();
  ASSERT_EQ(rules.size(), 1u);
  ASSERT_TRUE(nic().DeleteRule(rules[0].id).ok());
  ASSERT_TRUE(nic().Inject(TestFrame{.payload = TestPayload(10)}.Bytes()));
  EXPECT_EQ(Poll(kBound), 0u);
  EXPECT_EQ(Poll(0), 1u);
}

TEST_F(WireNicTest, AnEmptyPoolPlacesAPrefixAndCountsTheRest) {
  Make({.gso = true, .a = {.queue_count = 2}}, 128u << 10);
  // Two net_iov-sized bites less than the pool has, then a frame larger than what is left.
  std::vector<std::vector<uint8_t>> payloads = {TestPayload(60'000, 1), TestPayload(60'000, 2),
                                                TestPayload(20'000, 3), TestPayload(1'000, 4)};
  for (const auto& payload : payloads) {
    ASSERT_TRUE(nic().Inject(TestFrame{.payload = payload}.Bytes()));
  }
  ASSERT_EQ(Poll(kBound), 4u);
  const uint32_t left = (128u << 10) - 120'000;
  EXPECT_EQ(frame(1).placed_bytes, 60'000u);
  EXPECT_EQ(frame(2).placed_bytes, left);
  EXPECT_EQ(frame(2).headers.payload_bytes, 20'000u);
  payloads[2].resize(left);
  EXPECT_EQ(BytesOf(frame(0)), payloads[0]);
  EXPECT_EQ(BytesOf(frame(1)), payloads[1]);
  EXPECT_EQ(BytesOf(frame(2)), payloads[2]);
  EXPECT_EQ(frame(3).placed_bytes, 0u);
  EXPECT_EQ(frame(3).piece_count, 0u);
  EXPECT_EQ(Stats(kBound).drop_pool_empty, 2u);
  EXPECT_EQ(Stats(kBound).drop_pool_empty_bytes, 20'000u - left + 1'000u);
  EXPECT_EQ(Stats(kBound).steered_bytes, 128u << 10);
}

TEST_F(WireNicTest, APollStopsAtItsBoundsAndTheNextOneGoesOn) {
  for (uint32_t i = 0; i < kBatchFramesMax + 10; ++i) {
    ASSERT_TRUE(nic().Inject(TestFrame{.payload = TestPayload(100, i)}.Bytes()));
  }
  EXPECT_EQ(Poll(kBound), kBatchFramesMax);
  EXPECT_EQ(BytesOf(frame(63)), TestPayload(100, 63));
  EXPECT_EQ(Poll(kBound), 10u);
  EXPECT_EQ(BytesOf(frame(9)), TestPayload(100, kBatchFramesMax + 9));
  EXPECT_EQ(Poll(kBound), 0u);

  Make({.gso = true, .a = {.queue_count = 2}});
  constexpr uint32_t kFull = kBatchPayloadBytesMax / 60'000;
  for (uint32_t i = 0; i < kFull + 2; ++i) {
    ASSERT_TRUE(nic().Inject(TestFrame{.payload = TestPayload(60'000, i)}.Bytes()));
  }
  EXPECT_EQ(Poll(kBound), kFull);
  EXPECT_EQ(Poll(kBound), 2u);
}

TEST_F(WireNicTest, SlotsAreFreeAgainAfterTheNextPoll) {
  ASSERT_TRUE(nic().Inject(TestFrame{}.Bytes()));
  ASSERT_EQ(Poll(kBound), 1u);
  EXPECT_EQ(nic().slots_taken(), 1u);
  EXPECT_EQ(Poll(kBound), 0u);
  EXPECT_EQ(nic().slots_taken(), 0u);
}

TEST_F(WireNicTest, AFullRingAndFullSlotsDropAndCount) {
  Make({.a = {.queue_count = 2, .ring_frames = 8, .slot_frames = 12}});
  const std::vector<uint8_t> steered = TestFrame{}.Bytes();
  const std::vector<uint8_t> other = TestFrame{.flow = OtherPort()}.Bytes();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(nic().Inject(steered));
  EXPECT_FALSE(nic().Inject(steered));
  EXPECT_EQ(nic().wire_stats().drop_ring_full, 1u);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(nic().Inject(other));
  EXPECT_FALSE(nic().Inject(other));
  EXPECT_EQ(nic().wire_stats().drop_no_slot, 1u);
  EXPECT_EQ(Poll(kBound), 8u);
  EXPECT_EQ(Poll(0), 4u);
}

TEST_F(WireNicTest, AWrongChecksumIsDroppedByHardwareAndBySoftware) {
  for (const bool offload : {true, false}) {
    Make({.a = {.queue_count = 2, .checksum_offload = offload}});
    const TestFrame good{.payload = TestPayload(1001)};
    std::vector<uint8_t> bad = good.Bytes();
    bad.back() ^= 0x10;
    ASSERT_TRUE(nic().Inject(bad));
    ASSERT_TRUE(nic().Inject(good.Bytes()));
    ASSERT_EQ(Poll(kBound), 1u);
    EXPECT_EQ(BytesOf(frame()), good.payload);
    EXPECT_EQ(Stats(kBound).drop_checksum, 1u);
    EXPECT_EQ(Stats(kBound).frames, 2u);
    EXPECT_EQ(Stats(kBound).steered_bytes, 1001u);
    EXPECT_EQ(Stats(kBound).checksum_computed, offload ? 0u : 2u);
    // A bad header without payload, on the host side.
    std::vector<uint8_t> bad_syn = TestFrame{.flow = OtherPort(), .flags = kTcpSyn}.Bytes();
    bad_syn[50] ^= 1;
    ASSERT_TRUE(nic().Inject(bad_syn));
    EXPECT_EQ(Poll(0), 0u);
    EXPECT_EQ(Stats(0).drop_checksum, 1u);
  }
}

TEST_F(WireNicTest, TheSumIsRightAlsoWhenOnlyAPrefixFitted) {
  Make({.gso = true, .a = {.queue_count = 2, .checksum_offload = false}}, 128u << 10);
  for (uint32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(nic().Inject(TestFrame{.payload = TestPayload(60'000, i)}.Bytes()));
  }
  ASSERT_EQ(Poll(kBound), 3u);
  EXPECT_EQ(frame(2).placed_bytes, (128u << 10) - 120'000);
  EXPECT_EQ(Stats(kBound).checksum_computed, 3u);
  EXPECT_EQ(Stats(kBound).drop_checksum, 0u);
}

TEST_F(WireNicTest, FramesThatLieAreDroppedByReason) {
  const std::vector<uint8_t> good = TestFrame{.payload = TestPayload(100)}.Bytes();
  std::vector<uint8_t> shorter(good.begin(), good.end() - 1);
  ASSERT_TRUE(nic().Inject(shorter));
  ASSERT_TRUE(nic().Inject({}));
  std::vector<uint8_t> bad_ip = good;
  bad_ip[24] ^= 1;
  ASSERT_TRUE(nic().Inject(bad_ip));
  EXPECT_EQ(Poll(0), 0u);  // What has no flow goes by RSS.
  EXPECT_EQ(Poll(kBound), 0u);
  EXPECT_EQ(Stats(0).drop_truncated, 2u);
  EXPECT_EQ(Stats(0).drop_malformed, 1u);
  EXPECT_EQ(nic().slots_taken(), 0u);
}

TEST_F(WireNicTest, AFragmentIsDroppedAndCounted) {
  std::vector<uint8_t> fragment = TestFrame{.payload = TestPayload(100)}.Bytes();
  StoreBe16(&fragment[20], 0x2000);  // More fragments.
  StoreBe16(&fragment[24], 0);
  StoreBe16(&fragment[24], ChecksumField(PartialSum(std::span(fragment).subspan(14, 20))));
  ASSERT_TRUE(nic().Inject(fragment));
  EXPECT_EQ(Poll(0), 0u);
  EXPECT_EQ(Stats(0).drop_fragment, 1u);
}

TEST_F(WireNicTest, AFrameLongerThanASlotIsTruncated) {
  ASSERT_TRUE(nic().Inject(TestFrame{.payload = TestPayload(2000)}.Bytes()));
  EXPECT_EQ(Poll(kBound), 0u);
  EXPECT_EQ(Stats(kBound).drop_truncated, 1u);
}

TEST_F(WireNicTest, EthernetPaddingIsNoPayload) {
  std::vector<uint8_t> padded = TestFrame{.payload = TestPayload(2)}.Bytes();
  padded.resize(60, 0xee);
  ASSERT_TRUE(nic().Inject(padded));
  ASSERT_EQ(Poll(kBound), 1u);
  EXPECT_EQ(frame().headers.payload_bytes, 2u);
  EXPECT_EQ(BytesOf(frame()), TestPayload(2));
}

TEST_F(WireNicTest, ARevokedRegionGetsNoFrame) {
  ASSERT_TRUE(nic().Inject(TestFrame{.payload = TestPayload(1448)}.Bytes()));
  device_->attachment().Revoke();
  EXPECT_EQ(Poll(kBound), 0u);
  EXPECT_EQ(Stats(kBound).drop_revoked, 1u);
  EXPECT_EQ(Stats(kBound).steered_bytes, 0u);
  EXPECT_EQ(device_->bytes()[0], 0);
}

TEST_F(WireNicTest, BindingTwiceAndWrongMemoryAreRefused) {
  EXPECT_EQ(nic().queue(kBound).Bind(device_->queue_memory()).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(nic().queue(0).Bind(link_->host_a(0).queue_memory()).code(),
            absl::StatusCode::kInvalidArgument);
  nic().queue(kBound).Unbind();
  EXPECT_FALSE(nic().queue(kBound).bound());
  EXPECT_EQ(device_->pool().account().open, 0u);
  EXPECT_TRUE(nic().queue(kBound).Bind(device_->queue_memory()).ok());
}

TEST_F(WireNicTest, StartingTwiceOrWithTooLittleMemoryIsRefused) {
  const QueueMemory host = link_->host_a(0).queue_memory();
  EXPECT_EQ(nic().Start(std::vector<QueueMemory>{host, host}).code(),
            absl::StatusCode::kFailedPrecondition);
  auto fresh = WireLink::Create({.a = {.queue_count = 2}});
  ASSERT_TRUE(fresh.ok());
  const absl::Status status = (*fresh)->a().Start(std::vector<QueueMemory>{host});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("2 queues"), std::string::npos);
}

TEST_F(WireNicTest, HeadersWithoutPayloadBytesStandForWholeFrames) {
  Make({.a = {.queue_count = 2, .write_payload = false}});
  TestFrame sent;
  sent.payload.resize(1448);
  ASSERT_TRUE(nic().InjectHeader(kBound, sent.Header(), 1448));
  ASSERT_EQ(Poll(kBound), 1u);
  EXPECT_EQ(frame().rx_class, RxClass::kSteered);
  EXPECT_EQ(frame().placed_bytes, 1448u);
  EXPECT_EQ(Stats(kBound).steered_bytes, 1448u);
  // A payload length that the header does not mean is found out.
  ASSERT_TRUE(nic().InjectHeader(kBound, sent.Header(), 1000));
  EXPECT_EQ(Poll(kBound), 0u);
  EXPECT_EQ(Stats(kBound).drop_truncated, 1u);
}

TEST_F(WireNicTest, HeadersWithoutPayloadAreRefusedWherePayloadIsWritten) {
  const std::vector<uint8_t> header = TestFrame{}.Header();
  EXPECT_FALSE(nic().InjectHeader(kBound, header, 0));
  Make({.a = {.queue_count = 2, .write_payload = false}});
  EXPECT_FALSE(nic().InjectHeader(2, header, 0));
  EXPECT_FALSE(nic().InjectHeader(kBound, TestPayload(kHeaderSlotBytes + 1), 0));
}

}  // namespace
}  // namespace devmem
