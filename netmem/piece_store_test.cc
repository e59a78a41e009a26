// SPDX-License-Identifier: Apache-2.0
//
// Queues of pieces over two pools: joining, dropping and moving by bytes, with the account checked.

#include "netmem/piece_store.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace devmem {
namespace {

constexpr uint32_t kChunk = 4096;

// Ends each test by dropping every queue and expecting both pools and the array unused.
class PieceStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    host_ = MakePool(false);
    device_ = MakePool(true);
    array_ = PieceArray(64);
    store_.emplace(host_.get(), device_.get(), &array_);
  }

  static std::unique_ptr<PagePool> MakePool(bool device) {
    absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(
        {.bytes = 64 * kChunk, .device = device, .net_iov_bytes = kChunk, .slab_bytes = 4 * kChunk},
        4 * kChunk);
    EXPECT_TRUE(pool.ok()) << pool.status();
    return *std::move(pool);
  }

  static Piece Take(PagePool& pool, uint32_t bytes) {
    std::array<Piece, 2> pieces;
    EXPECT_EQ(pool.Take(bytes, pieces), 1u);
    return pieces[0];
  }

  // Takes and drops a byte, so that the next piece does not touch the last one.
  void Gap() { device_->Put(Take(*device_, 1)); }

  std::vector<uint32_t> Lengths(PieceQueue& queue) {
    std::vector<uint32_t> lengths;
    if (queue.empty()) return lengths;
    for (uint32_t at = queue.front_index() + 1; at != 0; at = array_[at - 1].next_plus_one) {
      lengths.push_back(array_[at - 1].piece.length_bytes);
    }
    return lengths;
  }

  void TearDown() override {
    for (PieceQueue* queue : {&queue_, &other_}) store_->DropAll(*queue);
    EXPECT_EQ(array_.in_use(), 0u);
    EXPECT_EQ(store_->device_payload_bytes(), 0u);
    for (PagePool* pool : {host_.get(), device_.get()}) {
      pool->CloseWindow();
      EXPECT_TRUE(pool->Audit().ok()) << pool->Audit();
      EXPECT_EQ(pool->account().free, pool->net_iov_count()) << pool->account().ToString();
    }
  }

  std::unique_ptr<PagePool> host_;
  std::unique_ptr<PagePool> device_;
  PieceArray array_;
  std::optional<PieceStore> store_;
  PieceQueue queue_;
  PieceQueue other_;
};

TEST_F(PieceStoreTest, TouchingPiecesShareOneEntry) {
  for (int n = 0; n < 5; ++n) ASSERT_TRUE(store_->Append(queue_, Take(*device_, 1448)));
  EXPECT_EQ(Lengths(queue_), std::vector<uint32_t>{5 * 1448});
  EXPECT_EQ(queue_.bytes(), 5u * 1448);
  EXPECT_EQ(array_.in_use(), 1u);
  Gap();
  ASSERT_TRUE(store_->Append(queue_, Take(*device_, 100)));
  EXPECT_EQ(Lengths(queue_), (std::vector<uint32_t>{5 * 1448, 100}));
}

TEST_F(PieceStoreTest, AHostPieceNeverJoinsADevicePieceAtTheSameOffset) {
  ASSERT_TRUE(store_->Append(queue_, Take(*device_, 100)));
  host_->Put(Take(*host_, 100));
  // The host cursor stands at byte 100, where the device piece ends.
  ASSERT_TRUE(store_->Append(queue_, Take(*host_, 50)));
  EXPECT_EQ(Lengths(queue_), (std::vector<uint32_t>{100, 50}));
}

TEST_F(PieceStoreTest, AppendRefusesWhenTheArrayIsUsedUpAndTheCallerKeepsThePiece) {
  array_ = PieceArray(1);
  ASSERT_TRUE(store_->Append(queue_, Take(*device_, 100)));
  Gap();
  const Piece piece = Take(*device_, 100);
  EXPECT_FALSE(store_->Append(queue_, piece));
  EXPECT_EQ(queue_.bytes(), 100u);
  store_->Put(piece);
}

