// SPDX-License-Identifier: Apache-2.0
//
// Flow rules: which rule wins, what is refused and in which words, and the matcher against a naive
// search through the list.

#include "netmem/nic/flow_rules.h"

#include <gtest/gtest.h>

#include <string>

#include "netmem/nic/impairment.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using ::devmem::testing::TestAddressV6;
using ::devmem::testing::TestFlow;
using ::devmem::testing::TestFlowV6;

constexpr uint32_t kQueues = 8;

bool Mentions(const absl::Status& status, const std::string& text) {
  return std::string(status.message()).find(text) != std::string::npos;
}

// The queue that the rules name for a flow, or -1.
int QueueOf(const FlowRules& rules, const FlowKey& flow) {
  FlowMatcher matcher = rules.Snapshot();
  const FlowRule* const rule = matcher.Match(flow);
  return rule == nullptr ? -1 : static_cast<int>(rule->queue);
}

FlowMatch ExactMatch(const FlowKey& flow) {
  return {.local = flow.local,
          .remote = flow.remote,
          .local_port = flow.local_port,
          .remote_port = flow.remote_port};
}

TEST(FlowRulesTest, AnEmptyTableMatchesNothing) {
  const FlowRules rules(kQueues);
  EXPECT_EQ(QueueOf(rules, TestFlow()), -1);
  EXPECT_TRUE(rules.Snapshot().empty());
  EXPECT_TRUE(rules.List().empty());
}

TEST(FlowRulesTest, AnExactRuleMatchesItsFlowAndNoOther) {
  FlowRules rules(kQueues);
  ASSERT_TRUE(rules.Add(ExactMatch(TestFlow()), 3).ok());
  EXPECT_EQ(QueueOf(rules, TestFlow()), 3);
  for (int field = 0; field < 4; ++field) {
    FlowKey other = TestFlow();
    if (field == 0) other.local = IpAddress::FromV4(1);
    if (field == 1) other.remote = IpAddress::FromV4(1);
    if (field == 2) other.local_port = 1;
    if (field == 3) other.remote_port = 1;
    EXPECT_EQ(QueueOf(rules, other), -1) << "field " << field;
  }
}

TEST(FlowRulesTest, AFieldLeftOutMatchesEveryValue) {
  FlowRules rules(kQueues);
  ASSERT_TRUE(rules.Add({.local_port = 5201}, 2).ok());
  EXPECT_EQ(QueueOf(rules, TestFlow()), 2);
  EXPECT_EQ(QueueOf(rules, TestFlowV6()), 2);
  FlowKey other_port = TestFlow();
  other_port.local_port = 5202;
  EXPECT_EQ(QueueOf(rules, other_port), -1);
  ASSERT_TRUE(rules.Add({}, 7).ok());
  EXPECT_EQ(QueueOf(rules, other_port), 7);
}

TEST(FlowRulesTest, TheTwoIpVersionsAreKeptApart) {
  FlowRules rules(kQueues);
  ASSERT_TRUE(rules.Add({.local = TestFlow().local}, 1).ok());
  ASSERT_TRUE(rules.Add({.local = TestFlowV6().local}, 2).ok());
  EXPECT_EQ(QueueOf(rules, TestFlow()), 1);
  EXPECT_EQ(QueueOf(rules, TestFlowV6()), 2);
  FlowKey other = TestFlowV6();
  other.local = TestAddressV6(9);
  EXPECT_EQ(QueueOf(rules, other), -1);
}

TEST(FlowRulesTest, TheMostSpecificRuleWins) {
  const FlowKey flow = TestFlow();
  FlowRules rules(kQueues);
  ASSERT_TRUE(rules.Add({}, 0).ok());
  EXPECT_EQ(QueueOf(rules, flow), 0);
  ASSERT_TRUE(rules.Add({.local_port = flow.local_port}, 1).ok());
  EXPECT_EQ(QueueOf(rules, flow), 1);
  // An address says more than a port.
  ASSERT_TRUE(rules.Add({.remote = flow.remote}, 2).ok());
  EXPECT_EQ(QueueOf(rules, flow), 2);
  // Two fields say more than one address.
  ASSERT_TRUE(rules.Add({.local_port = flow.local_port, .remote_port = flow.remote_port}, 3).ok());
  EXPECT_EQ(QueueOf(rules, flow), 3);
  ASSERT_TRUE(rules.Add({.local = flow.local, .remote = flow.remote}, 4).ok());
  EXPECT_EQ(QueueOf(rules, flow), 4);
  ASSERT_TRUE(rules.Add(ExactMatch(flow), 5).ok());
  EXPECT_EQ(QueueOf(rules, flow), 5);
}

