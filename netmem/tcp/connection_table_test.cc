// SPDX-License-Identifier: Apache-2.0
// The connection table against a std::set, with many keys in few slots.
#include "netmem/tcp/connection_table.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <tuple>

namespace devmem {
namespace {

// Neighbouring numbers differ in one part of the key only, a different part from bit to bit.
FlowKey Flow(uint32_t number) {
  return {.local = IpAddress::FromV4(0xc0000200 + number % 2),
          .remote = IpAddress::FromV4(0x0a000000 + number / 2 % 2),
          .local_port = static_cast<uint16_t>(5200 + number / 4 % 2),
          .remote_port = static_cast<uint16_t>(number / 8)};
}

// A table whose connection of index n has the key Flow(n).
class Flows {
 public:
  explicit Flows(uint32_t connections_max, uint64_t seed = 1)
      : table_(*ConnectionTable::Create(connections_max, seed)) {}

  bool Insert(uint32_t number) { return table_.Insert(table_.Hash(Flow(number)), number); }
  bool Erase(uint32_t number) { return table_.Erase(table_.Hash(Flow(number)), number); }
  uint32_t Find(const FlowKey& flow) const {
    return table_.Find(table_.Hash(flow), [&](uint32_t index) { return Flow(index) == flow; });
  }
  uint32_t Find(uint32_t number) const { return Find(Flow(number)); }
  const ConnectionTable& table() const { return table_; }

 private:
  ConnectionTable table_;
};

constexpr uint32_t kNone = ConnectionTable::kNone;

TEST(ConnectionTableTest, RefusesNoConnectionsAndTooManyWithTheBound) {
  EXPECT_EQ(ConnectionTable::Create(0, 1).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status too_many = ConnectionTable::Create(kConnectionsMax + 1, 1).status();
  EXPECT_NE(too_many.message().find("16777216"), absl::string_view::npos);
}

TEST(ConnectionTableTest, FindsWhatWasInsertedAndNothingElse) {
  Flows flows(16);
  EXPECT_EQ(flows.Find(1), kNone);
  EXPECT_TRUE(flows.Insert(1));
  EXPECT_TRUE(flows.Insert(77));
  EXPECT_EQ(flows.Find(1), 1u);
  EXPECT_EQ(flows.Find(77), 77u);
  EXPECT_EQ(flows.Find(3), kNone);
  EXPECT_EQ(flows.table().size(), 2u);
}

TEST(ConnectionTableTest, EachPartOfTheKeyTellsFlowsApart) {
  Flows flows(16);
  ASSERT_TRUE(flows.Insert(1));
  FlowKey flow = Flow(1);
  flow.local_port = 1;
  EXPECT_EQ(flows.Find(flow), kNone);
  flow = Flow(1);
  flow.local = IpAddress::FromV4(1);
  EXPECT_EQ(flows.Find(flow), kNone);
  flow = Flow(1);
  std::swap(flow.local, flow.remote);
  EXPECT_EQ(flows.Find(flow), kNone);
}

// What the key in the connection decides: with one hash for all, only it tells them apart.
TEST(ConnectionTableTest, KeysWithTheSameHashAreToldApartByTheirConnection) {
  ConnectionTable table = *ConnectionTable::Create(16, 1);
  for (uint32_t index = 0; index < 5; ++index) ASSERT_TRUE(table.Insert(42, index));
  for (uint32_t wanted = 0; wanted < 5; ++wanted) {
    EXPECT_EQ(table.Find(42, [&](uint32_t index) { return index == wanted; }), wanted);
  }
  EXPECT_EQ(table.Guess(42), 0u);
  EXPECT_TRUE(table.Erase(42, 0));
  EXPECT_EQ(table.Find(42, [](uint32_t index) { return index == 0; }), kNone);
  EXPECT_EQ(table.Find(42, [](uint32_t index) { return index == 4; }), 4u);
}

TEST(ConnectionTableTest, RefusesBeyondItsLoadLimitUntilOneIsErased) {
  Flows flows(100);
  for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(flows.Insert(i));
  EXPECT_FALSE(flows.Insert(100));
  EXPECT_EQ(flows.Find(100), kNone);
  EXPECT_TRUE(flows.Erase(50));
  EXPECT_TRUE(flows.Insert(100));
  EXPECT_EQ(flows.table().size(), 100u);
}

TEST(ConnectionTableTest, ErasingWhatIsNotThereSaysSo) {
  Flows flows(16);
  EXPECT_FALSE(flows.Erase(1));
  ASSERT_TRUE(flows.Insert(1));
  EXPECT_FALSE(flows.Erase(2));
  EXPECT_TRUE(flows.Erase(1));
  EXPECT_FALSE(flows.Erase(1));
  EXPECT_EQ(flows.table().size(), 0u);
}

TEST(ConnectionTableTest, DifferentSeedsPlaceTheSameFlowsDifferently) {
  const ConnectionTable one = *ConnectionTable::Create(16, 1);
  const ConnectionTable two = *ConnectionTable::Create(16, 2);
  EXPECT_NE(one.Hash(Flow(1)), two.Hash(Flow(1)));
}

TEST(ConnectionTableTest, IPv6FlowsAndIPv4FlowsHaveDifferentHashes) {
  const ConnectionTable table = *ConnectionTable::Create(16, 1);
  std::array<uint8_t, 16> bytes{};
  bytes[0] = 0x20;
  bytes[15] = 1;
  FlowKey flow = Flow(1);
  flow.remote = IpAddress::FromV6(bytes);
  EXPECT_NE(table.Hash(flow), table.Hash(Flow(1)));
}

class ConnectionTableModelTest : public testing::TestWithParam<std::tuple<uint32_t, uint64_t>> {};

TEST_P(ConnectionTableModelTest, AgreesWithASetUnderRandomOperations) {
  const auto [connections_max, seed] = GetParam();
  std::mt19937_64 random(seed);
  Flows flows(connections_max, seed);
  std::set<uint32_t> model;
  // Few enough keys that a full table and long probes happen.
  const uint32_t keys = connections_max + connections_max / 2 + 8;
  for (uint32_t i = 0; i < 100000; ++i) {
    const uint32_t number = static_cast<uint32_t>(random() % keys);
    if (random() % 5 < 3 && model.count(number) == 0) {
      const bool fits = model.size() < connections_max;
      ASSERT_EQ(flows.Insert(number), fits) << i;
      if (fits) model.insert(number);
    } else {
      ASSERT_EQ(flows.Erase(number), model.erase(number) == 1) << i;
    }
    ASSERT_EQ(flows.table().size(), model.size());
    if (i % 256 != 0) continue;
    for (uint32_t key = 0; key < keys; ++key) {
      ASSERT_EQ(flows.Find(key), model.count(key) != 0 ? key : kNone) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(SizesAndSeeds, ConnectionTableModelTest,
                         testing::Combine(testing::Values(1, 4, 64, 500),
                                          testing::Values(1, 2, 3)));

}  // namespace
}  // namespace devmem
