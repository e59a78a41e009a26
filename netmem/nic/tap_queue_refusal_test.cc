// SPDX-License-Identifier: Apache-2.0
//
// What a TAP queue does not place in the binding: frames that lie, payload without memory, memory
// that is taken away, and frames of others. Needs root and /dev/net/tun.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "netmem/nic/tap_nic.h"
#include "netmem/nic/tap_queue.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "selftests/testing/tap_fixture.h"

namespace devmem {
namespace {

using testing::BoundTapTest;
using testing::KernelFrame;
using testing::kPlainHeaderBytes;
using testing::kTimestampHeaderBytes;
using testing::PutBack;
using testing::TestFlow;
using testing::TestPayload;

class TapQueueRefusalTest : public BoundTapTest {
 protected:
  bool RegionIsBlank() const {
    return std::ranges::all_of(device_.bytes(), [](uint8_t byte) { return byte == 0; });
  }

  // Takes all but `bytes` of the region. The holder puts the pieces back.
  std::vector<Piece> LeaveInRegion(uint64_t bytes) {
    std::vector<Piece> held;
    for (uint64_t rest = device_.pool().capacity_bytes() - bytes; rest > 0;) {
      (void)device_.pool().Posted();
      const uint32_t part = static_cast<uint32_t>(std::min<uint64_t>(rest, 60'000));
      std::array<Piece, kPostedRunsMax> pieces;
      const uint32_t taken = device_.pool().Take(part, pieces);
      EXPECT_GT(taken, 0u);
      if (taken == 0) break;
      held.insert(held.end(), pieces.begin(), pieces.begin() + taken);
      rest -= part;
    }
    return held;
  }
};

TEST_F(TapQueueRefusalTest, AFlippedPayloadBitIsDroppedForItsChecksum) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.back() ^= 1;
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_checksum, 1u);
}

TEST_F(TapQueueRefusalTest, AFrameShorterThanItsIpLengthIsDroppedAsTruncated) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.pop_back();
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_truncated, 1u);
}

TEST_F(TapQueueRefusalTest, AFrameLongerThanItsIpLengthIsDroppedAsTruncated) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.push_back(0);
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_truncated, 1u);
}

TEST_F(TapQueueRefusalTest, PaddingUpToEthernetsMinimumIsNoPayload) {
  KernelFrame frame{.payload = {1, 2, 3}};
  std::vector<uint8_t> bytes = frame.Bytes();
  bytes.resize(60, 0xee);
  kernel_->Send(bytes);
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(Payload(), frame.payload);
  PutBackAll();
}

TEST_F(TapQueueRefusalTest, AnIpHeaderThatLiesIsDroppedAsMalformed) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(100)}.Bytes();
  bytes[14 + 8] ^= 0xff;  // The TTL, and so the header's checksum.
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_malformed, 1u);
}

TEST_F(TapQueueRefusalTest, FragmentsAreDroppedAndCounted) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(100)}.Bytes();
  StoreBe16(&bytes[14 + 6], 0x2000);  // More fragments follow.
  StoreBe16(&bytes[14 + 10], 0);
  StoreBe16(&bytes[14 + 10], ChecksumField(PartialSum(std::span(bytes).subspan(14, 20))));
  ExpectDropped(bytes);
  EXPECT_EQ(stats().drop_fragment, 1u);
}

