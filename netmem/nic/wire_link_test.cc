// SPDX-License-Identifier: Apache-2.0
//
// Two wire NICs and the link between them: times, what a bad link does to frames and their bytes,
// super-frames, the trace, and what is refused.

#include "netmem/nic/wire_link.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "netmem/nic/pcapng_recorder.h"
#include "netmem/wire/frame_builder.h"
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

// What came out of a queue: the first sequence number and the payload of each frame, in order.
struct Received {
  std::vector<uint32_t> seqs;
  std::vector<std::vector<uint8_t>> payloads;
};

// Polls queue 0 of B dry.
Received Drain(TestLink& link) {
  Received received;
  const auto batch = std::make_unique<RxBatch>();
  while (link.b().queue(0).Poll(*batch) > 0) {
    for (uint32_t i = 0; i < batch->frame_count; ++i) {
      const RxDescriptor& frame = batch->frames[i];
      const auto tcp = TcpHeader::Parse(frame.header.subspan(frame.headers.l4_offset));
      if (!tcp) continue;
      received.seqs.push_back(tcp->seq().value());
      received.payloads.push_back(link.host_b().BytesOf(batch->PiecesOf(frame)));
    }
    PutBack(*batch, &link.host_b().pool(), nullptr);
  }
  return received;
}

TestFrame NumberedFrame(uint32_t number) {
  TestFrame frame{.seq = SeqNum(number), .payload = TestPayload(200 + number % 900, number)};
  if (number % 2 == 1) frame.flow = TestFlowV6();
  return frame;
}

// Sends `count` numbered frames from A, 1 us apart, delivering as time goes by.
Received SendNumbered(TestLink& link, uint32_t count) {
  Received all;
  const auto take = [&] {
    Received some = Drain(link);
    all.seqs.insert(all.seqs.end(), some.seqs.begin(), some.seqs.end());
    all.payloads.insert(all.payloads.end(), some.payloads.begin(), some.payloads.end());
  };
  for (uint32_t number = 0; number < count; ++number) {
    EXPECT_TRUE(NumberedFrame(number).SendOn(link.a().queue(0)));
    link->AdvanceTo(link->now() + 1000);
    if (number % 50 == 0) take();
  }
  while (link->NextDelivery() != kNoDelivery) link->AdvanceTo(link->NextDelivery());
  take();
  return all;
}

TEST(WireLinkTest, AFrameArrivesAfterTheDelayAndNotBefore) {
  TestLink link({.a_to_b = {.delay_ns = 500}});
  EXPECT_EQ(link->NextDelivery(), kNoDelivery);
  link->AdvanceTo(1000);
  ASSERT_TRUE(NumberedFrame(7).SendOn(link.a().queue(0)));
  EXPECT_EQ(link->NextDelivery(), 1500);
  link->AdvanceTo(1499);
  EXPECT_TRUE(Drain(link).seqs.empty());
  link->AdvanceTo(1500);
  EXPECT_EQ(link->now(), 1500);
  EXPECT_EQ(Drain(link).seqs, (std::vector<uint32_t>{7}));
  EXPECT_EQ(link->NextDelivery(), kNoDelivery);
  link->AdvanceTo(10);
  EXPECT_EQ(link->now(), 1500);
}

TEST(WireLinkTest, BothDirectionsAreWiredAndCountedApart) {
  TestLink link;
  ASSERT_TRUE(NumberedFrame(2).SendOn(link.a().queue(0)));
  ASSERT_TRUE(NumberedFrame(4).SendOn(link.b().queue(0)));
  link->AdvanceTo(link->NextDelivery());
  EXPECT_EQ(Drain(link).seqs, (std::vector<uint32_t>{2}));
  RxBatch batch;
  EXPECT_EQ(link.a().queue(0).Poll(batch), 1u);
  PutBack(batch, &link.host_a().pool(), nullptr);
  EXPECT_EQ(link->a_to_b().delivered, 1u);
  EXPECT_EQ(link->b_to_a().delivered, 1u);
  EXPECT_EQ(link.a().queue(0).stats().tx_frames, 1u);
}

TEST(WireLinkTest, AnIdealLinkKeepsOrderAndBytes) {
  TestLink link({.a_to_b = {.delay_ns = 5000, .jitter_ns = 3000}});
  const Received received = SendNumbered(link, 500);
  ASSERT_EQ(received.seqs.size(), 500u);
  for (uint32_t number = 0; number < 500; ++number) {
    ASSERT_EQ(received.seqs[number], number);
    ASSERT_EQ(received.payloads[number], NumberedFrame(number).payload);
  }
}

