// SPDX-License-Identifier: Apache-2.0
//
// Tokens: none is ever repeated, and none but the right one ends a frag.

#include "netmem/token_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace devmem {
namespace {

Piece PieceNumber(uint32_t n) { return Piece{NetmemRef::Device(n), n % 4096, 1448}; }

TokenTable MakeTable(uint32_t capacity, uint16_t lane = 5, uint64_t first_serial = 1) {
  absl::StatusOr<TokenTable> table = TokenTable::Create(lane, capacity, first_serial);
  EXPECT_TRUE(table.ok()) << table.status();
  return *std::move(table);
}

TEST(TokenTableTest, ATokenNamesItsPieceOnce) {
  TokenTable table = MakeTable(8);
  const Token token = table.Insert(PieceNumber(3));
  EXPECT_NE(token, 0u);
  EXPECT_EQ(TokenTable::LaneOf(token), 5u);
  EXPECT_EQ(table.held(), 1u);
  const std::optional<Piece> piece = table.Remove(token);
  ASSERT_TRUE(piece.has_value());
  EXPECT_EQ(*piece, PieceNumber(3));
  EXPECT_EQ(table.held(), 0u);
  EXPECT_EQ(table.stats().issued.value(), 1u);
  EXPECT_EQ(table.stats().returned.value(), 1u);
  EXPECT_EQ(table.stats().refused.value(), 0u);
}

TEST(TokenTableTest, ARepeatedReturnIsRefusedAlsoWhenItsSlotNamesAnotherFragByThen) {
  TokenTable table = MakeTable(4);
  const Token first = table.Insert(PieceNumber(1));
  ASSERT_TRUE(table.Remove(first).has_value());
  EXPECT_FALSE(table.Remove(first).has_value());
  // Four more serials come round to the same slot.
  std::vector<Token> held;
  for (uint32_t n = 0; n < 4; ++n) held.push_back(table.Insert(PieceNumber(10 + n)));
  EXPECT_EQ(held.back() & 3, first & 3);
  EXPECT_FALSE(table.Remove(first).has_value());
  EXPECT_EQ(table.stats().refused.value(), 2u);
  EXPECT_EQ(table.held(), 4u);
  EXPECT_EQ(table.Remove(held.back()), PieceNumber(13));
}

TEST(TokenTableTest, ZeroIsRefusedAlsoWhenItsSlotIsEmpty) {
  TokenTable table = MakeTable(4);
  EXPECT_FALSE(table.Remove(0).has_value());
  EXPECT_EQ(table.stats().refused.value(), 1u);
  EXPECT_EQ(table.held(), 0u);
}

TEST(TokenTableTest, MadeUpTokensAreRefusedAndFreeNothing) {
  TokenTable table = MakeTable(16);
  std::set<Token> held;
  for (uint32_t n = 0; n < 10; ++n) held.insert(table.Insert(PieceNumber(n)));
  std::mt19937_64 random(1);
  uint64_t refused = 0;
  for (int n = 0; n < 20000; ++n) {
    // Any word, or one of this lane with a serial near those in use.
    Token made_up = random();
    if (n % 2 == 0) made_up = (Token{5} << kTokenSerialBits) | (made_up % 64);
    if (held.count(made_up) != 0) continue;
    EXPECT_FALSE(table.Remove(made_up).has_value());
    ++refused;
  }
  EXPECT_EQ(table.stats().refused.value(), refused);
  EXPECT_EQ(table.held(), held.size());
  for (const Token token : held) EXPECT_TRUE(table.Remove(token).has_value());
}

TEST(TokenTableTest, ATokenOfAnotherLaneIsRefusedThoughItsSerialIsHeldHere) {
  TokenTable mine = MakeTable(8, 5);
  TokenTable other = MakeTable(8, 6);
  const Token my_token = mine.Insert(PieceNumber(1));
  const Token foreign = other.Insert(PieceNumber(2));
  EXPECT_EQ(my_token << 16, foreign << 16);
  EXPECT_FALSE(mine.Remove(foreign).has_value());
  EXPECT_EQ(mine.stats().refused.value(), 1u);
  EXPECT_EQ(mine.Remove(my_token), PieceNumber(1));
  EXPECT_EQ(other.Remove(foreign), PieceNumber(2));
}

TEST(TokenTableTest, AnOccupiedSlotIsSkippedTogetherWithItsSerial) {
  TokenTable table = MakeTable(4);
  const Token kept = table.Insert(PieceNumber(0));
  for (uint32_t n = 1; n < 4; ++n) table.Remove(table.Insert(PieceNumber(n)));
  const Token next = table.Insert(PieceNumber(4));
  EXPECT_EQ(next, kept + 5);  // kept + 4 belongs to the slot that is still held.
  EXPECT_FALSE(table.Remove(kept + 4).has_value());
  EXPECT_EQ(table.Remove(kept), PieceNumber(0));
  EXPECT_EQ(table.Remove(next), PieceNumber(4));
}

TEST(TokenTableTest, SerialsRiseForEverWhileOneTokenIsHeldOverManyRounds) {
  TokenTable table = MakeTable(64, 5, (uint64_t{1} << 32) - 3000);
  const Token kept = table.Insert(PieceNumber(77));
  Token last = kept;
  for (uint32_t n = 0; n < 64 * 1000; ++n) {
    const Token token = table.Insert(PieceNumber(n));
    ASSERT_GT(token, last);
    ASSERT_NE(token & 63, kept & 63);
    last = token;
    ASSERT_EQ(table.Remove(token), PieceNumber(n));
  }
  EXPECT_GT(last & 0xffffffffffff, uint64_t{1} << 32);
  EXPECT_EQ(table.Remove(kept), PieceNumber(77));
  EXPECT_EQ(table.stats().refused.value(), 0u);
}

TEST(TokenTableTest, RandomIssueAndReturnAgreesWithAMap) {
  TokenTable table = MakeTable(128, 9, (uint64_t{1} << 32) - 500);
  std::map<Token, Piece> model;
  std::set<Token> ever;
  std::mt19937 random(2);
  const auto below = [&random](size_t bound) { return static_cast<uint32_t>(random() % bound); };
  for (uint32_t n = 0; n < 50000; ++n) {
    ASSERT_EQ(table.held(), model.size());
    ASSERT_EQ(table.full(), model.size() == 128);
    // Mostly fuller than empty, so that skipping is the rule.
    if (!table.full() && (model.empty() || below(100) < 55)) {
      const Token token = table.Insert(PieceNumber(n));
      ASSERT_TRUE(ever.insert(token).second) << "serial repeated";
      model.emplace(token, PieceNumber(n));
      continue;
    }
    auto chosen = model.begin();
    std::advance(chosen, below(model.size()));
    ASSERT_EQ(table.Remove(chosen->first), chosen->second);
    ASSERT_FALSE(table.Remove(chosen->first).has_value());
    model.erase(chosen);
  }
}

TEST(TokenTableTest, RemoveAnyEndsEveryTokenThatIsLeft) {
  TokenTable table = MakeTable(16);
  std::set<uint32_t> left;
  std::vector<Token> tokens;
  for (uint32_t n = 0; n < 16; ++n) tokens.push_back(table.Insert(PieceNumber(n)));
  for (uint32_t n = 0; n < 16; ++n) {
    if (n % 3 == 0) {
      table.Remove(tokens[n]);
    } else {
      left.insert(n);
    }
  }
  while (const std::optional<Piece> piece = table.RemoveAny()) {
    EXPECT_EQ(left.erase(piece->netmem.index()), 1u);
  }
  EXPECT_TRUE(left.empty());
  EXPECT_EQ(table.held(), 0u);
  EXPECT_EQ(table.stats().issued.value(), table.stats().returned.value());
  for (const Token token : tokens) EXPECT_FALSE(table.Remove(token).has_value());
}

TEST(TokenTableTest, RemoveAnyFindsTokensThatWereIssuedAfterItBegan) {
  TokenTable table = MakeTable(8);
  for (uint32_t n = 0; n < 8; ++n) table.Insert(PieceNumber(n));
  for (uint32_t n = 0; n < 6; ++n) ASSERT_TRUE(table.RemoveAny().has_value());
  for (uint32_t n = 0; n < 3; ++n) table.Insert(PieceNumber(20 + n));
  uint32_t found = 0;
  while (table.RemoveAny().has_value()) ++found;
  EXPECT_EQ(found, 5u);
  EXPECT_EQ(table.held(), 0u);
}

TEST(TokenTableTest, CapacityIsRoundedUpToAPowerOfTwo) {
  EXPECT_EQ(MakeTable(1).capacity(), 1u);
  EXPECT_EQ(MakeTable(5).capacity(), 8u);
  TokenTable one = MakeTable(1);
  for (uint32_t n = 0; n < 10; ++n) {
    const Token token = one.Insert(PieceNumber(n));
    EXPECT_TRUE(one.full());
    EXPECT_EQ(one.Remove(token), PieceNumber(n));
  }
}

TEST(TokenTableTest, ATableWhoseSerialsAreUsedUpIsFullAndTakesBackWhatIsHeld) {
  TokenTable table = MakeTable(4, 5, TokenTable::kSerialsMax);
  ASSERT_FALSE(table.full());
  const Token last = table.Insert(PieceNumber(1));
  EXPECT_TRUE(table.full());
  EXPECT_EQ(TokenTable::LaneOf(last), 5u);
  EXPECT_EQ(table.Remove(last), PieceNumber(1));
  EXPECT_TRUE(table.full());
}

TEST(TokenTableTest, BadParametersAreRefusedWithTheirBounds) {
  EXPECT_EQ(TokenTable::Create(1, 0).status().message(),
            "token table of 0 entries; choose from 1 to 268435456");
  EXPECT_EQ(TokenTable::Create(1, kPiecesMax + 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TokenTable::Create(0, 8).status().message(),
            "token table of lane 0; use CreateInOwnLane()");
  EXPECT_EQ(TokenTable::Create(1, 8, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TokenTable::Create(1, 8, TokenTable::kSerialsMax + 1).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(TokenTableTest, TablesThatLiveHaveLanesOfTheirOwnUntilThereIsNone) {
  std::vector<TokenTable> tables;
  std::set<uint16_t> lanes;
  for (uint32_t n = 0; n < 65535; ++n) {
    absl::StatusOr<TokenTable> table = TokenTable::CreateInOwnLane(1);
    ASSERT_TRUE(table.ok()) << table.status();
    ASSERT_NE(table->lane(), 0u);
    ASSERT_TRUE(lanes.insert(table->lane()).second);
    tables.push_back(*std::move(table));
  }
  EXPECT_EQ(TokenTable::CreateInOwnLane(1).status().message(),
            "all 65535 token lanes of the process are in use; unbind a queue");
  const uint16_t freed = tables.back().lane();
  tables.pop_back();
  const absl::StatusOr<TokenTable> next = TokenTable::CreateInOwnLane(1);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->lane(), freed);
}

TEST(TokenTableTest, ATokenThatOutlivesItsTableNamesNothingInAnyLaterOne) {
  std::set<Token> given;
  for (uint32_t n = 0; n < 2 * 65535; ++n) {
    absl::StatusOr<TokenTable> table = TokenTable::CreateInOwnLane(2);
    ASSERT_TRUE(table.ok()) << table.status();
    ASSERT_TRUE(given.insert(table->Insert(PieceNumber(1))).second) << "after " << n << " tables";
  }
}

TEST(TokenTableTest, ATableWhoseParametersAreRefusedTakesNoLane) {
  for (uint32_t n = 0; n < 2 * 65535; ++n) {
    ASSERT_EQ(TokenTable::CreateInOwnLane(0).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace devmem
