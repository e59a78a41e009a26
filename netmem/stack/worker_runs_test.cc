// SPDX-License-Identifier: Apache-2.0
//
// Which frames of a batch the worker hands to TCP as one: neither what time stamps and ECN say of a
// frame nor the order of a flow may be lost by it. Frames are injected into the worker's NIC,
// whole.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "netmem/nic/wire_link.h"
#include "netmem/stack/stack.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using testing::TestPayload;

constexpr SeqNum kIss(1000);
constexpr uint32_t kBytes = 100;           // Of each frame.
constexpr uint32_t kClock = 5000;          // The peer's time stamp at first.
constexpr size_t kOptions = 14 + 20 + 20;  // Where the options begin.

class WorkerRunsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    link_ = *WireLink::Create({});
    Stack::Config config;
    config.addresses = *Addresses::Create({"192.0.2.1"}, "");
    config.host_bytes_per_queue = kHostBytesPerQueueMin;
    config.tcp.connections_max = 4;
    stack_ = *Stack::Create(&link_->a(), config);
    const absl::StatusOr<ListenerId> listener =
        worker().engine().Listen(IpAddress::FromV4(0), 5201, 4, false);
    ASSERT_TRUE(listener.ok()) << listener.status();
    TcpFrameSpec syn = Spec();
    syn.seq = kIss;
    syn.flags = kTcpSyn;
    syn.options.mss = 1460;
    Batch({Frame(syn, 0)});
    ack_ = connection().sender.snd_una() + 1;
    Batch({Frame(Spec(), 0)});
    // The engine takes runs for who holds the connection only.
    ASSERT_TRUE(worker().engine().Accept(*listener).has_value());
    ASSERT_EQ(connection().state, TcpState::kEstablished);
  }

  Worker& worker() { return stack_->worker(0); }
  const TcpConnection& connection() {
    const TcpConnection* found = nullptr;
    worker().engine().VisitConnections([&](const TcpConnection& each) { found = &each; });
    return *found;
  }
  uint32_t received_bytes() { return connection().receiver.rcv_nxt().value() - (kIss + 1).value(); }
  uint64_t merged() { return worker().stats().merged_frames; }

  // Frame `number` of the stream.
  TcpFrameSpec Spec(uint32_t number = 0) const {
    TcpFrameSpec spec;
    spec.source_mac = MacAddress({2, 0, 0, 0, 0, 2});
    spec.destination_mac = MacAddress({2, 0, 0, 0, 0, 1});
    spec.flow = {.local = IpAddress::FromV4(0xc0000202),
                 .remote = IpAddress::FromV4(0xc0000201),
                 .local_port = 40000,
                 .remote_port = 5201};
    spec.seq = kIss + 1 + number * kBytes;
    spec.ack = ack_;
    spec.flags = kTcpAck;
    spec.window = 0xffff;
    spec.options.timestamps = TcpTimestamps{.value = kClock};
    return spec;
  }
  static std::vector<uint8_t> Frame(TcpFrameSpec spec, uint32_t bytes = kBytes) {
    const std::vector<uint8_t> payload = TestPayload(bytes, spec.seq.value());
    spec.payload_bytes = bytes;
    spec.payload_sum = PartialSum(payload);
    std::vector<uint8_t> frame(kTcpFrameHeaderBytesMax);
    frame.resize(BuildTcpFrame(spec, frame));
    frame.insert(frame.end(), payload.begin(), payload.end());
    return frame;
  }
  std::vector<uint8_t> Stamped(uint32_t number, uint32_t clock) const {
    TcpFrameSpec spec = Spec(number);
    spec.options.timestamps->value = clock;
    return Frame(spec);
  }
  std::vector<uint8_t> Marked(uint32_t number, uint8_t ecn) const {
    TcpFrameSpec spec = Spec(number);
    spec.ecn = ecn;
    return Frame(spec);
  }
  // The time stamp first and the padding behind it: as long, and as true. The sum does not change.
  static std::vector<uint8_t> PaddedBehind(std::vector<uint8_t> frame) {
    const auto options = frame.begin() + kOptions;
    std::rotate(options, options + 2, options + 12);
    return frame;
  }
  // A frame with payload of a flow that nobody has here, to come between others.
  std::vector<uint8_t> Stranger() const {
    TcpFrameSpec spec = Spec();
    spec.flow.local_port = 40001;
    return Frame(spec);
  }
  // Whether the first `frames` of the stream are there to be read, byte for byte.
  void ExpectStream(uint32_t frames) {
    std::vector<uint8_t> expected;
    for (uint32_t i = 0; i < frames; ++i) {
      const std::vector<uint8_t> part = TestPayload(kBytes, Spec(i).seq.value());
      expected.insert(expected.end(), part.begin(), part.end());
    }
    std::vector<uint8_t> read(expected.size() + 1);
    read.resize(worker().ReadBytes(const_cast<TcpConnection&>(connection()), read, now_));
    EXPECT_EQ(read, expected);
  }
  void Batch(const std::vector<std::vector<uint8_t>>& frames) {
    for (const std::vector<uint8_t>& frame : frames) EXPECT_TRUE(link_->a().Inject(frame));
    now_ += kMillisecond;
    while (worker().Run(now_) != 0) {
    }
  }

  std::unique_ptr<WireLink> link_;
  std::unique_ptr<Stack> stack_;
  SeqNum ack_;
  Nanos now_ = kSecond;
};

