// SPDX-License-Identifier: Apache-2.0
//
// Flow rules between the admin queue's bytes and MaskedRule, and the pages of a query.

#include "netmem/gvnic/flow_rule_commands.h"

#include <gtest/gtest.h>

#include <array>

#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

constexpr uint16_t kAdd = 0;
constexpr uint16_t kDelete = 1;
constexpr uint16_t kResetAll = 2;

struct RuleBytes {
  std::array<uint8_t, kFlowRuleCommandBytes> bytes{};

  RuleBytes(uint16_t operation, uint16_t type, uint16_t queue, uint32_t location) {
    StoreBe16(&bytes[0], operation);
    StoreBe16(&bytes[4], type);
    StoreBe16(&bytes[6], queue);
    StoreBe32(&bytes[88], location);
  }
  uint8_t* key() { return &bytes[8]; }
  uint8_t* mask() { return &bytes[48]; }
};

class FlowRuleCommandsTest : public testing::Test {
 protected:
  absl::Status Configure(const RuleBytes& rule) {
    return ConfigureFlowRule(rule.bytes, options_, rules_);
  }

  GvnicOptions options_;
  MaskedRules rules_;
};

TEST_F(FlowRuleCommandsTest, AnIpv4RuleIsReadWithItsMasks) {
  RuleBytes rule(kAdd, 0, 2, 9);
  StoreBe32(rule.key(), 0xc0000201);
  StoreBe32(rule.key() + 16, 0xc0000202);
  StoreBe16(rule.key() + 32, 1000);
  StoreBe16(rule.key() + 34, 5201);
  rule.key()[36] = 0x10;
  StoreBe32(rule.mask() + 16, 0xffffff00);
  StoreBe16(rule.mask() + 34, 0xffff);
  ASSERT_TRUE(Configure(rule).ok());
  const MaskedRule read = rules_.List().at(0);
  EXPECT_EQ(read.location, 9u);
  EXPECT_EQ(read.queue, 2u);
  EXPECT_EQ(read.protocol, 6);
  EXPECT_FALSE(read.is_v6);
  EXPECT_EQ(read.key.remote, IpAddress::FromV4(0xc0000201));
  EXPECT_EQ(read.key.local, IpAddress::FromV4(0xc0000202));
  EXPECT_EQ(read.key.local_port, 5201);
  EXPECT_EQ(read.key.remote_port, 1000);
  EXPECT_EQ(read.mask.local, IpAddress::FromHalves(0, 0xffffff00));
  EXPECT_EQ(read.mask.remote, IpAddress::FromHalves(0, 0));
  EXPECT_EQ(read.mask.local_port, 0xffff);
  EXPECT_EQ(read.mask.remote_port, 0);
  EXPECT_EQ(read.traffic_class, 0x10);
}

TEST_F(FlowRuleCommandsTest, ARuleSteersWhatItsMaskLetsThroughAndNothingElse) {
  RuleBytes rule(kAdd, 0, 1, 0);
  StoreBe32(rule.key() + 16, 0xc0000200);
  StoreBe32(rule.mask() + 16, 0xffffff00);
  ASSERT_TRUE(Configure(rule).ok());
  FlowKey flow{.local = IpAddress::FromV4(0xc00002fe), .remote = IpAddress::FromV4(0x0a000001)};
  EXPECT_NE(rules_.Match(flow, 6, false, 0), nullptr);
  EXPECT_EQ(rules_.Match(flow, 17, false, 0), nullptr);
  flow.local = IpAddress::FromV4(0xc00003fe);
  EXPECT_EQ(rules_.Match(flow, 6, false, 0), nullptr);
}