TEST(FlowRulesTest, AmongEquallySpecificRulesTheOlderOneWins) {
  const FlowKey flow = TestFlow();
  FlowRules rules(kQueues);
  const auto older = rules.Add({.remote = flow.remote, .local_port = flow.local_port}, 1);
  ASSERT_TRUE(older.ok());
  ASSERT_TRUE(rules.Add({.local = flow.local, .remote_port = flow.remote_port}, 2).ok());
  EXPECT_EQ(QueueOf(rules, flow), 1);
  ASSERT_TRUE(rules.Delete(*older).ok());
  EXPECT_EQ(QueueOf(rules, flow), 2);
  ASSERT_TRUE(rules.Add({.remote = flow.remote, .local_port = flow.local_port}, 1).ok());
  EXPECT_EQ(QueueOf(rules, flow), 2);
}

TEST(FlowRulesTest, ACollisionNamesTheRuleAndItsQueue) {
  FlowRules rules(kQueues);
  ASSERT_TRUE(rules.Add({.local_port = 80}, 4).ok());
  const auto first = rules.Add(ExactMatch(TestFlow()), 6);
  ASSERT_TRUE(first.ok());
  const absl::Status second = rules.Add(ExactMatch(TestFlow()), 5).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(Mentions(second, "rule " + std::to_string(*first))) << second.message();
  EXPECT_TRUE(Mentions(second, "queue 6")) << second.message();
  EXPECT_TRUE(Mentions(second, "192.0.2.2:40000 -> 192.0.2.1:5201")) << second.message();
  EXPECT_EQ(rules.List().size(), 2u);
}

TEST(FlowRulesTest, AQueueOutOfRangeIsRefusedWithTheRange) {
  FlowRules rules(kQueues);
  const absl::Status status = rules.Add({.local_port = 80}, kQueues).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(Mentions(status, "queue 8")) << status.message();
  EXPECT_TRUE(Mentions(status, "0 to 7")) << status.message();
}

