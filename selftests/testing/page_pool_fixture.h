// SPDX-License-Identifier: Apache-2.0
//
// One page pool of small slabs for a test, with its account checked in the tear-down.

#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/page_pool.h"

namespace devmem {

inline constexpr uint32_t kChunk = 4096;
inline constexpr uint32_t kSlab = 4 * kChunk;

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

}  // namespace devmem
