// SPDX-License-Identifier: Apache-2.0
// The connection table against a std::map, with many keys in few slots.
#include "netmem/tcp/connection_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <tuple>

namespace devmem {
namespace {

using InsertResult = ConnectionTable::InsertResult;

// Neighbouring numbers differ in one part of the key only, a different part from bit to bit.
FlowKey Flow(uint32_t number) {
  return {.local = IpAddress::FromV4(0xc0000200 + number % 2),
          .remote = IpAddress::FromV4(0x0a000000 + number / 2 % 2),
          .local_port = static_cast<uint16_t>(5200 + number / 4 % 2),
          .remote_port = static_cast<uint16_t>(number / 8)};
}

TEST(ConnectionTableTest, RefusesNoConnectionsAndTooManyWithTheBound) {
  EXPECT_EQ(ConnectionTable::Create(0, 1).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status too_many = ConnectionTable::Create(kConnectionsMax + 1, 1).status();
  EXPECT_NE(too_many.message().find("16777216"), absl::string_view::npos);
}

TEST(ConnectionTableTest, FindsWhatWasInsertedAndNothingElse) {
  ConnectionTable table = *ConnectionTable::Create(16, 1);
  EXPECT_EQ(table.Find(Flow(1)), std::nullopt);
  EXPECT_EQ(table.Insert(Flow(1), 0), InsertResult::kInserted);
  EXPECT_EQ(table.Insert(Flow(2), 77), InsertResult::kInserted);
  EXPECT_EQ(table.Find(Flow(1)), 0u);
  EXPECT_EQ(table.Find(Flow(2), table.Hash(Flow(2))), 77u);
  EXPECT_EQ(table.Find(Flow(3)), std::nullopt);
  EXPECT_EQ(table.size(), 2u);
}

TEST(ConnectionTableTest, EachPartOfTheKeyTellsFlowsApart) {
  ConnectionTable table = *ConnectionTable::Create(16, 1);
  ASSERT_EQ(table.Insert(Flow(1), 1), InsertResult::kInserted);
  FlowKey flow = Flow(1);
  flow.local_port = 1;
  EXPECT_EQ(table.Find(flow), std::nullopt);
  flow = Flow(1);
  flow.local = IpAddress::FromV4(1);
  EXPECT_EQ(table.Find(flow), std::nullopt);
  flow = Flow(1);
  std::swap(flow.local, flow.remote);
  EXPECT_EQ(table.Find(flow), std::nullopt);
}

TEST(ConnectionTableTest, APresentKeyKeepsItsIndexEvenWhenTheTableIsFull) {
  ConnectionTable table = *ConnectionTable::Create(1, 1);
  ASSERT_EQ(table.Insert(Flow(1), 5), InsertResult::kInserted);
  EXPECT_EQ(table.Insert(Flow(1), 6), InsertResult::kPresent);
  EXPECT_EQ(table.Find(Flow(1)), 5u);
}

TEST(ConnectionTableTest, RefusesBeyondItsLoadLimitUntilOneIsErased) {
  ConnectionTable table = *ConnectionTable::Create(100, 1);
  for (uint32_t i = 0; i < 100; ++i) ASSERT_EQ(table.Insert(Flow(i), i), InsertResult::kInserted);
  EXPECT_EQ(table.Insert(Flow(100), 100), InsertResult::kFull);
  EXPECT_EQ(table.Find(Flow(100)), std::nullopt);
  EXPECT_TRUE(table.Erase(Flow(50)));
  EXPECT_EQ(table.Insert(Flow(100), 100), InsertResult::kInserted);
  EXPECT_EQ(table.size(), 100u);
}

TEST(ConnectionTableTest, ErasingWhatIsNotThereSaysSo) {
  ConnectionTable table = *ConnectionTable::Create(16, 1);
  EXPECT_FALSE(table.Erase(Flow(1)));
  ASSERT_EQ(table.Insert(Flow(1), 1), InsertResult::kInserted);
  EXPECT_FALSE(table.Erase(Flow(2)));
  EXPECT_TRUE(table.Erase(Flow(1)));
  EXPECT_FALSE(table.Erase(Flow(1)));
  EXPECT_EQ(table.size(), 0u);
}

TEST(ConnectionTableTest, DifferentSeedsPlaceTheSameFlowsDifferently) {
  const ConnectionTable one = *ConnectionTable::Create(16, 1);
  const ConnectionTable two = *ConnectionTable::Create(16, 2);
  EXPECT_NE(one.Hash(Flow(1)), two.Hash(Flow(1)));
}

TEST(ConnectionTableTest, IPv6FlowsAndIPv4FlowsLiveSideBySide) {
  ConnectionTable table = *ConnectionTable::Create(16, 1);
  std::array<uint8_t, 16> bytes{};
  bytes[0] = 0x20;
  bytes[15] = 1;
  FlowKey flow = Flow(1);
  flow.remote = IpAddress::FromV6(bytes);
  ASSERT_EQ(table.Insert(flow, 6), InsertResult::kInserted);
  ASSERT_EQ(table.Insert(Flow(1), 4), InsertResult::kInserted);
  EXPECT_EQ(table.Find(flow), 6u);
  EXPECT_EQ(table.Find(Flow(1)), 4u);
}

class ConnectionTableModelTest : public testing::TestWithParam<std::tuple<uint32_t, uint64_t>> {};

TEST_P(ConnectionTableModelTest, AgreesWithAMapUnderRandomOperations) {
  const auto [connections_max, seed] = GetParam();
  std::mt19937_64 random(seed);
  ConnectionTable table = *ConnectionTable::Create(connections_max, seed);
  std::map<uint32_t, uint32_t> model;
  // Few enough keys that a full table, present keys and long probes all happen.
  const uint32_t keys = connections_max + connections_max / 2 + 8;
  for (uint32_t i = 0; i < 100000; ++i) {
    const uint32_t number = static_cast<uint32_t>(random() % keys);
    if (random() % 5 < 3) {
      const InsertResult expected = model.count(number) != 0          ? InsertResult::kPresent
                                    : model.size() == connections_max ? InsertResult::kFull
                                                                      : InsertResult::kInserted;
      if (expected == InsertResult::kInserted) model[number] = i;
      ASSERT_EQ(table.Insert(Flow(number), i), expected) << i;
    } else {
      ASSERT_EQ(table.Erase(Flow(number)), model.erase(number) == 1) << i;
    }
    ASSERT_EQ(table.size(), model.size());
    if (i % 256 != 0) continue;
    for (uint32_t key = 0; key < keys; ++key) {
      const auto it = model.find(key);
      const std::optional<uint32_t> found = table.Find(Flow(key));
      ASSERT_EQ(found.has_value(), it != model.end()) << i;
      if (found.has_value()) {
        ASSERT_EQ(*found, it->second);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(SizesAndSeeds, ConnectionTableModelTest,
                         testing::Combine(testing::Values(1, 4, 64, 500),
                                          testing::Values(1, 2, 3)));

}  // namespace
}  // namespace devmem
