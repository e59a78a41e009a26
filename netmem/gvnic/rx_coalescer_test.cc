// SPDX-License-Identifier: Apache-2.0
//
// Receive coalescing: what a merged packet says, each condition of merging by a frame that breaks
// this one alone, each end of a merge, and that neither order nor buffers are lost by it.

#include "netmem/gvnic/rx_coalescer.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "netmem/gvnic/limits.h"
#include "netmem/wire/byte_order.h"
#include "selftests/testing/gvnic_frames.h"
#include "selftests/testing/rsc_frames.h"

namespace devmem {
namespace {

using testing::RscFrame;
using testing::RscPacket;
using testing::RscSink;
using testing::RscSpec;
using testing::TestPayload;

constexpr uint32_t kSegmentBytes = 1448;

class RxCoalescerTest : public ::testing::Test {
 protected:
  // The next `bytes` of the stream that `spec` stands in, which goes on behind them.
  std::vector<uint8_t> Next(TcpFrameSpec& spec, uint32_t bytes = kSegmentBytes) {
    const std::vector<uint8_t> payload = TestPayload(bytes, spec.seq.value());
    std::vector<uint8_t> frame = RscFrame(spec, payload);
    sent_.push_back(frame);
    spec.seq = spec.seq + bytes;
    ++spec.identification;
    return frame;
  }
  void Send(TcpFrameSpec& spec, uint32_t bytes = kSegmentBytes) {
    coalescer_.Offer(RscPacket(Next(spec, bytes)));
  }
  // The frames that were taken, those of merged packets cut apart again.
  std::vector<std::vector<uint8_t>> Cut() const {
    std::vector<std::vector<uint8_t>> frames;
    for (const RxPacket& taken : sink_.taken) {
      for (const Packet& frame : CutIntoFrames(taken.packet)) frames.push_back(frame.bytes);
    }
    return frames;
  }
  void ExpectMerged(size_t index, uint32_t frames, uint32_t segment_bytes) {
    ASSERT_GT(sink_.taken.size(), index);
    const RxPacket& packet = sink_.taken[index];
    const FrameLayout layout = ReadFrameLayout(packet.packet.bytes);
    ASSERT_TRUE(layout.is_tcp());  // And so the sum of IPv4's header is right.
    EXPECT_EQ(VerifyL4Checksum(packet.packet.bytes, layout), L4Check::kGood);
    EXPECT_EQ(packet.check, L4Check::kGood);
    EXPECT_EQ(layout.frame_bytes, packet.packet.bytes.size());
    EXPECT_EQ(packet.layout.frame_bytes, layout.frame_bytes);
    EXPECT_EQ(packet.packet.segment_bytes, segment_bytes);
    EXPECT_EQ(packet.packet.header_bytes, layout.header_bytes);
    EXPECT_EQ(CutIntoFrames(packet.packet).size(), frames);
  }

