// SPDX-License-Identifier: Apache-2.0
//
// The page pool, behaviour by behaviour: posting, taking, slabs and the window. Pieces are in
// page_pool_piece_test.cc, random sequences in page_pool_model_test.cc.

#include "netmem/page_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "selftests/testing/page_pool_fixture.h"

namespace devmem {
namespace {

TEST_F(PagePoolTest, AFreshPoolPostsNothingUntilAskedAndThenWholeSlabsFromItsStart) {
  MakePool(4, kSlab);
  ExpectAccount(16, 0, 0, 0);
  const std::span<const PagePool::Run> runs = pool_->Posted();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].offset, 0u);
  EXPECT_EQ(runs[0].bytes, kSlab);
  ExpectAccount(12, 0, 4, 0);
  EXPECT_EQ(pool_->stats().alloc_refill.value(), 1u);
}

TEST_F(PagePoolTest, NeighbouringSlabsArePostedAsOneRun) {
  MakePool(4, 3 * kSlab);
  const std::span<const PagePool::Run> runs = pool_->Posted();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].bytes, 3 * kSlab);
}

TEST_F(PagePoolTest, PayloadIsPackedWithoutGapsAcrossNetIovs) {
  MakePool(4, kSlab);
  std::vector<Piece> pieces;
  for (uint64_t n = 0; n < 8; ++n) {
    pieces.push_back(TakeOne(1448));
    EXPECT_EQ(pool_->RangeOffset(pieces.back()), 1448 * n);
    EXPECT_EQ(pool_->RegionOffset(pieces.back()), (uint64_t{1} << 33) + 1448 * n);
  }
  // 11,584 bytes: two net_iovs full, and the third open under the cursor.
  ExpectAccount(12, 0, 2, 2);
  EXPECT_EQ(pool_->available_bytes(), 14 * uint64_t{kChunk});
  for (const Piece& piece : pieces) pool_->Put(piece);
  ExpectAccount(12, 2, 2, 0);
}

TEST_F(PagePoolTest, ANetIovIsUsedUntilItsLastPieceIsPutBack) {
  MakePool(4, kSlab);
  const Piece a = TakeOne(3000);
  const Piece b = TakeOne(3000);  // Touches net_iov 0 and 1.
  pool_->Put(a);
  ExpectAccount(12, 0, 3, 1);
  pool_->Put(b);
  ExpectAccount(12, 1, 3, 0);
}

TEST_F(PagePoolTest, ATakeThatEndsExactlyAtANetIovLeavesNoReferenceOnTheNext) {
  MakePool(4, kSlab);
  const Piece first = TakeOne(kChunk);
  ExpectAccount(12, 0, 3, 1);
  const Piece second = TakeOne(kChunk);
  EXPECT_EQ(second.offset_bytes, 0u);
  pool_->Put(second);
  ExpectAccount(12, 1, 2, 1);
  pool_->Put(first);
}

TEST_F(PagePoolTest, ATakeThatUsesUpTheFrontRunExactlyIsOnePieceAndTheNextComesFromTheNextRun) {
  MakePool(4, kSlab);
  const Piece whole = TakeOne(kSlab);
  EXPECT_EQ(pool_->posted_bytes(), 0u);
  ExpectAccount(12, 0, 0, 4);
  const Piece next = TakeOne(100);
  EXPECT_EQ(pool_->RangeOffset(next), kSlab);
  pool_->Put(whole);
  pool_->Put(next);
}

TEST_F(PagePoolTest, TheSlabThatWasFreedLastIsPostedNextFromItsLowEnd) {
  MakePool(8, kSlab);
  std::vector<Piece> slabs;
  for (int n = 0; n < 4; ++n) slabs.push_back(TakeOne(kSlab));
  pool_->Put(slabs[2]);
  pool_->Put(slabs[0]);
  pool_->Put(slabs[3]);
  for (const uint64_t slab : {3u, 0u, 2u, 4u}) {
    const Piece low = TakeOne(kChunk);
    EXPECT_EQ(pool_->RangeOffset(low), slab * kSlab);
    const Piece rest = TakeOne(kSlab - kChunk);
    EXPECT_EQ(pool_->RangeOffset(rest), slab * kSlab + kChunk);
    slabs.push_back(low);
    slabs.push_back(rest);
  }
  slabs.erase(slabs.begin() + 2, slabs.begin() + 4);
  slabs.erase(slabs.begin());
  for (const Piece& piece : slabs) pool_->Put(piece);
}

