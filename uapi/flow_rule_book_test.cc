// SPDX-License-Identifier: Apache-2.0
//
// Flow rules and their users.

#include "uapi/flow_rule_book.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "netmem/nic/wire_link.h"
#include "selftests/testing/nic_fixture.h"

namespace devmem::testing {
namespace {

class FlowRuleBookTest : public ::testing::Test {
 protected:
  FlowRuleBookTest() {
    WireConfig config;
    config.a.queue_count = 4;
    link_ = ValueOrFail(WireLink::Create(config), "link");
    book_ = std::make_unique<FlowRuleBook>(&link_->a());
  }
  static FlowMatch Port(uint16_t port) {
    FlowMatch match;
    match.local_port = port;
    return match;
  }
  FlowRuleBook::Hold Hold(uint16_t port, uint32_t queue, bool bound = true) {
    return ValueOrFail(book_->Add(Port(port), queue, bound), "rule");
  }
  size_t rule_count() const { return link_->a().ListRules().size(); }

  std::unique_ptr<WireLink> link_;
  std::unique_ptr<FlowRuleBook> book_;
};

TEST_F(FlowRuleBookTest, ARuleGoesWithTheLastOfItsUsers) {
  FlowRuleBook::Hold first = Hold(80, 1);
  FlowRuleBook::Hold shared = first.Share();
  FlowRuleBook::Hold same = Hold(80, 1);
  EXPECT_EQ(rule_count(), 1u);
  first = FlowRuleBook::Hold();
  FlowRuleBook::Hold moved = std::move(shared);
  same = FlowRuleBook::Hold();
  EXPECT_EQ(rule_count(), 1u);
  moved = FlowRuleBook::Hold();
  EXPECT_EQ(rule_count(), 0u);
}

TEST_F(FlowRuleBookTest, TheSameMatchForAnotherQueueIsRefused) {
  const FlowRuleBook::Hold first = Hold(80, 1);
  EXPECT_TRUE(absl::IsAlreadyExists(book_->Add(Port(80), 2, true).status()));
  EXPECT_TRUE(absl::IsOutOfRange(book_->Add(Port(81), 4, true).status()));
  EXPECT_EQ(rule_count(), 1u);
}

TEST_F(FlowRuleBookTest, AnEmptyHoldHasNothingToShareOrToDrop) {
  const FlowRuleBook::Hold nothing;
  const FlowRuleBook::Hold shared = nothing.Share();
  EXPECT_EQ(rule_count(), 0u);
}

TEST_F(FlowRuleBookTest, BindingAQueueRemovesTheUnboundRulesThatLeadThere) {
  const FlowRuleBook::Hold bound = Hold(80, 1);
  const FlowRuleBook::Hold unbound = Hold(81, 1, false);
  const FlowRuleBook::Hold elsewhere = Hold(82, 2, false);
  const std::array<uint32_t, 2> queues = {1, 3};
  book_->RemoveUnbound(queues);
  const std::vector<FlowRule> left = link_->a().ListRules();
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].match, Port(80));
  EXPECT_EQ(left[1].match, Port(82));
  // The hold of a rule that is gone harms nobody, also when its match is taken anew.
  FlowRuleBook::Hold stale = unbound.Share();
  const FlowRuleBook::Hold anew = Hold(81, 3);
  stale = FlowRuleBook::Hold();
  EXPECT_EQ(rule_count(), 3u);
}

TEST_F(FlowRuleBookTest, ManyThreadsHoldAndDropWithoutLosingCount) {
  const FlowRuleBook::Hold kept = Hold(80, 1);
  std::vector<std::thread> threads;
  for (uint16_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 500; ++i) {
        const FlowRuleBook::Hold shared = kept.Share();
        const FlowRuleBook::Hold own = Hold(static_cast<uint16_t>(100 + thread), 2);
        const FlowRuleBook::Hold common = Hold(90, 3);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(rule_count(), 1u);
}

}  // namespace
}  // namespace devmem::testing