TEST(WireLinkTest, LossAndDuplicationAreNearTheirRates) {
  TestLink link({.a_to_b = {.loss = 0.05, .duplication = 0.02}});
  const Received received = SendNumbered(link, 10'000);
  const WireDirectionStats& stats = link->a_to_b();
  EXPECT_NEAR(static_cast<double>(stats.lost), 500, 80);
  EXPECT_NEAR(static_cast<double>(stats.duplicated), 200, 50);
  EXPECT_EQ(stats.sent, 10'000u);
  EXPECT_EQ(stats.sent + stats.duplicated, stats.lost + stats.delivered);
  EXPECT_EQ(received.seqs.size(), stats.delivered);
  std::map<uint32_t, int> copies;
  for (size_t i = 0; i < received.seqs.size(); ++i) {
    ++copies[received.seqs[i]];
    ASSERT_EQ(received.payloads[i], NumberedFrame(received.seqs[i]).payload);
  }
  for (const auto& [seq, count] : copies) ASSERT_LE(count, 2);
}

TEST(WireLinkTest, ReorderedFramesAreOvertakenAndNoneIsMissing) {
  TestLink link({.a_to_b = {.reorder = 0.1, .reorder_delay_ns = 20'000}});
  const Received received = SendNumbered(link, 5000);
  ASSERT_EQ(received.seqs.size(), 5000u);
  EXPECT_NEAR(static_cast<double>(link->a_to_b().reordered), 500, 80);
  uint32_t highest = 0;
  int overtaken = 0;
  for (const uint32_t seq : received.seqs) {
    if (seq < highest) ++overtaken;
    highest = std::max(highest, seq);
  }
  EXPECT_GT(overtaken, 350);
  EXPECT_LE(overtaken, 600);
  std::vector<uint32_t> sorted = received.seqs;
  std::sort(sorted.begin(), sorted.end());
  for (uint32_t number = 0; number < 5000; ++number) ASSERT_EQ(sorted[number], number);
}

// Flipped bits never reach the application, whoever verifies the checksum.
TEST(WireLinkTest, ACorruptedFrameIsNeverDelivered) {
  for (const bool offload : {true, false}) {
    TestLink link({.a_to_b = {.corruption = 0.2}, .b = {.checksum_offload = offload}});
    const Received received = SendNumbered(link, 5000);
    EXPECT_NEAR(static_cast<double>(link->a_to_b().corrupted), 1000, 120);
    for (size_t i = 0; i < received.seqs.size(); ++i) {
      ASSERT_LT(received.seqs[i], 5000u);
      ASSERT_EQ(received.payloads[i], NumberedFrame(received.seqs[i]).payload);
    }
    // A few flips are harmless: the hop limit and flow label of IPv6 are under no checksum.
    EXPECT_GE(received.seqs.size(), 5000u - link->a_to_b().corrupted);
    EXPECT_LE(received.seqs.size(), 5020u - link->a_to_b().corrupted);
    EXPECT_GT(link.b().queue(0).stats().drop_checksum, 700u);
  }
}

TEST(WireLinkTest, ACorruptedFrameWithoutChecksumIsCaughtByTheLink) {
  TestLink link({.a_to_b = {.corruption = 1}});
  std::vector<uint8_t> arp(64);
  arp.resize(BuildArpRequest(MacAddress({2, 0, 0, 0, 0, 1}), IpAddress::FromV4(0xc0000201),
                             IpAddress::FromV4(0xc0000202), arp));
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(link.a().queue(0).Transmit({.header = arp, .payload = {}}));
  }
  link->AdvanceTo(1);
  RxBatch batch;
  EXPECT_EQ(link.b().queue(0).Poll(batch), 0u);
  EXPECT_GT(link.b().queue(0).stats().drop_checksum, 100u);
}

TEST(WireLinkTest, TheSameSeedGivesTheSameTraceAndAnotherSeedAnother) {
  const auto trace_of = [](uint64_t seed) {
    TestLink link({.seed = seed,
                   .a_to_b = {.jitter_ns = 2000,
                              .loss = 0.05,
                              .duplication = 0.05,
                              .corruption = 0.05,
                              .reorder = 0.1}});
    const Received received = SendNumbered(link, 500);
    return std::make_pair(link->trace_hash(), received.seqs);
  };
  EXPECT_EQ(trace_of(1), trace_of(1));
  EXPECT_NE(trace_of(1).first, trace_of(2).first);
  EXPECT_NE(trace_of(1).second, trace_of(2).second);
}

TEST(WireLinkTest, TheTraceSeesEveryByteOfAHeaderAndTheTime) {
  const auto trace_of = [](uint32_t seq, Nanos time) {
    TestLink link;
    link->AdvanceTo(time);
    NumberedFrame(seq).SendOn(link.a().queue(0));
    return link->trace_hash();
  };
  EXPECT_EQ(trace_of(2, 0), trace_of(2, 0));
  EXPECT_NE(trace_of(2, 0), trace_of(4, 0));
  EXPECT_NE(trace_of(2, 0), trace_of(2, 1));
}

TEST(WireLinkTest, WithoutATraceTheSameFramesArrive) {
  TestLink traced({.a_to_b = {.loss = 0.1}});
  TestLink untraced({.trace = false, .a_to_b = {.loss = 0.1}});
  EXPECT_EQ(SendNumbered(traced, 200).seqs, SendNumbered(untraced, 200).seqs);
  EXPECT_NE(traced->trace_hash(), 0u);
  EXPECT_EQ(untraced->trace_hash(), 0u);
}

TEST(WireLinkTest, ASuperFrameCrossesWholeIntoTheRegionAsManySegments) {
  TestMemory device(TestMemory::Kind::kDevice);
  TestLink link({.gso = true, .b = {.queue_count = 2}});
  ASSERT_TRUE(link.b().queue(1).Bind(device.queue_memory()).ok());
  ASSERT_TRUE(link.b().AddRule({.local_port = 5201}, 1).ok());
  const TestFrame sent{.payload = TestPayload(kWireGsoBytesMax), .gso_segment_bytes = 1448};
  ASSERT_TRUE(sent.SendOn(link.a().queue(0)));
  link->AdvanceTo(0);
  RxBatch batch;
  ASSERT_EQ(link.b().queue(1).Poll(batch), 1u);
  EXPECT_EQ(batch.frames[0].segment_count, (kWireGsoBytesMax + 1447) / 1448);
  EXPECT_EQ(batch.frames[0].placed_bytes, kWireGsoBytesMax);
  EXPECT_EQ(device.BytesOf(batch.PiecesOf(batch.frames[0])), sent.payload);
  EXPECT_EQ(link.b().queue(1).stats().drop_checksum, 0u);
  PutBack(batch, nullptr, &device.pool());
}

TEST(WireLinkTest, ACorruptedSuperFrameIsDropped) {
  TestLink link({.gso = true, .a_to_b = {.corruption = 0.5}});
  for (uint32_t i = 0; i < 200; ++i) {
    TestFrame frame{.seq = SeqNum(i), .payload = TestPayload(5000, i), .gso_segment_bytes = 1448};
    ASSERT_TRUE(frame.SendOn(link.a().queue(0)));
    link->AdvanceTo(link->now() + 1);
    const Received received = Drain(link);
    for (const auto& payload : received.payloads) ASSERT_EQ(payload, frame.payload);
  }
  const RxQueueStats& stats = link.b().queue(0).stats();
  EXPECT_EQ(stats.drop_checksum + stats.drop_malformed + stats.drop_truncated,
            link->a_to_b().corrupted);
}

TEST(WireLinkTest, FramesThatTheLinkCannotCarryAreRefusedAndCounted) {
  TestLink link;
  RxQueue& queue = link.a().queue(0);
  EXPECT_TRUE(TestFrame{.payload = TestPayload(1460)}.SendOn(queue));
  EXPECT_FALSE(TestFrame{.payload = TestPayload(1461)}.SendOn(queue));
  EXPECT_FALSE((TestFrame{.payload = TestPayload(2000), .gso_segment_bytes = 1448}.SendOn(queue)));
  EXPECT_FALSE(queue.Transmit({.header = TestPayload(13), .payload = {}}));
  EXPECT_EQ(queue.stats().tx_frames, 1u);
  EXPECT_EQ(queue.stats().tx_dropped, 3u);
  EXPECT_EQ(link.a().info().gso_bytes_max, 0u);

  TestLink gso({.gso = true});
  EXPECT_FALSE(
      (TestFrame{.payload = TestPayload(kWireGsoBytesMax + 1), .gso_segment_bytes = 1448}.SendOn(
          gso.a().queue(0))));
  EXPECT_FALSE((
      TestFrame{.payload = TestPayload(5000), .gso_segment_bytes = 1461}.SendOn(gso.a().queue(0))));
}

TEST(WireLinkTest, AReceiverThatDoesNotPollLosesWhatItsRingCannotHold) {
  TestLink link({.b = {.ring_frames = 16, .slot_frames = 64}});
  for (uint32_t i = 0; i < 100; ++i) NumberedFrame(i).SendOn(link.a().queue(0));
  link->AdvanceTo(1);
  EXPECT_EQ(link->a_to_b().delivered, 16u);
  EXPECT_EQ(link->a_to_b().dropped, 84u);
  EXPECT_EQ(link.b().wire_stats().drop_no_slot, 36u);
  EXPECT_EQ(link.b().wire_stats().drop_ring_full, 48u);
  EXPECT_EQ(Drain(link).seqs.size(), 16u);
}

TEST(WireLinkTest, ABandwidthSpreadsArrivals) {
  // 10 Gbit/s: a frame of 1,054 bytes takes 843 ns.
  TestLink link({.a_to_b = {.bandwidth_bits_per_s = 10'000'000'000}});
  for (uint32_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(TestFrame{.payload = TestPayload(1000)}.SendOn(link.a().queue(0)));
  }
  link->AdvanceTo(843 * 5);
  EXPECT_EQ(Drain(link).seqs.size(), 5u);
  link->AdvanceTo(843 * 10);
  EXPECT_EQ(Drain(link).seqs.size(), 5u);
}

TEST(WireLinkTest, ARecorderSeesWhatIsSentAndWhatArrives) {
  const std::string path = ::testing::TempDir() + "devmem-wire-link-" + std::to_string(getpid());
  auto recorder = PcapngRecorder::Create(path);
  ASSERT_TRUE(recorder.ok());
  TestLink link({.a_to_b = {.loss = 1}});
  link.a().SetRecorder(recorder->get());
  link.b().SetRecorder(recorder->get());
  NumberedFrame(0).SendOn(link.a().queue(0));  // Lost on the way.
  NumberedFrame(1).SendOn(link.b().queue(0));
  link->AdvanceTo(1);
  EXPECT_EQ((*recorder)->recorded(), 3u);
  link.a().SetRecorder(nullptr);
  link.b().SetRecorder(nullptr);
  NumberedFrame(2).SendOn(link.a().queue(0));
  EXPECT_EQ((*recorder)->recorded(), 3u);
  EXPECT_TRUE((*recorder)->Close().ok());
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  EXPECT_GT(file.tellg(), 3 * 60);
  unlink(path.c_str());
}

TEST(WireLinkTest, TheTwoEndsHaveNamesAndAddressesOfTheirOwn) {
  TestLink link;
  EXPECT_EQ(link.a().info().name, "wire0");
  EXPECT_EQ(link.b().info().name, "wire1");
  EXPECT_NE(link.a().info().mac, link.b().info().mac);
  EXPECT_EQ(link.a().info().kind, "wire");
  EXPECT_EQ(link.a().queue(0).fd(), -1);
}

TEST(WireLinkTest, ConfigurationsThatCannotWorkAreRefusedWithTheValue) {
  const auto message_of = [](const WireConfig& config) {
    const auto link = WireLink::Create(config);
    EXPECT_FALSE(link.ok());
    return std::string(link.status().message());
  };
  EXPECT_NE(message_of({.mtu = 100}).find("mtu in bytes is 100"), std::string::npos);
  EXPECT_NE(message_of({.a = {.queue_count = 0}}).find("queue count is 0"), std::string::npos);
  EXPECT_NE(message_of({.b = {.queue_count = 65}}).find("1 to 64"), std::string::npos);
  EXPECT_NE(message_of({.a = {.ring_frames = 100}}).find("power of two"), std::string::npos);
  EXPECT_NE(message_of({.a = {.slot_frames = 0}}).find("slot count"), std::string::npos);
  EXPECT_NE(message_of({.b_to_a = {.loss = 2}}).find("loss"), std::string::npos);
  EXPECT_NE(message_of({.a = {.checksum_offload = false, .write_payload = false}})
                .find("checksum_offload"),
            std::string::npos);
}

}  // namespace
}  // namespace devmem