TEST_F(TapQueueRefusalTest, WhenThePoolIsEmptyThePrefixIsPlacedAndTheRestCounted) {
  const std::vector<Piece> held = LeaveInRegion(10'000);
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
  for (const Piece& piece : held) device_.pool().Put(piece);
}

TEST_F(TapQueueRefusalTest, RevokedMemoryReceivesNothingAndHeadersStillArrive) {
  device_.attachment().Revoke();
  kernel_->Send(KernelFrame{.payload = TestPayload(1000)});
  kernel_->Send(KernelFrame{.timestamps = true, .flags = kTcpAck | kTcpRst});
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(batch_.frames[0].header.size(), kTimestampHeaderBytes);
  EXPECT_EQ(stats().drop_revoked, 1u);
  EXPECT_TRUE(RegionIsBlank());
}

TEST_F(TapQueueRefusalTest, AStrayFrameIsCopiedOutAndScrubbedFromTheRegion) {
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
  EXPECT_TRUE(RegionIsBlank());
  TeachTimestamps();
  const std::vector<uint8_t> before(device_.bytes().begin(), device_.bytes().end());
  expect_host_bytes(false);
  EXPECT_TRUE(std::ranges::equal(before, device_.bytes()));
  EXPECT_EQ(stats().host_bytes, 3 * 40'001u);
  EXPECT_EQ(stats().payload_bytes_bounced, 0u);
}

TEST_F(TapQueueRefusalTest, AFrameIsWholeInTheRegionOrDroppedWhenAccessIsRevokedMeanwhile) {
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

TEST_F(TapQueueRefusalTest, DroppedFramesLeaveNothingInTheRegion) {
  std::vector<uint8_t> bytes = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.back() ^= 1;
  kernel_->Send(bytes);
  kernel_->Send(KernelFrame{});
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_TRUE(RegionIsBlank());
}

TEST_F(TapQueueRefusalTest, StraysBeforeTheQueueSettledArePresteerAndLaterOnesMissteered) {
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

TEST_F(TapQueueRefusalTest, AFrameLongerThanTheVectorIsDroppedAsTruncated) {
  TapSteeringState shared(1);
  TapQueue small({.fd = nic_->queue(0).fd(), .index = 0, .frame_bytes_max = 1000}, shared);
  small.SetHostMemory(host_[0]->queue_memory());
  // One that is cut off, one of which nobody could tell whether it was, and one that just fits.
  kernel_->Send(KernelFrame{.payload = TestPayload(1000)});
  kernel_->Send(KernelFrame{.payload = TestPayload(947)});
  kernel_->Send(KernelFrame{.payload = TestPayload(946)});
  EXPECT_EQ(small.Poll(batch_), 1u);
  EXPECT_EQ(small.stats().drop_truncated, 2u);
  EXPECT_EQ(Payload(), TestPayload(946));
  PutBackAll();
}

TEST_F(TapQueueRefusalTest, AChecksumIsTakenAcrossTheRegionAndTheSpill) {
  const std::vector<Piece> held = LeaveInRegion(501);  // Odd: what follows counts byte-swapped.
  const KernelFrame frame{.payload = TestPayload(1000)};
  kernel_->Send(frame);
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(stats().checksum_computed, 1u);
  EXPECT_EQ(stats().drop_checksum, 0u);
  EXPECT_EQ(batch_.frames[0].placed_bytes, 501u);
  PutBackAll();
  for (const Piece& piece : held) device_.pool().Put(piece);
}

TEST_F(TapQueueRefusalTest, AStrayHeaderLeavesNoneOfItsBytesInTheRegion) {
  FlowKey other = TestFlow();
  other.local_port = 80;
  kernel_->Send(KernelFrame{.flow = other, .timestamps = true, .flags = kTcpSyn});
  ASSERT_EQ(Receive(0, batch_), 1u);
  EXPECT_EQ(batch_.frames[0].header.size(), kTimestampHeaderBytes);
  EXPECT_TRUE(RegionIsBlank());
}

// A socket pair in place of the TAP holds the worker inside its readv while access is revoked: the
// read then reports success, and only the mapping's generation tells that nothing arrived in the
// region.
TEST_F(TapQueueRefusalTest, AFrameThatWasReadIntoRevokedMemoryIsDropped) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  TapSteeringState shared(1);
  TapQueue queue({.fd = ours.get(), .index = 0}, shared);
  queue.SetHostMemory(host_[0]->queue_memory());
  nic_->queue(0).Unbind();
  ASSERT_TRUE(queue.Bind(device_.queue_memory()).ok());
  ASSERT_TRUE(shared.rules.Add({.local_port = TestFlow().local_port}, 0).ok());

  std::atomic<pid_t> worker_id{0};
  std::thread worker([&] {
    worker_id = ::gettid();
    queue.Poll(batch_);
  });
  // State S: asleep, which this thread is nowhere but in the read.
  std::string state;
  while (state != "S") {
    std::this_thread::yield();
    std::string pid, name;
    std::ifstream("/proc/self/task/" + std::to_string(worker_id) + "/stat") >> pid >> name >> state;
  }
  device_.attachment().Revoke();
  std::vector<uint8_t> bytes(kVnetHeaderBytes);
  const std::vector<uint8_t> frame = KernelFrame{.payload = TestPayload(1000)}.Bytes();
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  EXPECT_EQ(::send(theirs.get(), bytes.data(), bytes.size(), 0), std::ssize(bytes));
  theirs.Reset();  // The next read finds the end.
  worker.join();
  EXPECT_EQ(batch_.frame_count, 0u);
  EXPECT_EQ(queue.stats().drop_revoked, 1u);
  EXPECT_TRUE(RegionIsBlank());
  queue.Unbind();
}

}  // namespace
}  // namespace devmem
