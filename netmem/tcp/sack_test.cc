// SPDX-License-Identifier: Apache-2.0
// The examples of RFC 2018 and RFC 2883, moved to where the numbers turn over, and a model.
#include "netmem/tcp/sack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace devmem {
namespace {

// Numbers of the RFCs' examples are relative to this: 5000 lies before the turn, 6500 behind it.
SeqNum At(uint32_t number) { return SeqNum(0xffffe900u + number); }
SackBlock Block(uint32_t left, uint32_t right) { return {At(left), At(right)}; }

std::vector<SackBlock> Fill(SackGenerator& sack, size_t max_blocks = kSackBlocksMax) {
  std::vector<SackBlock> blocks(max_blocks);
  blocks.resize(sack.Fill(blocks));
  return blocks;
}

using Blocks = std::vector<SackBlock>;

TEST(SackTest, AConnectionInOrderSendsNoBlocks) {
  SackGenerator sack;
  EXPECT_TRUE(sack.empty());
  EXPECT_EQ(Fill(sack), Blocks());
}

TEST(SackTest, WhenTheFirstSegmentIsLostTheBlockGrows) {
  // RFC 2018 section 4, case 2.
  SackGenerator sack;
  for (uint32_t right = 6000; right <= 9000; right += 500) {
    sack.OnOutOfOrder(At(5500), At(right));
    EXPECT_EQ(Fill(sack), Blocks({Block(5500, right)}));
  }
}

TEST(SackTest, WhenEverySecondSegmentIsLostTheNewestBlocksComeFirst) {
  // RFC 2018 section 4, case 3, and one block more than there is room for.
  SackGenerator sack;
  for (uint32_t left = 5500; left <= 9500; left += 1000) {
    sack.OnOutOfOrder(At(left), At(left + 500));
  }
  EXPECT_EQ(Fill(sack),
            Blocks({Block(9500, 10000), Block(8500, 9000), Block(7500, 8000), Block(6500, 7000)}));
  EXPECT_EQ(Fill(sack, 3), Blocks({Block(9500, 10000), Block(8500, 9000), Block(7500, 8000)}));
}

TEST(SackTest, ASegmentBetweenTwoBlocksMakesThemOneAtTheFront) {
  SackGenerator sack;
  sack.OnOutOfOrder(At(5500), At(6000));
  sack.OnOutOfOrder(At(6500), At(7000));
  sack.OnOutOfOrder(At(8500), At(9000));
  sack.OnOutOfOrder(At(5500), At(7000));
  EXPECT_EQ(Fill(sack), Blocks({Block(5500, 7000), Block(8500, 9000)}));
}

TEST(SackTest, BlocksBelowTheCumulativeAcknowledgmentGo) {
  SackGenerator sack;
  sack.OnOutOfOrder(At(5500), At(6000));
  sack.OnOutOfOrder(At(8000), At(8500));
  sack.OnOutOfOrder(At(6500), At(7000));
  sack.OnAdvance(At(7000));
  EXPECT_EQ(Fill(sack), Blocks({Block(8000, 8500)}));
  sack.OnAdvance(At(8200));
  EXPECT_EQ(Fill(sack), Blocks({Block(8200, 8500)}));
  sack.OnAdvance(At(8500));
  EXPECT_TRUE(sack.empty());
}

TEST(SackTest, ADuplicateSegmentIsReportedFirstAndOnlyOnce) {
  // RFC 2883 section 4.1.1: data below the cumulative acknowledgment.
  SackGenerator sack;
  sack.OnDuplicate(At(3000), At(3500));
  EXPECT_FALSE(sack.empty());
  EXPECT_EQ(Fill(sack), Blocks({Block(3000, 3500)}));
  EXPECT_TRUE(sack.empty());
  EXPECT_EQ(Fill(sack), Blocks());
}

TEST(SackTest, ADuplicateAboveTheAcknowledgmentIsFollowedByTheBlockThatContainsIt) {
  // RFC 2883 section 4.1.3.
  SackGenerator sack;
  sack.OnOutOfOrder(At(5500), At(6500));
  sack.OnOutOfOrder(At(8000), At(8500));
  sack.OnDuplicate(At(5500), At(6000));
  EXPECT_EQ(Fill(sack), Blocks({Block(5500, 6000), Block(5500, 6500), Block(8000, 8500)}));
  EXPECT_EQ(Fill(sack), Blocks({Block(5500, 6500), Block(8000, 8500)}));
}

TEST(SackTest, ADuplicateTakesTheRoomOfTheOldestBlock) {
  SackGenerator sack;
  for (uint32_t left = 5500; left <= 8500; left += 1000) {
    sack.OnOutOfOrder(At(left), At(left + 500));
  }
  sack.OnDuplicate(At(3000), At(3500));
  EXPECT_EQ(Fill(sack, 3), Blocks({Block(3000, 3500), Block(8500, 9000), Block(7500, 8000)}));
  EXPECT_EQ(Fill(sack).size(), 4u);
}

TEST(SackTest, WithoutRoomForABlockTheDuplicateStaysPending) {
  SackGenerator sack;
  sack.OnDuplicate(At(3000), At(3500));
  EXPECT_EQ(Fill(sack, 0), Blocks());
  EXPECT_EQ(Fill(sack, 1), Blocks({Block(3000, 3500)}));
}

TEST(SackTest, DroppedDataIsInNoLaterBlock) {
  SackGenerator sack;
  sack.OnOutOfOrder(At(5500), At(6500));
  sack.OnOutOfOrder(At(7000), At(8000));
  sack.OnDropped(At(7500), At(9000));
  EXPECT_EQ(Fill(sack), Blocks({Block(7000, 7500), Block(5500, 6500)}));
  sack.OnDropped(At(5000), At(5700));
  EXPECT_EQ(Fill(sack), Blocks({Block(7000, 7500), Block(5700, 6500)}));
  sack.OnDropped(At(7000), At(7500));
  EXPECT_EQ(Fill(sack), Blocks({Block(5700, 6500)}));
}

TEST(SackTest, ABlockDroppedInItsMiddleBecomesTwo) {
  SackGenerator sack;
  sack.OnOutOfOrder(At(5500), At(8500));
  sack.OnDropped(At(6500), At(7000));
  EXPECT_EQ(Fill(sack), Blocks({Block(5500, 6500), Block(7000, 8500)}));
}

TEST(SackTest, APendingDuplicateOfDroppedDataIsNotReported) {
  SackGenerator sack;
  sack.OnOutOfOrder(At(5500), At(6500));
  sack.OnDuplicate(At(5500), At(6000));
  sack.OnDropped(At(5500), At(6500));
  EXPECT_TRUE(sack.empty());
}

// What the reassembly queue would hold, in bytes from At(0).
class SackModelTest : public testing::Test {
 protected:
  // Queues [left, right) and tells the generator about the merged range.
  void Arrive(uint32_t left, uint32_t right) {
    for (auto it = held_.begin(); it != held_.end();) {
      if (it->first <= right && left <= it->second) {
        left = std::min(left, it->first);
        right = std::max(right, it->second);
        it = held_.erase(it);
      } else {
        ++it;
      }
    }
    held_[left] = right;
    sack_.OnOutOfOrder(At(left), At(right));
  }
  void Advance(uint32_t rcv_nxt) {
    while (!held_.empty() && held_.begin()->second <= rcv_nxt) held_.erase(held_.begin());
    if (!held_.empty() && held_.begin()->first <= rcv_nxt) {
      rcv_nxt = held_.begin()->second;
      held_.erase(held_.begin());
    }
    rcv_nxt_ = rcv_nxt;
    sack_.OnAdvance(At(rcv_nxt));
  }
  void DropFarthest() {
    if (held_.empty()) return;
    const auto last = std::prev(held_.end());
    sack_.OnDropped(At(last->first), At(last->second));
    held_.erase(last);
  }
  // Each block is exactly a range that is held, none comes twice, and the newest comes first.
  void Check() {
    const Blocks blocks = Fill(sack_);
    ASSERT_EQ(blocks.empty(), sack_.empty());
    for (const SackBlock& block : blocks) {
      const auto it = held_.find(block.left.value() - At(0).value());
      ASSERT_NE(it, held_.end());
      ASSERT_EQ(At(it->second), block.right);
      ASSERT_EQ(std::count(blocks.begin(), blocks.end(), block), 1);
    }
  }

  SackGenerator sack_;
  std::map<uint32_t, uint32_t> held_;
  uint32_t rcv_nxt_ = 0;
};

TEST_F(SackModelTest, EveryBlockIsARangeThatIsHeld) {
  std::mt19937_64 random(2018);
  for (int i = 0; i < 200000; ++i) {
    switch (random() % 8) {
      case 0: Advance(rcv_nxt_ + static_cast<uint32_t>(random() % 2000)); break;
      case 1: DropFarthest(); break;
      default: {
        const uint32_t left = rcv_nxt_ + 1 + static_cast<uint32_t>(random() % 20000);
        const uint32_t right = left + 1 + static_cast<uint32_t>(random() % 1500);
        Arrive(left, right);
        SackBlock first;
        ASSERT_EQ(sack_.Fill({&first, 1}), 1u);
        ASSERT_TRUE(first.left <= At(left) && At(right) <= first.right);
      }
    }
    Check();
    if (HasFatalFailure()) FAIL() << "at operation " << i;
  }
}

}  // namespace
}  // namespace devmem