TEST_F(PieceStoreTest, DroppingFromTheFrontCutsInsideAPiece) {
  for (const uint32_t bytes : {100u, 200u, 5000u}) {
    ASSERT_TRUE(store_->Append(queue_, Take(*device_, bytes)));
    Gap();
  }
  store_->DropFront(queue_, 0);
  store_->DropFront(queue_, 100);
  EXPECT_EQ(Lengths(queue_), (std::vector<uint32_t>{200, 5000}));
  store_->DropFront(queue_, 4400);
  EXPECT_EQ(Lengths(queue_), std::vector<uint32_t>{800});
  EXPECT_EQ(queue_.bytes(), 800u);
  store_->DropFront(queue_, 800);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(PieceStoreTest, DroppingFromTheBackCutsInsideAPiece) {
  for (const uint32_t bytes : {100u, 5000u, 300u}) {
    ASSERT_TRUE(store_->Append(queue_, Take(*device_, bytes)));
    Gap();
  }
  store_->DropBack(queue_, 0);
  EXPECT_EQ(Lengths(queue_), (std::vector<uint32_t>{100, 5000, 300}));
  store_->DropBack(queue_, 300 + 4500);
  EXPECT_EQ(Lengths(queue_), (std::vector<uint32_t>{100, 500}));
  EXPECT_EQ(queue_.bytes(), 600u);
  store_->DropBack(queue_, 500);
  EXPECT_EQ(Lengths(queue_), std::vector<uint32_t>{100});
  store_->DropBack(queue_, 100);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.bytes(), 0u);
}

TEST_F(PieceStoreTest, MovingBytesSplitsThePieceThatTheEndFallsInto) {
  for (const uint32_t bytes : {100u, 5000u}) {
    ASSERT_TRUE(store_->Append(queue_, Take(*device_, bytes)));
    Gap();
  }
  ASSERT_TRUE(store_->MoveFront(queue_, 100, other_));
  ASSERT_TRUE(store_->MoveFront(queue_, 4000, other_));
  EXPECT_EQ(Lengths(other_), (std::vector<uint32_t>{100, 4000}));
  EXPECT_EQ(Lengths(queue_), std::vector<uint32_t>{1000});
  EXPECT_EQ(other_.bytes(), 4100u);
  EXPECT_EQ(queue_.bytes(), 1000u);
}

TEST_F(PieceStoreTest, AMoveThatNeedsAnEntryAndFindsNoneKeepsWhatItMoved) {
  array_ = PieceArray(2);
  for (const uint32_t bytes : {100u, 5000u}) {
    ASSERT_TRUE(store_->Append(queue_, Take(*device_, bytes)));
    Gap();
  }
  EXPECT_FALSE(store_->MoveFront(queue_, 1100, other_));
  EXPECT_EQ(other_.bytes(), 100u);
  EXPECT_EQ(queue_.bytes(), 5000u);
}

TEST_F(PieceStoreTest, SplicedQueuesThatTouchShareAnEntryWhereTheyMeet) {
  ASSERT_TRUE(store_->Append(queue_, Take(*device_, 1000)));
  ASSERT_TRUE(store_->Append(other_, Take(*device_, 500)));
  Gap();
  ASSERT_TRUE(store_->Append(other_, Take(*device_, 200)));
  store_->Splice(queue_, other_);
  EXPECT_EQ(Lengths(queue_), (std::vector<uint32_t>{1500, 200}));
  EXPECT_EQ(queue_.bytes(), 1700u);
  EXPECT_TRUE(other_.empty());
  EXPECT_EQ(array_.in_use(), 2u);
  store_->Splice(other_, queue_);
  EXPECT_EQ(Lengths(other_), (std::vector<uint32_t>{1500, 200}));
}