TEST_F(PagePoolTest, ASlabWithOneNetIovOutIsNotPostedWhileAWholeOneIsFree) {
  MakePool(2, kSlab);
  const Piece kept = TakeOne(kChunk);
  pool_->Put(TakeOne(kSlab - kChunk));
  ExpectAccount(4, 3, 0, 1);
  EXPECT_EQ(pool_->Posted()[0].offset, kSlab);
  EXPECT_EQ(pool_->stats().alloc_slow.value(), 0u);
  pool_->Put(kept);
}

TEST_F(PagePoolTest, TheSlowPathGathersReturningNetIovsWhenNoSlabIsWhole) {
  MakePool(2, 2 * kSlab);
  std::vector<Piece> net_iovs;
  for (int n = 0; n < 8; ++n) net_iovs.push_back(TakeOne(kChunk));
  EXPECT_TRUE(pool_->Posted().empty());
  // Net_iovs 1, 2 and 6 come back.
  for (const size_t n : {1u, 2u, 6u}) pool_->Put(net_iovs[n]);
  ExpectAccount(0, 3, 0, 5);
  const std::span<const PagePool::Run> runs = pool_->Posted();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].offset, kChunk);
  EXPECT_EQ(runs[0].bytes, 2 * kChunk);
  EXPECT_EQ(runs[1].offset, 6 * kChunk);
  EXPECT_EQ(runs[1].bytes, kChunk);
  EXPECT_EQ(pool_->stats().alloc_slow.value(), 2u);
  ExpectAccount(0, 0, 3, 5);
  for (const size_t n : {0u, 3u, 4u, 5u, 7u}) pool_->Put(net_iovs[n]);
}

TEST_F(PagePoolTest, AFrameOverSeveralRunsIsOnePieceForEach) {
  MakePool(2, 2 * kSlab);
  std::vector<Piece> net_iovs;
  for (int n = 0; n < 8; ++n) net_iovs.push_back(TakeOne(kChunk));
  for (const size_t n : {0u, 2u, 4u}) pool_->Put(net_iovs[n]);
  pool_->Posted();
  const std::vector<Piece> pieces = TakeAll(2 * kChunk + 100);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0], (Piece{NetmemRef::Device(0), 0, kChunk}));
  EXPECT_EQ(pieces[1], (Piece{NetmemRef::Device(2), 0, kChunk}));
  EXPECT_EQ(pieces[2], (Piece{NetmemRef::Device(4), 0, 100}));
  ExpectAccount(0, 0, 1, 7);
  for (const Piece& piece : pieces) pool_->Put(piece);
  for (const size_t n : {1u, 3u, 5u, 6u, 7u}) pool_->Put(net_iovs[n]);
}

TEST_F(PagePoolTest, ARefusedTakeTakesNothingAndIsCounted) {
  MakePool(1, kSlab);
  pool_->Posted();
  std::array<Piece, 1> one;
  EXPECT_EQ(pool_->Take(kSlab + 1, one), 0u);
  EXPECT_EQ(pool_->Take(100, {}), 0u);
  EXPECT_EQ(pool_->stats().alloc_failed.value(), 2u);
  EXPECT_EQ(pool_->posted_bytes(), kSlab);
  ExpectAccount(0, 0, 4, 0);
}

TEST_F(PagePoolTest, ATakeOfNoBytesGivesNoPieceAndHoldsNothing) {
  MakePool(1, kSlab);
  std::array<Piece, 1> one;
  EXPECT_EQ(pool_->Take(0, one), 0u);
  const Piece piece = TakeOne(100);
  EXPECT_EQ(pool_->Take(0, one), 0u);
  EXPECT_EQ(pool_->stats().alloc_failed.value(), 0u);
  pool_->Put(piece);
  ExpectAccount(0, 0, 4, 0);
}

TEST_F(PagePoolTest, TooFewPiecesForTheRunsTakesNothing) {
  MakePool(2, 2 * kSlab);
  std::vector<Piece> net_iovs;
  for (int n = 0; n < 8; ++n) net_iovs.push_back(TakeOne(kChunk));
  for (const size_t n : {0u, 2u}) pool_->Put(net_iovs[n]);
  pool_->Posted();
  std::array<Piece, 1> one;
  EXPECT_EQ(pool_->Take(kChunk + 1, one), 0u);
  EXPECT_EQ(pool_->posted_bytes(), 2 * kChunk);
  for (const size_t n : {1u, 3u, 4u, 5u, 6u, 7u}) pool_->Put(net_iovs[n]);
}