TEST(FlowRulesTest, MixedIpVersionsAndPortZeroAreRefused) {
  FlowRules rules(kQueues);
  EXPECT_EQ(
      rules.Add({.local = TestFlow().local, .remote = TestFlowV6().remote}, 0).status().code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rules.Add({.local_port = 0}, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rules.Add({.remote_port = 0}, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rules.generation(), 0u);
}

TEST(FlowRulesTest, DeletingAnUnknownRuleIsRefusedAndAnIdIsNeverUsedTwice) {
  FlowRules rules(kQueues);
  EXPECT_EQ(rules.Delete(1).code(), absl::StatusCode::kNotFound);
  const auto first = rules.Add({.local_port = 80}, 1);
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(rules.Delete(*first).ok());
  EXPECT_EQ(rules.Delete(*first).code(), absl::StatusCode::kNotFound);
  const auto second = rules.Add({.local_port = 80}, 1);
  ASSERT_TRUE(second.ok());
  EXPECT_NE(*first, *second);
}

TEST(FlowRulesTest, AFullTableRefusesOneMoreAndKeepsMatching) {
  FlowRules rules(kQueues);
  for (uint32_t i = 0; i < kFlowRulesMax; ++i) {
    ASSERT_TRUE(rules.Add({.local_port = static_cast<uint16_t>(1 + i)}, i % kQueues).ok());
  }
  EXPECT_EQ(rules.Add({.local_port = 60000}, 0).status().code(),
            absl::StatusCode::kResourceExhausted);
  FlowMatcher matcher = rules.Snapshot();
  FlowKey flow = TestFlow();
  for (uint32_t i = 0; i < kFlowRulesMax; ++i) {
    flow.local_port = static_cast<uint16_t>(1 + i);
    const FlowRule* const rule = matcher.Match(flow);
    ASSERT_NE(rule, nullptr);
    ASSERT_EQ(rule->queue, i % kQueues);
  }
}

TEST(FlowRulesTest, TheGenerationMovesWithEachChangeAndAMatcherDoesNot) {
  FlowRules rules(kQueues);
  FlowMatcher before = rules.Snapshot();
  EXPECT_EQ(before.Match(TestFlow()), nullptr);
  const auto id = rules.Add({.local_port = 5201}, 1);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(rules.generation(), 1u);
  EXPECT_EQ(before.Match(TestFlow()), nullptr);
  before = rules.Snapshot();
  ASSERT_NE(before.Match(TestFlow()), nullptr);
  ASSERT_TRUE(rules.Delete(*id).ok());
  EXPECT_EQ(rules.generation(), 2u);
  before = rules.Snapshot();
  EXPECT_EQ(before.Match(TestFlow()), nullptr);
}

// A copy answers by its own rules, also when the original is gone.
TEST(FlowRulesTest, ACopiedMatcherStandsAlone) {
  FlowMatcher copy;
  {
    FlowRules rules(kQueues);
    ASSERT_TRUE(rules.Add({.local_port = 5201}, 6).ok());
    FlowMatcher original = rules.Snapshot();
    ASSERT_NE(original.Match(TestFlow()), nullptr);
    copy = original;
  }
  const FlowRule* const rule = copy.Match(TestFlow());
  ASSERT_NE(rule, nullptr);
  EXPECT_EQ(rule->queue, 6u);
}

// The specification in its simplest form.
const FlowRule* NaiveMatch(const std::vector<FlowRule>& rules, const FlowKey& flow) {
  const FlowRule* best = nullptr;
  for (const FlowRule& rule : rules) {
    if (!rule.match.Matches(flow)) continue;
    const bool wins = best == nullptr || rule.match.specificity() > best->match.specificity() ||
                      (rule.match.specificity() == best->match.specificity() && rule.id < best->id);
    if (wins) best = &rule;
  }
  return best;
}

FlowKey RandomFlow(SeededRandom& random) {
  const bool is_v6 = random.Below(2) == 1;
  const auto address = [&] {
    const uint8_t last = static_cast<uint8_t>(random.Below(3));
    return is_v6 ? TestAddressV6(last) : IpAddress::FromV4(0x0a000000u + last);
  };
  return {.local = address(),
          .remote = address(),
          .local_port = static_cast<uint16_t>(1 + random.Below(3)),
          .remote_port = static_cast<uint16_t>(1 + random.Below(3))};
}

FlowMatch RandomMatch(SeededRandom& random) {
  FlowMatch match = ExactMatch(RandomFlow(random));
  const uint64_t wildcards = random.Next();
  if ((wildcards & 1) != 0) match.local.reset();
  if ((wildcards & 2) != 0) match.remote.reset();
  if ((wildcards & 4) != 0) match.local_port.reset();
  if ((wildcards & 8) != 0) match.remote_port.reset();
  return match;
}

TEST(FlowRulesTest, TheMatcherAgreesWithANaiveSearchUnderRandomChanges) {
  SeededRandom random(20);
  FlowRules rules(kQueues);
  for (int step = 0; step < 400; ++step) {
    const std::vector<FlowRule> before = rules.List();
    if (!before.empty() && random.Below(3) == 0) {
      ASSERT_TRUE(rules.Delete(before[random.Below(before.size())].id).ok());
    } else {
      // A collision is a legal answer here.
      rules.Add(RandomMatch(random), static_cast<uint32_t>(random.Below(kQueues)))
          .status()
          .IgnoreError();
    }
    const std::vector<FlowRule> list = rules.List();
    FlowMatcher matcher = rules.Snapshot();
    for (int i = 0; i < 50; ++i) {
      const FlowKey flow = RandomFlow(random);
      const FlowRule* const expected = NaiveMatch(list, flow);
      const FlowRule* const found = matcher.Match(flow);
      ASSERT_EQ(found == nullptr, expected == nullptr) << "step " << step;
      if (found != nullptr) {
        ASSERT_EQ(found->id, expected->id) << "step " << step;
      }
    }
  }
}

}  // namespace
}  // namespace devmem