  RxRingConfig queue_{.buffer_entries = 1024, .buffer_bytes = 4096, .header_bytes = 256};
  DataPathStats stats_;
  RscSink sink_{queue_};
  RxCoalescer coalescer_{queue_, stats_, sink_};
  std::vector<std::vector<uint8_t>> sent_;
};

TEST_F(RxCoalescerTest, CuttingAMergedPacketGivesItsFramesBack) {
  for (const FlowKey& flow : {testing::TestFlow(), testing::TestFlowV6()}) {
    TcpFrameSpec spec = RscSpec(flow);
    for (int i = 0; i < 5; ++i) Send(spec);
    EXPECT_TRUE(sink_.taken.empty());
    coalescer_.EndAll(RscEnd::kBatch);
    ASSERT_EQ(sink_.taken.size(), 1u);
    ExpectMerged(0, 5, kSegmentBytes);
    EXPECT_EQ(Cut(), sent_);
    sink_.taken.clear();
    sent_.clear();
  }
  EXPECT_EQ(stats_.rx_rsc_packets, 2u);
  EXPECT_EQ(stats_.rx_rsc_frames, 10u);
  EXPECT_EQ(stats_.rx_rsc_end_batch, 2u);
}

TEST_F(RxCoalescerTest, AFrameThatNothingContinuesStaysAsItIs) {
  TcpFrameSpec spec = RscSpec();
  Send(spec);
  coalescer_.EndAll(RscEnd::kBatch);
  ASSERT_EQ(sink_.taken.size(), 1u);
  EXPECT_EQ(sink_.taken[0].packet.bytes, sent_[0]);
  EXPECT_EQ(sink_.taken[0].packet.segment_bytes, 0);
  EXPECT_EQ(stats_.rx_rsc_packets, 0u);
}

TEST_F(RxCoalescerTest, PushEndsThePacketAndIsPartOfIt) {
  TcpFrameSpec spec = RscSpec();
  Send(spec);
  spec.flags = kTcpAck | kTcpPsh;
  Send(spec);
  ExpectMerged(0, 2, kSegmentBytes);
  EXPECT_EQ(Cut(), sent_);
  EXPECT_EQ(stats_.rx_rsc_end_push, 1u);
  // By itself it waits for nothing.
  Send(spec);
  EXPECT_EQ(sink_.taken.size(), 2u);
  EXPECT_EQ(Cut(), sent_);
}

TEST_F(RxCoalescerTest, AShorterSegmentIsTheLastAndALongerOneBeginsAnew) {
  TcpFrameSpec spec = RscSpec();
  Send(spec);
  Send(spec, kSegmentBytes - 1);
  ExpectMerged(0, 2, kSegmentBytes);
  EXPECT_EQ(stats_.rx_rsc_end_segment_size, 1u);
  Send(spec, 100);
  Send(spec, 101);
  EXPECT_EQ(sink_.taken.size(), 2u);
  EXPECT_EQ(stats_.rx_rsc_end_segment_size, 2u);
  coalescer_.EndAll(RscEnd::kBatch);
  EXPECT_EQ(Cut(), sent_);
}

TEST_F(RxCoalescerTest, PaddingOfEthernetDoesNotComeBetweenSegments) {
  TcpFrameSpec spec = RscSpec();
  spec.options = {};
  for (int i = 0; i < 3; ++i) {
    std::vector<uint8_t> frame = Next(spec, 2);
    frame.resize(60, 0xee);
    coalescer_.Offer(RscPacket(frame));
  }
  coalescer_.EndAll(RscEnd::kBatch);
  ExpectMerged(0, 3, 2);
  EXPECT_EQ(Cut(), sent_);
}

// What makes the second of two frames no continuation of the first, and nothing else does.
struct Difference {
  std::string name;
  std::function<void(TcpFrameSpec&)> change;
  uint64_t DataPathStats::*end = &DataPathStats::rx_rsc_end_headers;
  FlowKey flow = testing::TestFlow();
};

class RxCoalescerDifferenceTest : public RxCoalescerTest,
                                  public ::testing::WithParamInterface<Difference> {};

TEST_P(RxCoalescerDifferenceTest, IsNotMergedOver) {
  TcpFrameSpec spec = RscSpec(GetParam().flow);
  Send(spec);
  GetParam().change(spec);
  Send(spec);
  coalescer_.EndAll(RscEnd::kBatch);
  EXPECT_EQ(sink_.taken.size(), 2u);
  EXPECT_EQ(Cut(), sent_);
  EXPECT_EQ(stats_.*GetParam().end, 1u);
  EXPECT_EQ(stats_.rx_rsc_packets, 0u);
}

std::vector<Difference> Differences() {
  const auto order = &DataPathStats::rx_rsc_end_order;
  const auto not_data = &DataPathStats::rx_rsc_end_not_data;
  const auto headers = &DataPathStats::rx_rsc_end_headers;
  std::vector<Difference> all = {
      {"Gap", [](auto& s) { s.seq = s.seq + 1; }, order},
      {"Overlap", [](auto& s) { s.seq = s.seq - 1; }, order},
      {"Fin", [](auto& s) { s.flags |= kTcpFin; }, not_data},
      {"Syn", [](auto& s) { s.flags |= kTcpSyn; }, not_data},
      {"Rst", [](auto& s) { s.flags |= kTcpRst; }, not_data},
      {"Urgent", [](auto& s) { s.flags |= kTcpUrg; }, not_data},
      {"Cwr", [](auto& s) { s.flags |= kTcpCwr; }, not_data},
      {"NoAck", [](auto& s) { s.flags = 0; }, not_data},
      {"Ece", [](auto& s) { s.flags |= kTcpEce; }},
      {"Ack", [](auto& s) { s.ack = s.ack + 1; }},
      {"Window", [](auto& s) { ++s.window; }},
      {"UrgentPointer", [](auto& s) { s.urgent_pointer = 1; }},
      {"TimestampValue", [](auto& s) { ++s.options.timestamps->value; }},
      {"TimestampEcho", [](auto& s) { ++s.options.timestamps->echo; }},
      {"OptionsGone", [](auto& s) { s.options = {}; }},
      {"SourceMac",
       [](auto& s) {
         s.source_mac = MacAddress({2, 0, 0, 0, 0, 9});
       }},
      {"DestinationMac",
       [](auto& s) {
         s.destination_mac = MacAddress({2, 0, 0, 0, 0, 9});
       }},
      {"Ttl", [](auto& s) { --s.ttl; }},
      {"Ecn", [](auto& s) { s.ecn = 3; }},
      {"DontFragment", [](auto& s) { s.dont_fragment = false; }},
      {"IdentificationJumps", [](auto& s) { ++s.identification; }},
      {"IdentificationGoesBack", [](auto& s) { s.identification -= 2; }},
      {"HopLimitV6", [](auto& s) { --s.ttl; }, headers, testing::TestFlowV6()},
      {"EcnV6", [](auto& s) { s.ecn = 3; }, headers, testing::TestFlowV6()},
      {"FlowLabelV6", [](auto& s) { s.flow_label = 5; }, headers, testing::TestFlowV6()},
  };
  return all;
}
INSTANTIATE_TEST_SUITE_P(Every, RxCoalescerDifferenceTest, ::testing::ValuesIn(Differences()),
                         [](const auto& param) { return param.param.name; });

TEST_F(RxCoalescerTest, IdentificationsOfAStreamCountUpOrStandStill) {
  const auto taken = [this](bool dont_fragment, std::vector<uint16_t> ids) {
    sink_.taken.clear();
    TcpFrameSpec spec = RscSpec();
    spec.dont_fragment = dont_fragment;
    for (uint16_t id : ids) {
      spec.identification = id;
      Send(spec);
    }
    coalescer_.EndAll(RscEnd::kBatch);
    return sink_.taken.size();
  };
  EXPECT_EQ(taken(true, {7, 7, 7}), 1u);
  EXPECT_EQ(taken(true, {65535, 0, 1}), 1u);
  EXPECT_EQ(taken(true, {7, 7, 8}), 2u);
  EXPECT_EQ(taken(true, {7, 8, 8}), 2u);
  EXPECT_EQ(taken(false, {7, 8, 9}), 1u);
  // Of packets that may be fragmented each needs its own.
  EXPECT_EQ(taken(false, {7, 7, 7}), 3u);
}

TEST_F(RxCoalescerTest, EqualEceFlagsAreMerged) {
  TcpFrameSpec spec = RscSpec();
  spec.flags |= kTcpEce;
  for (int i = 0; i < 3; ++i) Send(spec);
  coalescer_.EndAll(RscEnd::kBatch);
  ExpectMerged(0, 3, kSegmentBytes);
  EXPECT_EQ(Cut(), sent_);
}

TEST_F(RxCoalescerTest, OptionsOfIpKeepAFrameToItself) {
  TcpFrameSpec spec = RscSpec();
  for (int i = 0; i < 2; ++i) {
    std::vector<uint8_t> frame = Next(spec);
    frame.insert(frame.begin() + 34, {1, 1, 1, 0});  // No operation, thrice; the end.
    frame[14] = 0x46;
    StoreBe16(&frame[16], static_cast<uint16_t>(LoadBe16(&frame[16]) + 4));
    FinishIpv4Checksum(frame);
    RxPacket packet = RscPacket(frame);
    ASSERT_EQ(packet.check, L4Check::kGood);
    coalescer_.Offer(packet);
  }
  EXPECT_EQ(sink_.taken.size(), 2u);
  TcpFrameSpec v6 = RscSpec(testing::TestFlowV6());
  for (int i = 0; i < 2; ++i) {
    RxPacket packet = RscPacket(testing::WithExtension(Next(v6), 8));
    ASSERT_EQ(packet.check, L4Check::kGood);
    coalescer_.Offer(packet);
  }
  EXPECT_EQ(sink_.taken.size(), 4u);
}

TEST_F(RxCoalescerTest, AnAcknowledgmentEndsItsFlowsPacketAndNoOthers) {
  TcpFrameSpec spec = RscSpec();
  TcpFrameSpec other = RscSpec();
  other.flow.remote_port = 9;
  Send(spec);
  Send(other);
  Send(spec);
  Send(spec, 0);
  ASSERT_EQ(sink_.taken.size(), 2u);
  ExpectMerged(0, 2, kSegmentBytes);
  EXPECT_EQ(sink_.taken[1].packet.bytes, sent_[3]);
  EXPECT_EQ(stats_.rx_rsc_end_not_data, 1u);
  EXPECT_EQ(coalescer_.open_frames(), 1u);
}

TEST_F(RxCoalescerTest, DamageAndWhatNobodyVerifiedStayAlone) {
  TcpFrameSpec spec = RscSpec();
  for (const L4Check check : {L4Check::kBad, L4Check::kNone}) {
    sink_.taken.clear();
    Send(spec);
    RxPacket spoiled = RscPacket(Next(spec));
    spoiled.packet.bytes.back() ^= 1;
    spoiled.check = check;
    const std::vector<uint8_t> bytes = spoiled.packet.bytes;
    coalescer_.Offer(spoiled);
    ASSERT_EQ(sink_.taken.size(), 2u);
    EXPECT_EQ(sink_.taken[1].packet.bytes, bytes);
    EXPECT_EQ(sink_.taken[1].check, check);
    EXPECT_EQ(sink_.taken[1].packet.segment_bytes, 0);
  }
}

TEST_F(RxCoalescerTest, ASuperFramePassesWholeBehindWhatCameBefore) {
  TcpFrameSpec spec = RscSpec();
  Send(spec);
  RxPacket super_frame = RscPacket(Next(spec, 3000));
  super_frame.packet.segment_bytes = 1000;
  super_frame.packet.header_bytes = static_cast<uint16_t>(super_frame.layout.header_bytes);
  coalescer_.Offer(super_frame);
  ASSERT_EQ(sink_.taken.size(), 2u);
  EXPECT_EQ(sink_.taken[1].packet.segment_bytes, 1000);
}

TEST_F(RxCoalescerTest, AFragmentOvertakesNothing) {
  TcpFrameSpec spec = RscSpec();
  Send(spec);
  std::vector<uint8_t> fragment = Next(spec);
  fragment[20] = 0x20;  // More fragments.
  FinishIpv4Checksum(fragment);
  coalescer_.Offer(RscPacket(fragment));
  ASSERT_EQ(sink_.taken.size(), 2u);
  EXPECT_EQ(sink_.taken[0].packet.bytes, sent_[0]);
  EXPECT_EQ(sink_.taken[1].packet.bytes, fragment);
}

TEST_F(RxCoalescerTest, DatagramsPassAtOnce) {
  std::vector<uint8_t> payload = TestPayload(100);
  payload[5] = kTcpAck;  // Where TCP would have its flags.
  const std::vector<uint8_t> udp = testing::UdpFrame(testing::TestFlow(), payload);
  coalescer_.Offer(RscPacket(udp));
  coalescer_.Offer(RscPacket(udp));
  EXPECT_EQ(sink_.taken.size(), 2u);
}

TEST_F(RxCoalescerTest, APacketGrowsToWhatIpCanCount) {
  for (const FlowKey& flow : {testing::TestFlow(), testing::TestFlowV6()}) {
    sink_.taken.clear();
    sent_.clear();
    TcpFrameSpec spec = RscSpec(flow);
    const uint32_t headers = flow.local.is_v4() ? 20 + 32 : 40 + 32;
    const uint32_t most = (kRscIpBytesMax - headers) / kSegmentBytes;
    for (uint32_t i = 0; i < most + 1; ++i) Send(spec);
    ASSERT_EQ(sink_.taken.size(), 1u);
    ExpectMerged(0, most, kSegmentBytes);
    coalescer_.EndAll(RscEnd::kBatch);
    EXPECT_EQ(Cut(), sent_);
    // To the last byte.
    const uint32_t rest = kRscIpBytesMax - headers - most * kSegmentBytes;
    for (uint32_t i = 0; i < most; ++i) Send(spec);
    Send(spec, rest);
    ExpectMerged(2, most + 1, kSegmentBytes);
    EXPECT_EQ(sink_.taken[2].layout.frame_bytes, 14 + kRscIpBytesMax);
  }
  EXPECT_EQ(stats_.rx_rsc_end_full, 2u);
}

TEST_F(RxCoalescerTest, TheFlowThatWasSilentLongestMakesRoomForAnother) {
  std::vector<TcpFrameSpec> flows(kRscContextsMax + 1, RscSpec());
  for (size_t i = 0; i < flows.size(); ++i) flows[i].flow.remote_port = static_cast<uint16_t>(i);
  for (size_t i = 0; i < kRscContextsMax; ++i) Send(flows[i]);
  Send(flows[0]);  // Now the second is the one.
  EXPECT_TRUE(sink_.taken.empty());
  Send(flows.back());
  ASSERT_EQ(sink_.taken.size(), 1u);
  EXPECT_EQ(sink_.taken[0].packet.bytes, sent_[1]);
  EXPECT_EQ(stats_.rx_rsc_end_evicted, 1u);
  EXPECT_EQ(coalescer_.open_frames(), kRscContextsMax + 1u);
  coalescer_.EndAll(RscEnd::kBatch);
  EXPECT_EQ(sink_.taken.size(), kRscContextsMax + 1u);
  EXPECT_EQ(stats_.rx_rsc_end_batch, uint64_t{kRscContextsMax});
}

TEST_F(RxCoalescerTest, APacketTakesNoBufferThatIsNotThere) {
  sink_.free = 2;
  TcpFrameSpec spec = RscSpec();
  for (int i = 0; i < 6; ++i) Send(spec);
  // Two buffers hold five segments.
  ASSERT_EQ(sink_.taken.size(), 1u);
  ExpectMerged(0, 5, kSegmentBytes);
  EXPECT_EQ(stats_.rx_rsc_end_full, 1u);
  EXPECT_EQ(sink_.free, 0u);
  // What waits fills the buffer that it waits for, and no second one.
  for (int i = 0; i < 2; ++i) Send(spec);
  EXPECT_EQ(sink_.taken.size(), 2u);
  ExpectMerged(1, 2, kSegmentBytes);
}

TEST_F(RxCoalescerTest, BuffersThatAPacketCountsOnAreNotTakenByOthers) {
  sink_.free = 2;
  TcpFrameSpec spec = RscSpec();
  TcpFrameSpec other = RscSpec();
  other.flow.remote_port = 9;
  for (int i = 0; i < 3; ++i) Send(spec);
  Send(other, 0);
  ASSERT_EQ(sink_.taken.size(), 2u);
  ExpectMerged(0, 3, kSegmentBytes);
  EXPECT_EQ(sink_.lacked, 1u);  // The acknowledgment came last, and waits.

  sink_.free = 2;
  for (int i = 0; i < 3; ++i) Send(spec);
  Send(other);
  EXPECT_EQ(sink_.free, 0u);
  Send(spec);
  ASSERT_EQ(sink_.taken.size(), 4u);
  ExpectMerged(2, 3, kSegmentBytes);
}

}  // namespace
}  // namespace devmem