TEST_F(PagePoolTest, AWholeRangeCanBeTakenAndComesBackWhole) {
  MakePool(64, kSlab);
  for (int round = 0; round < 3; ++round) {
    std::vector<Piece> pieces;
    std::array<Piece, 2> out;
    while (true) {
      pool_->Posted();
      const uint32_t count = pool_->Take(1448, out);
      if (count == 0) break;
      pieces.insert(pieces.end(), out.begin(), out.begin() + count);
    }
    // What is left is less than a segment.
    EXPECT_LT(pool_->posted_bytes(), 1448u);
    EXPECT_EQ(pool_->account().free + pool_->account().returning, 0u);
    for (const Piece& piece : pieces) pool_->Put(piece);
    EXPECT_EQ(pool_->account().used, 0u);
    EXPECT_TRUE(pool_->Audit().ok()) << pool_->Audit();
  }
}

TEST_F(PagePoolTest, AWindowOfSingleNetIovsStillHoldsALargestFrame) {
  // Every other net_iov of the range is held, so only single ones can be posted, of the smallest
  // size, and the cursor stands inside the first of them.
  absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(
      {.bytes = 512 * 1024, .net_iov_bytes = kNetIovBytesMin, .slab_bytes = 16 * 1024},
      kFramePayloadBytesMax);
  ASSERT_TRUE(pool.ok()) << pool.status();
  pool_ = *std::move(pool);
  std::vector<NetmemRef> all;
  for (NetmemRef netmem = pool_->Alloc(); !netmem.is_null(); netmem = pool_->Alloc()) {
    all.push_back(netmem);
  }
  ASSERT_EQ(all.size(), 256u);
  for (size_t n = 0; n < all.size(); n += 2) pool_->Put(all[n]);
  const Piece first = TakeOne(2000);
  pool_->Posted();
  EXPECT_GE(pool_->posted_bytes(), kFramePayloadBytesMax);
  const std::vector<Piece> frame = TakeAll(kFramePayloadBytesMax);
  EXPECT_EQ(frame.size(), kPostedRunsMax);
  for (const Piece& piece : frame) pool_->Put(piece);
  pool_->Put(first);
  for (size_t n = 1; n < all.size(); n += 2) pool_->Put(all[n]);
}

TEST_F(PagePoolTest, TheSlowPathFindsAReturningNetIovFarBeyondOneCallsScan) {
  const uint64_t slabs = 4 * uint64_t{kSlowPathSlabsPerCall} + 3;
  MakePool(slabs, kSlab);
  std::vector<Piece> all;
  for (uint64_t n = 0; n < slabs; ++n) all.push_back(TakeOne(kSlab));
  EXPECT_TRUE(pool_->Posted().empty());
  // One net_iov of the last slab.
  pool_->TrimTail(all.back(), kChunk);
  uint32_t calls = 1;
  while (pool_->Posted().empty()) ASSERT_LT(++calls, 6u);
  EXPECT_EQ(pool_->Posted()[0].offset, slabs * kSlab - kChunk);
  for (const Piece& piece : all) pool_->Put(piece);
}

TEST_F(PagePoolTest, AllocHandsOutWholeNetIovsUntilEveryOneIsOut) {
  MakePool(2, kSlab);
  std::vector<NetmemRef> net_iovs;
  for (uint32_t n = 0; n < 8; ++n) {
    net_iovs.push_back(pool_->Alloc());
    ASSERT_FALSE(net_iovs.back().is_null());
    EXPECT_EQ(net_iovs.back(), NetmemRef::Device(n));
  }
  EXPECT_TRUE(pool_->Alloc().is_null());
  EXPECT_EQ(pool_->stats().alloc_failed.value(), 1u);
  ExpectAccount(0, 0, 0, 8);
  for (const NetmemRef netmem : net_iovs) pool_->Put(netmem);
  ExpectAccount(8, 0, 0, 0);
}

TEST_F(PagePoolTest, AllocSkipsTheRestOfANetIovThatTheCursorStandsIn) {
  MakePool(2, kSlab);
  const Piece piece = TakeOne(100);
  const NetmemRef netmem = pool_->Alloc();
  EXPECT_EQ(netmem, NetmemRef::Device(1));
  ExpectAccount(4, 0, 2, 2);
  pool_->Put(piece);
  ExpectAccount(4, 1, 2, 1);
  pool_->Put(netmem);
}

