// SPDX-License-Identifier: Apache-2.0
//
// Payload into netmem: pieces for a frame, the prefix when memory is short, and stray payload
// copied out of a bound window without a trace left behind.

#include "netmem/nic/host_delivery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "netmem/wire/checksum.h"
#include "provider/dma_mapping.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using ::devmem::testing::PutBack;
using ::devmem::testing::TestMemory;
using ::devmem::testing::TestPayload;

class HostDeliveryTest : public ::testing::Test {
 protected:
  ~HostDeliveryTest() override { PutBack(batch_, &host_.pool(), &device_.pool()); }

  // What the batch holds for the frame.
  std::vector<uint8_t> HostBytes() { return host_.BytesOf(batch_.PiecesOf(frame_)); }

  TestMemory host_{TestMemory::Kind::kHost};
  TestMemory device_{TestMemory::Kind::kDevice};
  RxBatch batch_;
  RxDescriptor frame_;
  RxQueueStats stats_;
};

TEST_F(HostDeliveryTest, BytesFromPlainMemoryArriveInHostPieces) {
  const std::vector<uint8_t> payload = TestPayload(1448);
  EXPECT_EQ(DeliverFromMemory(payload, host_.queue_memory(), batch_, frame_, stats_), 1448u);
  EXPECT_EQ(frame_.placed_bytes, 1448u);
  EXPECT_EQ(HostBytes(), payload);
  EXPECT_FALSE(batch_.PiecesOf(frame_)[0].netmem.is_device());
  EXPECT_EQ(stats_.host_bytes, 1448u);
  EXPECT_EQ(stats_.drop_pool_empty, 0u);
}

TEST_F(HostDeliveryTest, AFramesPiecesAddUpOverSeveralCalls) {
  const std::vector<uint8_t> payload = TestPayload(3000);
  const std::span<const uint8_t> bytes = payload;
  DeliverFromMemory(bytes.first(1000), host_.queue_memory(), batch_, frame_, stats_);
  DeliverFromMemory(bytes.subspan(1000), host_.queue_memory(), batch_, frame_, stats_);
  EXPECT_EQ(frame_.placed_bytes, 3000u);
  EXPECT_EQ(frame_.first_piece, 0u);
  EXPECT_EQ(HostBytes(), payload);
}

TEST_F(HostDeliveryTest, NoBytesTakeNoPiece) {
  EXPECT_EQ(DeliverFromMemory({}, host_.queue_memory(), batch_, frame_, stats_), 0u);
  EXPECT_EQ(batch_.piece_count, 0u);
  EXPECT_EQ(stats_.drop_pool_empty, 0u);
}

