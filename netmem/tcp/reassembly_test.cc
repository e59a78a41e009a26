// SPDX-License-Identifier: Apache-2.0
// The reassembly queue, against a map of bytes and at the bounds of its arrays. Every test begins
// just below 2^32.

#include "netmem/tcp/reassembly.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "netmem/page_pool.h"
#include "netmem/tcp/limits.h"

namespace devmem {
namespace {

constexpr SeqNum kStart{0xffffff80};

class ReassemblyTest : public ::testing::Test {
 protected:
  ReassemblyTest() { Make(4096, 1024); }
  void Make(uint32_t piece_count, uint32_t range_count) {
    array_ = std::make_unique<PieceArray>(piece_count);
    store_ = std::make_unique<PieceStore>(pool_.get(), nullptr, array_.get());
    ranges_ = std::make_unique<ReassemblyRanges>(range_count);
  }
  void TearDown() override {
    reassembly_.DropAll(*ranges_, *store_);
    store_->DropAll(in_order_);
    EXPECT_EQ(reassembly_.bytes(), 0u);
    EXPECT_EQ(array_->in_use(), 0u);
    EXPECT_EQ(ranges_->in_use(), 0u);
    EXPECT_TRUE(pool_->account().idle()) << pool_->account().ToString();
    EXPECT_TRUE(pool_->Audit().ok());
  }

  // Data of one segment in one piece per contiguous run of the pool; each byte remembers `tag`.
  PieceQueue Data(uint32_t bytes, uint32_t tag) {
    (void)pool_->Posted();
    std::array<Piece, 8> pieces;
    const uint32_t count = pool_->Take(bytes, pieces);
    EXPECT_NE(count, 0u);
    PieceQueue queue;
    for (uint32_t i = 0; i < count; ++i) {
      EXPECT_TRUE(store_->Append(queue, pieces[i]));
      std::fill_n(&tags_[pool_->RangeOffset(pieces[i])], pieces[i].length_bytes, tag);
    }
    return queue;
  }
  InsertResult Insert(uint32_t offset, uint32_t bytes, uint32_t tag = 0, bool must_fit = false) {
    PieceQueue queue = Data(bytes, tag);
    const InsertResult result =
        reassembly_.Insert(*ranges_, *store_, kStart + offset, queue, must_fit, &dropped_);
    EXPECT_TRUE(queue.empty());
    return result;
  }
  uint64_t Drain(uint32_t offset) {
    return reassembly_.Drain(*ranges_, *store_, kStart + offset, in_order_);
  }
  // Takes the front of what was drained, byte by byte.
  std::vector<uint32_t> TakeTags() {
    std::vector<uint32_t> tags;
    while (!in_order_.empty()) {
      const Piece piece = store_->PopFront(in_order_);
      const auto first = tags_.begin() + static_cast<ptrdiff_t>(pool_->RangeOffset(piece));
      tags.insert(tags.end(), first, first + static_cast<ptrdiff_t>(piece.length_bytes));
      store_->Put(piece);
    }
    return tags;
  }
  static SeqRange Range(uint32_t left, uint32_t right) { return {kStart + left, kStart + right}; }

