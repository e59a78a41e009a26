// SPDX-License-Identifier: Apache-2.0
//
// What a wire with faults does to frames, in virtual time; and that recording changes nothing.

#include "netmem/gvnic/faulty_wire.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/recorder_port.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using testing::TestFrame;
using testing::TestPayload;

struct CapturingPort final : Port {
  void Transmit(Packet packet) override { packets.push_back(std::move(packet)); }
  void EndBatch() override { ++batches; }
  std::vector<Packet> packets;
  int batches = 0;
};

Packet Frame(uint32_t seed) {
  return {.bytes = TestFrame{.payload = TestPayload(100, seed)}.Bytes(), .checksum_good = true};
}

// sent + duplicated = lost + dropped + delivered + on the way, and nothing is on the way.
void ExpectBalanced(const FaultyWireStats& stats) {
  EXPECT_EQ(stats.sent + stats.duplicated, stats.lost + stats.dropped + stats.delivered);
}

TEST(FaultyWireTest, AFrameArrivesAfterItsDelayAndNobodyVouchesForIt) {
  CapturingPort port;
  FaultyWire wire({.delay_ns = 1000}, 1, 0, port);
  EXPECT_EQ(wire.NextDue(), std::nullopt);
  wire.Advance(500);
  wire.Transmit(Frame(1));
  EXPECT_EQ(wire.NextDue(), 1500);
  wire.Advance(1499);
  EXPECT_TRUE(port.packets.empty());
  wire.Advance(1500);
  ASSERT_EQ(port.packets.size(), 1u);
  EXPECT_EQ(port.packets[0].bytes, Frame(1).bytes);
  EXPECT_FALSE(port.packets[0].checksum_good);
  EXPECT_EQ(port.batches, 1);
}

TEST(FaultyWireTest, ASuperFrameIsCutBeforeAnythingHappensToIt) {
  CapturingPort port;
  FaultyWire wire({}, 1, 0, port);
  wire.Transmit({.bytes = TestFrame{.payload = TestPayload(3000)}.Bytes(),
                 .segment_bytes = 1448,
                 .header_bytes = 54});
  EXPECT_EQ(wire.NextDue(), 0);
  wire.Advance(0);
  EXPECT_EQ(port.packets.size(), 3u);
  EXPECT_EQ(wire.stats().sent, 3u);
  wire.Transmit({.bytes = TestPayload(3000), .segment_bytes = 1448});
  EXPECT_EQ(wire.stats().dropped, 1u);
}

TEST(FaultyWireTest, EveryFaultHappensAsOftenAsItsProbability) {
  CapturingPort port;
  FaultyWire wire({.loss = 0.1, .duplication = 0.2, .corruption = 0.3, .reorder = 0.4}, 7, 1, port);
  constexpr uint32_t kFrames = 5000;
  for (uint32_t i = 0; i < kFrames; ++i) {
    wire.Advance(i * 1000);
    wire.Transmit(Frame(i));
  }
  wire.Advance(kFrames * 1'000'000);
  const FaultyWireStats& stats = wire.stats();
  EXPECT_NEAR(static_cast<double>(stats.lost), 500, 100);
  EXPECT_NEAR(static_cast<double>(stats.duplicated), 900, 150);
  EXPECT_NEAR(static_cast<double>(stats.corrupted), 1350, 150);
  EXPECT_NEAR(static_cast<double>(stats.reordered), 1800, 150);
  EXPECT_EQ(stats.delivered, port.packets.size());
  ExpectBalanced(stats);
}

TEST(FaultyWireTest, DamageIsOneBitBehindTheAddressesAndTheChecksumsTell) {
  CapturingPort port;
  FaultyWire wire({.corruption = 1}, 3, 0, port);
  for (uint32_t i = 0; i < 200; ++i) {
    wire.Transmit(Frame(0));
    wire.Advance(i);
    const std::vector<uint8_t> sent = Frame(0).bytes;
    const std::vector<uint8_t>& got = port.packets.back().bytes;
    ASSERT_EQ(got.size(), sent.size());
    int flipped = 0;
    for (size_t byte = 0; byte < sent.size(); ++byte) {
      flipped += __builtin_popcount(static_cast<unsigned>(sent[byte] ^ got[byte]));
    }
    EXPECT_TRUE(std::equal(sent.begin(), sent.begin() + 12, got.begin()));
    EXPECT_EQ(flipped, 1);
    EXPECT_NE(VerifyL4Checksum(got, ReadFrameLayout(got)), L4Check::kGood);
  }
}

TEST(FaultyWireTest, OneSeedGivesOneOutcome) {
  const auto run = [](uint64_t seed) {
    CapturingPort port;
    FaultyWire wire({.jitter_ns = 500, .loss = 0.2, .corruption = 0.1, .reorder = 0.3}, seed, 0,
                    port);
    for (uint32_t i = 0; i < 300; ++i) {
      wire.Advance(i * 100);
      wire.Transmit(Frame(i));
    }
    wire.Advance(1'000'000'000);
    std::vector<std::vector<uint8_t>> frames;
    for (Packet& packet : port.packets) frames.push_back(std::move(packet.bytes));
    return frames;
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

TEST(FaultyWireTest, WhatIsOnTheWayIsBounded) {
  CapturingPort port;
  FaultyWire wire({.delay_ns = 1'000'000}, 1, 0, port);
  Packet frame{.bytes = std::vector<uint8_t>(9000)};
  for (uint32_t i = 0; i <= kWireFlyingBytesMax / 9000; ++i) wire.Transmit(frame);
  EXPECT_EQ(wire.stats().dropped, 1u);
  wire.Advance(1'000'000);
  ExpectBalanced(wire.stats());
}

TEST(RecorderPortTest, WhatPassesIsRecordedAndUnchanged) {
  char path[] = "/tmp/recorder_port_test.XXXXXX";
  const int fd = ::mkstemp(path);
  ASSERT_GE(fd, 0);
  ::close(fd);
  absl::StatusOr<std::unique_ptr<PcapngRecorder>> recorder = PcapngRecorder::Create(path);
  ASSERT_TRUE(recorder.ok()) << recorder.status();
  CapturingPort port;
  const uint32_t interface = (*recorder)->AddInterface("gvnic0");
  RecorderPort tap(
      **recorder, interface, PacketDirection::kOutbound, [] { return Nanos{42}; }, port);
  tap.Transmit(Frame(1));
  tap.Transmit({.bytes = std::vector<uint8_t>(14)});
  tap.EndBatch();
  ASSERT_EQ(port.packets.size(), 2u);
  EXPECT_EQ(port.packets[0].bytes, Frame(1).bytes);
  EXPECT_EQ(port.batches, 1);
  EXPECT_TRUE((*recorder)->Close().ok());
  EXPECT_EQ((*recorder)->recorded(), 2u);
  ::unlink(path);
}

}  // namespace
}  // namespace devmem