TEST_F(PieceStoreTest, DevicePayloadIsWhatQueuesAndTheUserHoldAndNoHostBytes) {
  ASSERT_TRUE(store_->Append(queue_, Take(*device_, 1000)));
  Gap();
  ASSERT_TRUE(store_->Append(queue_, Take(*device_, 500)));
  ASSERT_TRUE(store_->Append(queue_, Take(*host_, 300)));
  EXPECT_EQ(store_->device_payload_bytes(), 1500u);
  const Piece frag = store_->PopFront(queue_);
  EXPECT_EQ(store_->device_payload_bytes(), 500u);
  store_->OnHandedOut(frag);
  EXPECT_EQ(store_->device_payload_bytes(), 1500u);
  store_->DropBack(queue_, 400);
  EXPECT_EQ(store_->device_payload_bytes(), 1400u);
  store_->OnReturned(frag);
  store_->Put(frag);
  EXPECT_EQ(store_->device_payload_bytes(), 400u);
}

TEST_F(PieceStoreTest, AnAppendThatIsRefusedIsNotCounted) {
  array_ = PieceArray(1);
  ASSERT_TRUE(store_->Append(queue_, Take(*device_, 100)));
  Gap();
  const Piece piece = Take(*device_, 50);
  ASSERT_FALSE(store_->Append(queue_, piece));
  EXPECT_EQ(store_->device_payload_bytes(), 100u);
  store_->Put(piece);
}

TEST_F(PieceStoreTest, RandomQueuesKeepTheirBytesInOrder) {
  std::mt19937 random(4);
  const auto below = [&random](size_t bound) { return static_cast<uint32_t>(random() % bound); };
  // The model of a queue is the range offset of each of its bytes.
  std::vector<uint64_t> model;
  std::vector<uint64_t> other_model;
  for (int n = 0; n < 3000; ++n) {
    const uint32_t action = below(100);
    if (action < 50 && device_->available_bytes() > 10 * kChunk && array_.free_count() > 1) {
      if (below(3) == 0) Gap();
      std::array<Piece, 2> pieces;
      const uint32_t count = device_->Take(1 + below(3000), pieces);
      ASSERT_GT(count, 0u);
      for (uint32_t p = 0; p < count; ++p) {
        ASSERT_TRUE(store_->Append(queue_, pieces[p]));
        const uint64_t start = device_->RangeOffset(pieces[p]);
        for (uint32_t i = 0; i < pieces[p].length_bytes; ++i) model.push_back(start + i);
      }
    } else if (action < 90) {
      const auto bytes = static_cast<ptrdiff_t>(below(model.size() + 1) / 3);
      if (action < 65) {
        store_->DropFront(queue_, static_cast<uint64_t>(bytes));
        model.erase(model.begin(), model.begin() + bytes);
      } else if (action < 75) {
        store_->DropBack(queue_, static_cast<uint64_t>(bytes));
        model.erase(model.end() - bytes, model.end());
      } else if (array_.free_count() > 0) {
        ASSERT_TRUE(store_->MoveFront(queue_, static_cast<uint64_t>(bytes), other_));
        other_model.insert(other_model.end(), model.begin(), model.begin() + bytes);
        model.erase(model.begin(), model.begin() + bytes);
      }
    } else if (action < 95) {
      store_->DropAll(other_);
      other_model.clear();
    } else {
      store_->Splice(queue_, other_);
      model.insert(model.end(), other_model.begin(), other_model.end());
      other_model.clear();
    }
    ASSERT_EQ(queue_.bytes(), model.size());
    ASSERT_EQ(store_->device_payload_bytes(), model.size() + other_model.size());
    ASSERT_EQ(other_.bytes(), other_model.size());
    size_t at = 0;
    for (uint32_t next = queue_.empty() ? 0 : queue_.front_index() + 1; next != 0;
         next = array_[next - 1].next_plus_one) {
      const Piece& piece = array_[next - 1].piece;
      ASSERT_EQ(device_->RangeOffset(piece), model[at]);
      at += piece.length_bytes;
      ASSERT_EQ(device_->RangeOffset(piece) + piece.length_bytes - 1, model[at - 1]);
    }
    ASSERT_EQ(at, model.size());
    ASSERT_TRUE(device_->Audit().ok()) << device_->Audit();
  }
}

}  // namespace
}  // namespace devmem
