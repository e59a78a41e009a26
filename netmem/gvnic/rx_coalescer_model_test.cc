// SPDX-License-Identifier: Apache-2.0
//
// Receive coalescing against the plainest model, no coalescing: random segments of several flows
// with gaps, repeats, flags, damage and every size go in; cut apart again, what comes out is each
// flow's frames, byte for byte, in order and in number, however few buffers there are.

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "netmem/gvnic/rx_coalescer.h"
#include "netmem/nic/impairment.h"
#include "selftests/testing/rsc_frames.h"

namespace devmem {
namespace {

using testing::RscFrame;
using testing::RscPacket;
using testing::RscSink;
using testing::RscSpec;
using testing::TestPayload;

using FramesByPort = std::map<uint16_t, std::vector<std::vector<uint8_t>>>;

class RscModel {
 public:
  explicit RscModel(uint32_t seed) : random_(seed) {
    queue_.header_bytes = Roll(2) == 0 ? 0 : 256;
    queue_.buffer_bytes = Roll(2) == 0 ? 2048 : 4096;
    const uint32_t flow_count = 1 + Roll(20);
    for (uint32_t i = 0; i < flow_count; ++i) {
      TcpFrameSpec spec = RscSpec(Roll(2) == 0 ? testing::TestFlow() : testing::TestFlowV6());
      spec.flow.local_port = static_cast<uint16_t>(1 + i);
      spec.seq = SeqNum(static_cast<uint32_t>(random_.Next()));
      spec.dont_fragment = Roll(2) == 0;
      if (Roll(3) == 0) spec.options = {};
      flows_.push_back(spec);
    }
  }

  // A burst of frames.
  void Burst() {
    sink_.free = Roll(4) == 0 ? Roll(20) : 1000;
    for (uint32_t left = 1 + Roll(200); left > 0; --left) {
      SendOne(flows_[Roll(static_cast<uint32_t>(flows_.size()))]);
    }
    coalescer_.EndAll(RscEnd::kBatch);
    ASSERT_EQ(coalescer_.open_frames(), 0u);
  }

  void Judge() {
    FramesByPort received;
    uint64_t merged_frames = 0;
    for (const RxPacket& packet : sink_.taken) {
      ASSERT_EQ(packet.check,
                VerifyL4Checksum(packet.packet.bytes, ReadFrameLayout(packet.packet.bytes)));
      const std::vector<Packet> frames = CutIntoFrames(packet.packet);
      ASSERT_FALSE(frames.empty());
      if (packet.packet.segment_bytes != 0) merged_frames += frames.size();
      for (const Packet& frame : frames) {
        received[packet.layout.flow.remote_port].push_back(frame.bytes);
      }
    }
    EXPECT_EQ(merged_frames, stats_.rx_rsc_frames);
    ASSERT_EQ(received, sent_);
    sink_.taken.clear();
    sent_.clear();
    stats_.rx_rsc_frames = 0;
  }
  uint64_t merged_packets() const { return stats_.rx_rsc_packets; }

 private:
  uint32_t Roll(uint32_t sides) { return static_cast<uint32_t>(random_.Below(sides)); }

  // Mostly the next segment of the stream; each oddity now and then.
  void SendOne(TcpFrameSpec& spec) {
    const uint32_t bytes = Roll(12) == 0 ? Roll(1449) : 1448;
    const std::vector<uint8_t> payload = TestPayload(bytes, spec.seq.value());
    TcpFrameSpec sent = spec;
    bool is_damaged = false;
    switch (Roll(40)) {
      case 0: sent.seq = spec.seq + Roll(3000); break;
      case 1: sent.seq = spec.seq - Roll(3000); break;
      case 2: spec.ack = spec.ack + 1; break;
      case 3: ++spec.window; break;
      case 4: sent.flags = static_cast<uint8_t>(Roll(256)); break;
      case 5: sent.flags |= kTcpPsh; break;
      case 6: is_damaged = true; break;
      case 7: ++spec.identification; break;
      case 8: sent.ecn = static_cast<uint8_t>(Roll(4)); break;
      case 9:
        if (spec.options.timestamps) ++spec.options.timestamps->value;
        break;
      default: break;
    }
    std::vector<uint8_t> frame = RscFrame(sent, payload);
    if (is_damaged) frame.back() ^= 0x10;
    sent_[spec.flow.local_port].push_back(frame);
    coalescer_.Offer(RscPacket(std::move(frame)));
    spec.seq = spec.seq + bytes;
    ++spec.identification;
  }

  SeededRandom random_;
  RxRingConfig queue_{.buffer_entries = 1024};
  DataPathStats stats_;
  RscSink sink_{queue_};
  RxCoalescer coalescer_{queue_, stats_, sink_};
  std::vector<TcpFrameSpec> flows_;
  FramesByPort sent_;
};

TEST(RxCoalescerModelTest, EveryFrameComesOutAsItWentIn) {
  uint64_t merged_packets = 0;
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    RscModel model(seed);
    for (int burst = 0; burst < 5; ++burst) {
      model.Burst();
      model.Judge();
      if (::testing::Test::HasFatalFailure()) return;
    }
    merged_packets += model.merged_packets();
  }
  EXPECT_GT(merged_packets, 1000u);
}

}  // namespace
}  // namespace devmem