  std::unique_ptr<PagePool> pool_ =
      *PagePool::Create({.bytes = 4u << 20, .device = false}, kFramePayloadBytesMax);
  std::vector<uint32_t> tags_ = std::vector<uint32_t>(4u << 20);
  std::unique_ptr<PieceArray> array_;
  std::unique_ptr<PieceStore> store_;
  std::unique_ptr<ReassemblyRanges> ranges_;
  Reassembly reassembly_;
  PieceQueue in_order_;
  SeqRange dropped_;
};

bool operator==(const SeqRange& a, const SeqRange& b) {
  return a.left == b.left && a.right == b.right;
}

TEST_F(ReassemblyTest, RangesThatTouchBecomeOne) {
  Insert(100, 50);
  Insert(200, 50);
  EXPECT_EQ(reassembly_.range_count(), 2u);
  const InsertResult result = Insert(150, 50);
  EXPECT_EQ(reassembly_.range_count(), 1u);
  EXPECT_TRUE(result.block == Range(100, 250));
  EXPECT_EQ(reassembly_.first_left(*ranges_), kStart + 100);
  EXPECT_EQ(Drain(100), 150u);
}

TEST_F(ReassemblyTest, OnlyTheRangeAtRcvNxtIsDrained) {
  Insert(100, 50);
  Insert(300, 50);
  EXPECT_EQ(Drain(0), 0u);
  EXPECT_EQ(Drain(100), 50u);
  EXPECT_EQ(Drain(150), 0u);
  EXPECT_EQ(reassembly_.bytes(), 50u);
}

TEST_F(ReassemblyTest, TheFirstCopyOfAByteWins) {
  Insert(10, 10, 1);
  Insert(30, 10, 2);
  const InsertResult over_both = Insert(0, 50, 3, true);
  EXPECT_EQ(over_both.stored_bytes, 30u);
  EXPECT_EQ(over_both.duplicate_bytes, 20u);
  EXPECT_TRUE(over_both.duplicate == Range(10, 20));
  EXPECT_EQ(Drain(0), 50u);
  std::vector<uint32_t> expected(50, 3);
  std::fill_n(expected.begin() + 10, 10, 1);
  std::fill_n(expected.begin() + 30, 10, 2);
  EXPECT_EQ(TakeTags(), expected);
}

TEST_F(ReassemblyTest, ACopyOfWhatIsThereStoresNothing) {
  Insert(100, 50);
  const InsertResult again = Insert(110, 20);
  EXPECT_EQ(again.stored_bytes, 0u);
  EXPECT_TRUE(again.duplicate == Range(110, 130));
  EXPECT_EQ(reassembly_.bytes(), 50u);
}

TEST_F(ReassemblyTest, TheFarthestRangeIsGivenUpFirst) {
  Insert(100, 10);
  Insert(300, 10);
  Insert(200, 10);
  EXPECT_TRUE(reassembly_.DropLast(*ranges_, *store_) == Range(300, 310));
  EXPECT_TRUE(reassembly_.DropLast(*ranges_, *store_) == Range(200, 210));
  Insert(400, 10);
  EXPECT_TRUE(reassembly_.DropLast(*ranges_, *store_) == Range(400, 410));
  EXPECT_EQ(reassembly_.range_count(), 1u);
}

TEST_F(ReassemblyTest, OneConnectionHasAtMostSoManyRanges) {
  for (uint32_t i = 0; i < kReassemblyRangesMax; ++i) {
    EXPECT_EQ(Insert(10 + i * 20, 10).forgotten_bytes, 0u);
  }
  const InsertResult refused = Insert(10 + kReassemblyRangesMax * 20, 10);
  EXPECT_EQ(refused.forgotten_bytes, 10u);
  EXPECT_EQ(refused.stored_bytes, 0u);
  // What extends a range that is there needs no entry.
  EXPECT_EQ(Insert(20, 5).stored_bytes, 5u);
  // What lies at rcv_nxt ends the shortage.
  EXPECT_EQ(Insert(0, 5, 0, true).stored_bytes, 5u);
  EXPECT_TRUE(dropped_.empty());
}

TEST_F(ReassemblyTest, DataAtRcvNxtTakesTheFarthestRangesPlaceWhenNoneIsLeft) {
  Make(64, 3);
  for (const uint32_t offset : {100u, 200u, 300u}) Insert(offset, 10);
  EXPECT_EQ(Insert(400, 10).forgotten_bytes, 10u);
  const InsertResult result = Insert(0, 10, 7, true);
  EXPECT_EQ(result.stored_bytes, 10u);
  EXPECT_TRUE(dropped_ == Range(300, 310));
  EXPECT_EQ(Drain(0), 10u);
  EXPECT_EQ(TakeTags(), std::vector<uint32_t>(10, 7));
  EXPECT_EQ(reassembly_.range_count(), 2u);
}

TEST_F(ReassemblyTest, TheOnlyRangeMayBeTheOneThatIsGivenUp) {
  Make(64, 1);
  Insert(20, 10, 1);
  const InsertResult result = Insert(0, 40, 2, true);
  EXPECT_TRUE(dropped_ == Range(20, 30));
  EXPECT_EQ(result.stored_bytes, 40u);
  EXPECT_EQ(Drain(0), 40u);
  EXPECT_EQ(TakeTags(), std::vector<uint32_t>(40, 2));
}

TEST_F(ReassemblyTest, WithoutAnEntryToCutWithThePieceIsTrimmed) {
  Make(2, 8);
  Insert(50, 10, 1);
  // The second entry is the new piece's; the cut in front of offset 50 would need a third.
  const InsertResult result = Insert(0, 100, 2, true);
  EXPECT_EQ(array_->in_use(), 2u);
  EXPECT_EQ(result.stored_bytes, 50u);
  EXPECT_EQ(result.forgotten_bytes, 50u);
  EXPECT_EQ(Drain(0), 60u);
  std::vector<uint32_t> expected(60, 2);
  std::fill_n(expected.begin() + 50, 10, 1);
  EXPECT_EQ(TakeTags(), expected);
}

// Seeded random segments over a stream, and the same in a map from offset to the first segment that
// brought it.
class ReassemblyModelTest : public ReassemblyTest, public ::testing::WithParamInterface<uint32_t> {
 protected:
  uint32_t RunCount() const {
    uint32_t runs = 0;
    uint32_t next = UINT32_MAX;
    for (const auto& [offset, tag] : model_) {
      if (offset != next) ++runs;
      next = offset + 1;
    }
    return runs;
  }
  void InsertBoth(uint32_t offset, uint32_t bytes, uint32_t tag) {
    const InsertResult result = Insert(offset, bytes, tag, offset == rcv_nxt_);
    uint32_t stored = 0;
    for (uint32_t at = offset; at < offset + bytes; ++at) stored += model_.emplace(at, tag).second;
    ASSERT_EQ(result.stored_bytes, stored);
    ASSERT_EQ(result.duplicate_bytes, bytes - stored);
    ASSERT_EQ(result.forgotten_bytes, 0u);
    ASSERT_EQ(reassembly_.bytes(), model_.size());
    if (tag % 16 != 0) return;  // Counting takes longer than all the rest.
    ASSERT_EQ(reassembly_.range_count(), RunCount());
  }
  void DrainBoth() {
    const uint64_t drained = Drain(rcv_nxt_);
    const std::vector<uint32_t> tags = TakeTags();
    ASSERT_EQ(drained, tags.size());
    for (const uint32_t tag : tags) {
      ASSERT_EQ(model_.begin()->first, rcv_nxt_);
      ASSERT_EQ(model_.begin()->second, tag) << "at offset " << rcv_nxt_;
      model_.erase(model_.begin());
      ++rcv_nxt_;
    }
    ASSERT_FALSE(model_.contains(rcv_nxt_)) << "more could have been drained";
  }

  std::map<uint32_t, uint32_t> model_;
  uint32_t rcv_nxt_ = 0;
};

TEST_P(ReassemblyModelTest, TheQueueDoesWhatAMapOfBytesDoes) {
  std::mt19937 random(GetParam());
  const auto below = [&](uint32_t bound) { return static_cast<uint32_t>(random() % bound); };
  for (uint32_t tag = 1; tag < 1500; ++tag) {
    const uint32_t bytes = 1 + below(below(4) == 0 ? 3000 : 120);
    const uint32_t ahead = below(8) == 0 ? 0 : below(4000);
    InsertBoth(rcv_nxt_ + ahead, bytes, tag);
    DrainBoth();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(rcv_nxt_, 30'000u) << "the streams passed 2^32 long ago";
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReassemblyModelTest, ::testing::Range(1u, 7u),
                         [](const auto& seed) { return "Seed" + std::to_string(seed.param); });

}  // namespace
}  // namespace devmem