TEST_F(HostDeliveryTest, AnEmptyPoolGivesThePrefixThatItHasAndCountsTheRest) {
  TestMemory small(TestMemory::Kind::kHost, 64u << 10);
  RxBatch batch;
  RxDescriptor big;
  const std::vector<uint8_t> first = TestPayload(60'000);
  const std::vector<uint8_t> second = TestPayload(10'000, 7);
  EXPECT_EQ(DeliverFromMemory(first, small.queue_memory(), batch, big, stats_), 60'000u);
  RxDescriptor cut;
  EXPECT_EQ(DeliverFromMemory(second, small.queue_memory(), batch, cut, stats_), 5536u);
  EXPECT_EQ(cut.placed_bytes, 5536u);
  EXPECT_EQ(small.BytesOf(batch.PiecesOf(cut)),
            std::vector<uint8_t>(second.begin(), second.begin() + 5536));
  EXPECT_EQ(stats_.drop_pool_empty, 1u);
  EXPECT_EQ(stats_.drop_pool_empty_bytes, 4464u);

  RxDescriptor none;
  EXPECT_EQ(DeliverFromMemory(second, small.queue_memory(), batch, none, stats_), 0u);
  EXPECT_EQ(none.piece_count, 0u);
  EXPECT_EQ(stats_.drop_pool_empty, 2u);
  PutBack(batch, &small.pool(), nullptr);
}

TEST_F(HostDeliveryTest, WithdrawnPiecesAreBackInThePoolAndOutOfTheBatch) {
  DeliverFromMemory(TestPayload(100), host_.queue_memory(), batch_, frame_, stats_);
  RxDescriptor bad;
  DeliverFromMemory(TestPayload(50'000), host_.queue_memory(), batch_, bad, stats_);
  const uint32_t pieces_before = frame_.piece_count;
  WithdrawPieces(host_.pool(), batch_, bad);
  EXPECT_EQ(bad.piece_count, 0u);
  EXPECT_EQ(bad.placed_bytes, 0u);
  EXPECT_EQ(batch_.piece_count, pieces_before);
  EXPECT_TRUE(host_.pool().account().balanced());
}

// Payload that lies in the posted window of a bound queue, behind some surplus header bytes.
TEST_F(HostDeliveryTest, StrayPayloadIsCopiedOutOfTheWindowWhichIsScrubbed) {
  const std::vector<uint8_t> written = TestPayload(40'000);
  const auto posted = device_.pool().Posted();
  ASSERT_GE(posted[0].bytes, written.size());
  device_.attachment().mapping().Write(posted[0].offset, written);

  constexpr uint32_t kSurplus = 12;
  const uint32_t payload_bytes = 39'000;  // The rest is Ethernet padding, say.
  EXPECT_EQ(DeliverFromWindow(device_.queue_memory(), kSurplus, payload_bytes, host_.queue_memory(),
                              batch_, frame_, stats_),
            payload_bytes);
  EXPECT_EQ(HostBytes(), std::vector<uint8_t>(written.begin() + kSurplus,
                                              written.begin() + kSurplus + payload_bytes));
  const auto region = device_.bytes();
  EXPECT_TRUE(std::all_of(region.begin(), region.begin() + kSurplus + payload_bytes,
                          [](uint8_t byte) { return byte == 0; }));
  EXPECT_EQ(region[kSurplus + payload_bytes], written[kSurplus + payload_bytes]);
  EXPECT_EQ(device_.pool().account().used, 0u);
  EXPECT_EQ(stats_.host_bytes, payload_bytes);
}

// Both sides in many runs, whose ends do not meet.
TEST_F(HostDeliveryTest, ScatteredWindowsAndScatteredHostMemoryGiveTheSameBytes) {
  // Every other net_iov is kept, so that what is left is in pieces.
  std::vector<NetmemRef> kept;
  const auto scatter = [&](PagePool& pool) {
    std::vector<NetmemRef> all;
    for (NetmemRef netmem = pool.Alloc(); !netmem.is_null(); netmem = pool.Alloc()) {
      all.push_back(netmem);
    }
    for (size_t i = 0; i < all.size(); ++i) {
      if (i % 2 == 0) pool.Put(all[i]);
      if (i % 2 == 1) kept.push_back(all[i]);
    }
  };
  scatter(device_.pool());
  const size_t kept_device = kept.size();
  scatter(host_.pool());

  std::vector<uint8_t> written;
  uint32_t start = 0;
  for (const PagePool::Run& run : device_.pool().Posted()) {
    const std::vector<uint8_t> part = TestPayload(run.bytes, ++start);
    device_.attachment().mapping().Write(run.offset, part);
    written.insert(written.end(), part.begin(), part.end());
  }
  ASSERT_GT(device_.pool().Posted().size(), 3u);
  // The host side begins in the middle of a net_iov.
  RxDescriptor before;
  DeliverFromMemory(TestPayload(100), host_.queue_memory(), batch_, before, stats_);
  constexpr uint32_t kSurplus = 4100;
  const uint32_t bytes = static_cast<uint32_t>(written.size()) - kSurplus - 5000;
  ASSERT_EQ(DeliverFromWindow(device_.queue_memory(), kSurplus, bytes, host_.queue_memory(), batch_,
                              frame_, stats_),
            bytes);
  EXPECT_GT(frame_.piece_count, 3u);
  EXPECT_EQ(HostBytes(),
            std::vector<uint8_t>(written.begin() + kSurplus, written.begin() + kSurplus + bytes));
  for (size_t i = 0; i < kept.size(); ++i) {
    (i < kept_device ? device_ : host_).pool().Put(kept[i]);
  }
}

TEST_F(HostDeliveryTest, TheSumOverPiecesIsTheSumOverTheBytes) {
  const std::vector<uint8_t> payload = TestPayload(65'001);
  std::span<const uint8_t> rest = payload;
  // Odd lengths put later pieces at odd offsets.
  for (const size_t part : {size_t{1001}, size_t{31'999}, size_t{3}, rest.size() - 33'003}) {
    DeliverFromMemory(rest.first(part), host_.queue_memory(), batch_, frame_, stats_);
    rest = rest.subspan(part);
  }
  ASSERT_GT(frame_.piece_count, 3u);
  EXPECT_EQ(Fold(SumPieces(host_.queue_memory(), batch_.PiecesOf(frame_))),
            Fold(PartialSum(payload)));
}

TEST_F(HostDeliveryTest, MemoryOfTheWrongKindOrSizeIsRefused) {
  const QueueMemory host = host_.queue_memory();
  const QueueMemory device = device_.queue_memory();
  EXPECT_TRUE(CheckQueueMemory(host, false, 0).ok());
  EXPECT_TRUE(CheckQueueMemory(device, true, 0).ok());
  EXPECT_EQ(CheckQueueMemory(host, true, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckQueueMemory(device, false, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckQueueMemory({.pool = host.pool}, false, 0).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckQueueMemory({.mapping = host.mapping}, false, 0).code(),
            absl::StatusCode::kInvalidArgument);

  TestMemory small(TestMemory::Kind::kHost, 64u << 10);
  const absl::Status status =
      CheckQueueMemory({.pool = host.pool, .mapping = small.queue_memory().mapping}, false, 3);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_NE(std::string(status.message()).find("queue 3"), std::string::npos);
  EXPECT_NE(std::string(status.message()).find("65536"), std::string::npos);
}

}  // namespace
}  // namespace devmem