TEST_F(FlowRuleCommandsTest, EveryFlowTypeComesBackFromAQueryAsItWasGiven) {
  for (uint16_t type = 0; type < 10; ++type) {
    RuleBytes rule(kAdd, type, 3, type);
    for (size_t i = 0; i < 37; ++i) rule.key()[i] = rule.mask()[i] = static_cast<uint8_t>(i + 1);
    // Of IPv4 only the first four bytes of each address mean something.
    if (type < 5) {
      for (uint8_t* const part : {rule.key(), rule.mask()}) {
        std::fill(part + 4, part + 16, uint8_t{0});
        std::fill(part + 20, part + 32, uint8_t{0});
      }
    }
    ASSERT_TRUE(Configure(rule).ok());
    const auto answer = QueryFlowRules({0, type, 4096}, options_, rules_);
    ASSERT_TRUE(answer.ok());
    ASSERT_EQ(answer->size(), 16u + 88u);
    EXPECT_EQ(LoadBe32(&(*answer)[16]), type);
    EXPECT_TRUE(std::equal(answer->begin() + 20, answer->end(), rule.bytes.begin() + 4)) << type;
  }
}

TEST_F(FlowRuleCommandsTest, WhatTheDeviceDoesNotHaveIsRefused) {
  EXPECT_EQ(Configure(RuleBytes(kAdd, 10, 0, 0)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Configure(RuleBytes(kAdd, 0xffff, 0, 0)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Configure(RuleBytes(kAdd, 0, 4, 0)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Configure(RuleBytes(kAdd, 0, 0, options_.flow_rules_max)).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Configure(RuleBytes(3, 0, 0, 0)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Configure(RuleBytes(kDelete, 0, 0, 5)).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(rules_.size(), 0u);
}

TEST_F(FlowRuleCommandsTest, ResetDeletesAllAndDeleteOne) {
  for (uint32_t location = 0; location < 4; ++location) {
    ASSERT_TRUE(Configure(RuleBytes(kAdd, 0, 0, location)).ok());
  }
  EXPECT_TRUE(Configure(RuleBytes(kDelete, 0, 0, 2)).ok());
  EXPECT_EQ(rules_.size(), 3u);
  EXPECT_TRUE(Configure(RuleBytes(kResetAll, 0, 0, 0)).ok());
  EXPECT_EQ(rules_.size(), 0u);
}

// The driver asks again from behind the last location until nothing comes: that must end.
TEST_F(FlowRuleCommandsTest, AQueryInPagesFindsEveryLocationOnceAscending) {
  for (uint32_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(Configure(RuleBytes(kAdd, 0, 0, (i * 37) % 1000)).ok());
  }
  std::vector<uint32_t> found;
  uint32_t first = 0;
  for (;;) {
    const auto answer = QueryFlowRules({1, first, 16 + 4 * 7}, options_, rules_);
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(LoadBe32(&(*answer)[0]), 100u);
    EXPECT_EQ(LoadBe32(&(*answer)[4]), options_.flow_rules_max);
    const uint32_t count = LoadBe32(&(*answer)[8]);
    EXPECT_EQ(LoadBe32(&(*answer)[12]), 16 + 4 * count);
    if (count == 0) break;
    for (uint32_t i = 0; i < count; ++i) found.push_back(LoadBe32(&(*answer)[16 + 4 * i]));
    first = found.back() + 1;
  }
  EXPECT_EQ(found.size(), 100u);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
}

TEST_F(FlowRuleCommandsTest, AQueryOfCountsHasNoEntriesAndTheHeadNeedsRoom) {
  ASSERT_TRUE(Configure(RuleBytes(kAdd, 0, 0, 1)).ok());
  const auto counts = QueryFlowRules({2, 0, 4096}, options_, rules_);
  ASSERT_TRUE(counts.ok());
  EXPECT_EQ(counts->size(), 16u);
  EXPECT_EQ(LoadBe32(counts->data()), 1u);
  EXPECT_FALSE(QueryFlowRules({0, 0, 15}, options_, rules_).ok());
  EXPECT_FALSE(QueryFlowRules({3, 0, 4096}, options_, rules_).ok());
  EXPECT_EQ(QueryFlowRules({0, 0, 16 + 87}, options_, rules_)->size(), 16u);
}

}  // namespace
}  // namespace devmem
