// SPDX-License-Identifier: Apache-2.0
//
// The page pool, behaviour by behaviour. Random sequences are in page_pool_model_test.cc.

#include "netmem/page_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace devmem {
namespace {

constexpr uint32_t kChunk = 4096;
constexpr uint32_t kSlab = 4 * kChunk;

// Ends each test by emptying the pool: everything that the test took it also gave back.
class PagePoolTest : public testing::Test {
 protected:
  void MakePool(uint64_t slabs, uint32_t post_bytes) {
    absl::StatusOr<std::unique_ptr<PagePool>> pool =
        PagePool::Create({.region_offset = uint64_t{1} << 33,
                          .bytes = slabs * kSlab,
                          .device = true,
                          .net_iov_bytes = kChunk,
                          .slab_bytes = kSlab},
                         post_bytes);
    ASSERT_TRUE(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
  }

  // Takes `bytes`, which must come as one piece; posts only when the window is short of them.
  Piece TakeOne(uint32_t bytes) {
    std::array<Piece, 1> piece;
    EXPECT_EQ(pool_->Take(bytes, piece), 1u);
    return piece[0];
  }

  std::vector<Piece> TakeAll(uint32_t bytes) {
    std::array<Piece, kPostedRunsMax> pieces;
    const uint32_t count = pool_->Take(bytes, pieces);
    return {pieces.begin(), pieces.begin() + count};
  }

  void ExpectAccount(uint64_t free, uint64_t returning, uint64_t open, uint64_t used) {
    const Account expected = {.total = pool_->net_iov_count(),
                              .free = free,
                              .returning = returning,
                              .open = open,
                              .used = used};
    EXPECT_EQ(pool_->account().ToString(), expected.ToString());
    EXPECT_TRUE(pool_->Audit().ok()) << pool_->Audit();
  }

  void TearDown() override {
    if (pool_ == nullptr) return;
    pool_->CloseWindow();
    EXPECT_TRUE(pool_->Audit().ok()) << pool_->Audit();
    EXPECT_TRUE(pool_->account().idle()) << pool_->account().ToString();
    EXPECT_EQ(pool_->account().free, pool_->net_iov_count());
  }

  std::unique_ptr<PagePool> pool_;
};

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

TEST_F(PagePoolTest, TrimmingUpToABoundaryPutsBackExactlyWhatIsNoLongerTouched) {
  MakePool(2, kSlab);
  Piece piece = TakeOne(kSlab);
  pool_->TrimHead(piece, kChunk - 1);
  EXPECT_EQ(piece, (Piece{NetmemRef::Device(0), kChunk - 1, 3 * kChunk + 1}));
  ExpectAccount(4, 0, 0, 4);
  pool_->TrimHead(piece, 1);
  EXPECT_EQ(piece, (Piece{NetmemRef::Device(1), 0, 3 * kChunk}));
  ExpectAccount(4, 1, 0, 3);
  pool_->TrimTail(piece, kChunk - 1);
  EXPECT_EQ(piece.length_bytes, 2 * kChunk + 1);
  ExpectAccount(4, 1, 0, 3);
  pool_->TrimTail(piece, 1);
  ExpectAccount(4, 2, 0, 2);
  pool_->TrimHead(piece, 2 * kChunk - 1);
  EXPECT_EQ(piece, (Piece{NetmemRef::Device(2), kChunk - 1, 1}));
  ExpectAccount(4, 3, 0, 1);
  pool_->TrimHead(piece, 0);
  pool_->TrimTail(piece, 0);
  ExpectAccount(4, 3, 0, 1);
  pool_->Put(piece);
}

TEST_F(PagePoolTest, ACutInsideANetIovIsSharedAndOneAtABoundaryIsNot) {
  MakePool(2, kSlab);
  Piece head = TakeOne(2 * kChunk);
  Piece tail = pool_->Split(head, kChunk);
  EXPECT_EQ(head, (Piece{NetmemRef::Device(0), 0, kChunk}));
  EXPECT_EQ(tail, (Piece{NetmemRef::Device(1), 0, kChunk}));
  Piece end = pool_->Split(tail, 1);
  EXPECT_EQ(end, (Piece{NetmemRef::Device(1), 1, kChunk - 1}));
  pool_->Put(tail);
  ExpectAccount(4, 0, 2, 2);
  pool_->Put(end);
  ExpectAccount(4, 1, 2, 1);
  pool_->Put(head);
}

TEST_F(PagePoolTest, TouchingPiecesMergeAndKeepOneReferenceOnTheNetIovTheyShare) {
  MakePool(2, kSlab);
  Piece merged = TakeOne(1448);
  for (int n = 0; n < 4; ++n) ASSERT_TRUE(pool_->Merge(merged, TakeOne(1448)));
  EXPECT_EQ(merged, (Piece{NetmemRef::Device(0), 0, 5 * 1448}));
  ExpectAccount(4, 0, 3, 1);
  pool_->Put(merged);
  ExpectAccount(4, 1, 3, 0);
}

TEST_F(PagePoolTest, PiecesMergeAtANetIovBoundaryAndAcrossSlabs) {
  MakePool(2, 2 * kSlab);
  Piece first = TakeOne(kSlab);
  const Piece second = TakeOne(100);
  ASSERT_TRUE(pool_->Merge(first, second));
  EXPECT_EQ(first.length_bytes, kSlab + 100);
  pool_->Put(first);
  // Net_iov 4 is under the cursor, and the first slab is whole again.
  ExpectAccount(4, 0, 4, 0);
}

TEST_F(PagePoolTest, PiecesThatDoNotTouchDoNotMergeAndChangeNothing) {
  MakePool(2, kSlab);
  Piece a = TakeOne(100);
  const Piece b = TakeOne(100);
  Piece c = TakeOne(100);
  const Piece before = a;
  EXPECT_FALSE(pool_->Merge(a, c));
  EXPECT_FALSE(pool_->Merge(c, b));
  EXPECT_FALSE(pool_->Merge(a, a));
  EXPECT_EQ(a, before);
  for (const Piece& piece : {a, b, c}) pool_->Put(piece);
}

TEST_F(PagePoolTest, ASecondReferenceKeepsWhatTheFirstGivesBack) {
  MakePool(2, kSlab);
  const Piece piece = TakeOne(2 * kChunk);
  pool_->Ref(piece);
  pool_->Put(piece);
  ExpectAccount(4, 0, 2, 2);
  pool_->Put(piece);
  ExpectAccount(4, 2, 2, 0);
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

TEST_F(PagePoolTest, OffsetsBeyond4GiBAreExact) {
  // 64 GiB of 2 MiB net_iovs: the metadata is small, and the bytes are never touched.
  absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(
      {.bytes = uint64_t{64} << 30, .net_iov_bytes = 2u << 20, .slab_bytes = 1u << 30}, 1u << 30);
  ASSERT_TRUE(pool.ok()) << pool.status();
  pool_ = *std::move(pool);
  std::vector<Piece> pieces;
  for (uint64_t n = 0; n < 64; ++n) {
    pieces.push_back(TakeOne(1u << 30));
    EXPECT_EQ(pool_->RangeOffset(pieces.back()), n << 30);
  }
  pool_->Posted();
  EXPECT_EQ(pool_->posted_bytes(), 0u);
  // A queue of neighbours stays in several pieces before a length overflows.
  Piece merged = pieces[0];
  size_t joined = 1;
  while (joined < pieces.size() && pool_->Merge(merged, pieces[joined])) ++joined;
  EXPECT_EQ(joined, 2u);
  EXPECT_EQ(merged.length_bytes, kPieceBytesMax);
  pool_->TrimHead(merged, merged.length_bytes - 1);
  EXPECT_EQ(pool_->RangeOffset(merged), (uint64_t{2} << 30) - 1);
  EXPECT_EQ(pool_->account().used, (64 - 2) * 512 + 1u);
  pool_->Put(merged);
  for (size_t n = joined; n < pieces.size(); ++n) pool_->Put(pieces[n]);
}

TEST_F(PagePoolTest, ANetIovTakesMorePiecesThan16BitsCount) {
  absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(
      {.bytes = 1u << 20, .net_iov_bytes = 128u << 10, .slab_bytes = 128u << 10}, 128u << 10);
  ASSERT_TRUE(pool.ok()) << pool.status();
  pool_ = *std::move(pool);
  std::vector<Piece> pieces;
  for (uint32_t n = 0; n < 70000; ++n) pieces.push_back(TakeOne(1));
  ExpectAccount(7, 0, 1, 0);
  pool_->CloseWindow();
  ExpectAccount(7, 0, 0, 1);
  for (const Piece& piece : pieces) {
    EXPECT_EQ(pool_->account().used, 1u);
    pool_->Put(piece);
  }
  ExpectAccount(8, 0, 0, 0);
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

TEST_F(PagePoolTest, HostMemoryIsHandedOutAsHostReferences) {
  absl::StatusOr<std::unique_ptr<PagePool>> pool =
      PagePool::Create({.bytes = 1u << 20, .device = false}, kFramePayloadBytesMax);
  ASSERT_TRUE(pool.ok());
  pool_ = *std::move(pool);
  Piece piece = TakeOne(10000);
  EXPECT_FALSE(piece.netmem.is_device());
  const Piece rest = pool_->Split(piece, 5000);
  EXPECT_FALSE(rest.netmem.is_device());
  pool_->TrimHead(piece, 4500);
  EXPECT_FALSE(piece.netmem.is_device());
  pool_->Put(piece);
  pool_->Put(rest);
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
