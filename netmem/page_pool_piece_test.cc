// SPDX-License-Identifier: Apache-2.0
//
// Pieces of a page pool: cutting, joining, second references, and the sizes at which counts and
// offsets could overflow.

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "netmem/page_pool.h"
#include "selftests/testing/page_pool_fixture.h"

namespace devmem {
namespace {

using PagePoolPieceTest = PagePoolTest;

TEST_F(PagePoolPieceTest, TrimmingUpToABoundaryPutsBackExactlyWhatIsNoLongerTouched) {
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

TEST_F(PagePoolPieceTest, ACutInsideANetIovIsSharedAndOneAtABoundaryIsNot) {
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

TEST_F(PagePoolPieceTest, TouchingPiecesMergeAndKeepOneReferenceOnTheNetIovTheyShare) {
  MakePool(2, kSlab);
  Piece merged = TakeOne(1448);
  for (int n = 0; n < 4; ++n) ASSERT_TRUE(pool_->Merge(merged, TakeOne(1448)));
  EXPECT_EQ(merged, (Piece{NetmemRef::Device(0), 0, 5 * 1448}));
  ExpectAccount(4, 0, 3, 1);
  pool_->Put(merged);
  ExpectAccount(4, 1, 3, 0);
}

TEST_F(PagePoolPieceTest, PiecesMergeAtANetIovBoundaryAndAcrossSlabs) {
  MakePool(2, 2 * kSlab);
  Piece first = TakeOne(kSlab);
  const Piece second = TakeOne(100);
  ASSERT_TRUE(pool_->Merge(first, second));
  EXPECT_EQ(first.length_bytes, kSlab + 100);
  pool_->Put(first);
  // Net_iov 4 is under the cursor, and the first slab is whole again.
  ExpectAccount(4, 0, 4, 0);
}

TEST_F(PagePoolPieceTest, PiecesThatDoNotTouchDoNotMergeAndChangeNothing) {
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

TEST_F(PagePoolPieceTest, ASecondReferenceKeepsWhatTheFirstGivesBack) {
  MakePool(2, kSlab);
  const Piece piece = TakeOne(2 * kChunk);
  pool_->Ref(piece);
  pool_->Put(piece);
  ExpectAccount(4, 0, 2, 2);
  pool_->Put(piece);
  ExpectAccount(4, 2, 2, 0);
}

TEST_F(PagePoolPieceTest, OffsetsBeyond4GiBAreExact) {
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

TEST_F(PagePoolPieceTest, ANetIovTakesMorePiecesThan16BitsCount) {
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

TEST_F(PagePoolPieceTest, HostMemoryIsHandedOutAsHostReferences) {
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

}  // namespace
}  // namespace devmem