TEST_F(WorkerRunsTest, NeighboursWhoseClockStandsStillOrGoesOnAreOne) {
  Batch({Stamped(0, kClock), Stamped(1, kClock), Stamped(2, kClock + 1)});
  EXPECT_EQ(merged(), 2u);
  EXPECT_EQ(received_bytes(), 3 * kBytes);
  EXPECT_EQ(connection().timestamps.ts_recent, kClock);
}

TEST_F(WorkerRunsTest, AnOlderTimeStampIsAnOldSegments) {
  Batch({Stamped(0, kClock + 1), Stamped(1, kClock)});
  EXPECT_EQ(merged(), 0u);
  EXPECT_EQ(received_bytes(), kBytes) << "PAWS refuses the second";
}

TEST_F(WorkerRunsTest, ATimeStampInAnotherPlaceIsReadWhereItIs) {
  Batch({Stamped(0, kClock), PaddedBehind(Stamped(1, kClock + 1))});
  EXPECT_EQ(merged(), 0u);
  EXPECT_EQ(received_bytes(), 2 * kBytes);
  Batch({PaddedBehind(Stamped(2, kClock + 2)), Stamped(3, kClock + 2)});
  EXPECT_EQ(merged(), 0u);
  EXPECT_EQ(received_bytes(), 4 * kBytes);
  EXPECT_EQ(connection().timestamps.ts_recent, kClock + 2);
}

TEST_F(WorkerRunsTest, CongestionThatWasExperiencedIsNotMergedAway) {
  Batch({Marked(0, kEcnCapable0), Marked(1, kEcnCapable0)});
  EXPECT_EQ(merged(), 1u);
  Batch({Marked(2, kEcnCapable0), Marked(3, kEcnCongestion)});
  EXPECT_EQ(merged(), 1u);
  Batch({Marked(4, kEcnCongestion), Marked(5, kEcnCapable0)});
  EXPECT_EQ(merged(), 1u);
  // Each mark counts (RFC 3168 section 6.1.3): they are not one either.
  Batch({Marked(6, kEcnCongestion), Marked(7, kEcnCongestion)});
  EXPECT_EQ(merged(), 1u);
  EXPECT_EQ(received_bytes(), 8 * kBytes);
}

TEST_F(WorkerRunsTest, OthersBetweenThemDoNotKeepFramesApart) {
  Batch({Frame(Spec(0)), Stranger(), Frame(Spec(1)), Frame(Spec(2)), Stranger(), Stranger(),
         Frame(Spec(3)), Frame(Spec(4)), Stranger()});
  EXPECT_EQ(merged(), 4u);
  EXPECT_EQ(worker().engine().stats().segments_short_path, 5u);
  ExpectStream(5);
}

TEST_F(WorkerRunsTest, FramesOfAFlowKeepTheirOrderAmongOthers) {
  // One that does not fit its run: what comes behind it begins the next.
  Batch({Frame(Spec(0)), Stranger(), Frame(Spec(2)), Stranger(), Frame(Spec(1)), Stranger(),
         Frame(Spec(3))});
  EXPECT_EQ(worker().engine().stats().out_of_order_segments, 1u);
  EXPECT_EQ(merged(), 0u);
  ExpectStream(4);
}

TEST_F(WorkerRunsTest, ARunIsNoLongerThanAFrameMayBe) {
  std::vector<std::vector<uint8_t>> frames;
  for (uint32_t i = 0; i < 100; ++i) {
    frames.push_back(Frame(Spec(i)));
    if (i % 3 == 0) frames.push_back(Stranger());
  }
  Batch(frames);
  EXPECT_EQ(merged(), 99u);
  ExpectStream(100);
}

}  // namespace
}  // namespace devmem