TEST_F(PagePoolTest, AllocMayHandOutTheNetIovWhoseRestItJustSkipped) {
  MakePool(1, kSlab);
  const Piece most = TakeOne(kSlab - kChunk);
  pool_->Put(TakeOne(100));
  EXPECT_EQ(pool_->posted_bytes(), kChunk - 100);
  const NetmemRef netmem = pool_->Alloc();
  EXPECT_EQ(netmem, NetmemRef::Device(3));
  pool_->Put(netmem);
  pool_->Put(most);
}

TEST_F(PagePoolTest, ClosingTheWindowKeepsWhatPiecesHoldAndFreesTheRest) {
  MakePool(2, kSlab);
  const Piece piece = TakeOne(kChunk + 100);  // Net_iov 1 is partly filled.
  pool_->CloseWindow();
  EXPECT_EQ(pool_->posted_bytes(), 0u);
  ExpectAccount(4, 2, 0, 2);
  pool_->CloseWindow();
  ExpectAccount(4, 2, 0, 2);
  pool_->Put(piece);
  ExpectAccount(8, 0, 0, 0);
  EXPECT_EQ(pool_->Posted()[0].offset, 0u);
}

TEST_F(PagePoolTest, HoldAndReleaseCountersNeverFallAndTheirDifferenceIsWhatIsUsed) {
  MakePool(4, kSlab);
  uint64_t hold = 0;
  uint64_t release = 0;
  for (int n = 0; n < 100; ++n) {
    const std::vector<Piece> pieces = TakeAll(2000);
    if (n % 10 == 0) pool_->CloseWindow();
    EXPECT_GE(pool_->stats().hold.value(), hold);
    EXPECT_GE(pool_->stats().release.value(), release);
    hold = pool_->stats().hold.value();
    release = pool_->stats().release.value();
    EXPECT_EQ(hold - release, pool_->account().used);
    for (const Piece& piece : pieces) pool_->Put(piece);
  }
}

TEST_F(PagePoolTest, ARestOfLessThanASlabIsLeftAlone) {
  absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(
      {.bytes = 2 * kSlab + kChunk, .net_iov_bytes = kChunk, .slab_bytes = kSlab}, kSlab);
  ASSERT_TRUE(pool.ok());
  pool_ = *std::move(pool);
  EXPECT_EQ(pool_->net_iov_count(), 8u);
  EXPECT_EQ(pool_->capacity_bytes(), 2 * kSlab);
}

TEST_F(PagePoolTest, SixtyFourGibibytesOfSmallNetIovsAreMadeAndAuditedWithoutTouchingThem) {
  absl::StatusOr<std::unique_ptr<PagePool>> pool =
      PagePool::Create({.bytes = uint64_t{64} << 30, .device = true}, kFramePayloadBytesMax);
  ASSERT_TRUE(pool.ok()) << pool.status();
  pool_ = *std::move(pool);
  EXPECT_EQ(pool_->net_iov_count(), 16u << 20);
  pool_->Put(TakeOne(1448));
  ExpectAccount((16u << 20) - 16, 0, 16, 0);
}

TEST(PagePoolCreateTest, BadSizesAreRefusedWithTheValueAndTheBound) {
  const auto message = [](const MemoryProvider& provider, uint32_t post_bytes) {
    const absl::Status status = PagePool::Create(provider, post_bytes).status();
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  };
  EXPECT_NE(message({.bytes = 1u << 20, .net_iov_bytes = 1000}, 100).find("net_iov size is 1000"),
            std::string::npos);
  EXPECT_NE(message({.bytes = 1u << 20, .slab_bytes = 1000}, 100).find("slab size is 1000"),
            std::string::npos);
  EXPECT_EQ(message({.bytes = 65535}, 100),
            "range is 65535 bytes, smaller than one slab of 65536 bytes; bind more or choose a "
            "smaller slab");
  EXPECT_EQ(
      message({.bytes = kBindingBytesMax + 1}, 100),
      "range is 1099511627777 bytes, the largest is 1099511627776 bytes; bind less per queue");
  EXPECT_EQ(message({.bytes = 1u << 20}, 0),
            "the pool was asked to keep 0 bytes posted; choose from 1 to 1073741824");
  EXPECT_NE(message({.bytes = 1u << 20}, kPostBytesMax + 1).find("1073741825"), std::string::npos);
}

}  // namespace
}  // namespace devmem
