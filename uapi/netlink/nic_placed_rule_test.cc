// SPDX-License-Identifier: Apache-2.0
//
// Flow rules of NICs whose drivers choose the locations (RX_CLS_LOC_ANY): what the journal has of
// them at each moment, and what a restore finds.

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "selftests/testing/nic_setup_rig.h"

namespace devmem {
namespace {

class NicPlacedRuleTest : public NicSetupTest {
 protected:
  NicPlacedRuleTest() { nic_->rule_table.placed_by_driver = true; }
};

TEST_F(NicPlacedRuleTest, ADriverThatPlacesRulesItselfIsAskedToAndTheJournalHasItsChoice) {
  nic_->features["rx-ntuple-filter"].active = true;
  nic_->rules[0] = *ParseRule("tcp4 dst-ip 198.51.100.9 dst-port 80 action 1 loc 0");
  const std::string before = nic_->Settings();
  auto setup = Applied({3});
  const absl::StatusOr<uint32_t> location = setup->AddRule(listener_, 3);
  ASSERT_TRUE(location.ok()) << location.status();
  EXPECT_EQ(*location, 1u);
  // Explicit locations are refused by such a driver, and so would a second rule like it be.
  EXPECT_EQ(nic_->log.back(), "rule tcp4 dst-ip 192.0.2.1 dst-port 5201 action 3");
  EXPECT_TRUE(absl::IsAlreadyExists(setup->AddRule(listener_, 3).status()));
  const JournalRecord record = ListJournals(folder_).at(0);
  EXPECT_EQ(record.steps.back().step.name, "1");
  EXPECT_FALSE(record.steps.back().undone);
  EXPECT_TRUE(absl::EndsWith(record.steps.back().step.after, " loc 1"));
  Crash(std::move(setup));
  EXPECT_TRUE(Restore().complete());
  EXPECT_EQ(nic_->Settings(), before);
}

TEST_F(NicPlacedRuleTest, ARuleOfADriverThatPlacesRulesGoesAloneAndARefusalLeavesNothing) {
  const auto setup = Applied({3});
  const absl::StatusOr<uint32_t> location = setup->AddRule(listener_, 3);
  ASSERT_TRUE(location.ok()) << location.status();
  EXPECT_TRUE(setup->RemoveRule(*location).ok());
  EXPECT_TRUE(nic_->rules.empty());
  nic_->refuse = [](const std::string& change) {
    return absl::StartsWith(change, "rule ") ? ENOSPC : 0;
  };
  EXPECT_TRUE(absl::IsResourceExhausted(setup->AddRule(listener_, 3).status()));
  const JournalRecord record = ListJournals(folder_).at(0);
  for (const JournalStep& step : record.steps) {
    EXPECT_EQ(step.undone, step.step.kind == NicStepKind::kRule) << step.step.name;
  }
}

TEST_F(NicPlacedRuleTest, ARuleWhosePlaceACrashLeftUnknownIsFoundByItsMatch) {
  nic_->features["rx-ntuple-filter"].active = true;
  auto setup = Applied({3});
  // Dies inside of the insertion: announced, made, and no place noted.
  std::string journal;
  nic_->refuse = [&](const std::string& change) {
    if (!absl::StartsWith(change, "rule ")) return 0;
    std::ifstream file(ListJournals(folder_).at(0).path);
    journal.assign(std::istreambuf_iterator<char>(file), {});
    return 0;
  };
  ASSERT_TRUE(setup->AddRule(listener_, 3).ok());
  nic_->refuse = [](const std::string&) { return 0; };
  const std::string path = ListJournals(folder_).at(0).path;
  nic_->rules[9] = *ParseRule("tcp4 dst-ip 198.51.100.9 dst-port 80 action 1 loc 9");
  Crash(std::move(setup));
  std::ofstream(path) << journal;
  EXPECT_EQ(ListJournals(folder_).at(0).steps.back().step.name, "any");
  EXPECT_TRUE(Restore().failed.empty());
  ASSERT_EQ(nic_->rules.size(), 1u);
  EXPECT_EQ(nic_->rules.begin()->first, 9u);
}

TEST_F(NicPlacedRuleTest, ARuleThatWasOnlyAnnouncedIsNotLookedForAmongThoseOfTheLiving) {
  auto dead = Applied({3});
  std::string journal;
  nic_->refuse = [&](const std::string& change) {
    if (!absl::StartsWith(change, "rule ")) return 0;
    std::ifstream file(ListJournals(folder_).at(0).path);
    journal.assign(std::istreambuf_iterator<char>(file), {});
    return EBUSY;
  };
  EXPECT_FALSE(dead->AddRule(listener_, 3).ok());
  nic_->refuse = [](const std::string&) { return 0; };
  const std::string path = ListJournals(folder_).at(0).path;
  Crash(std::move(dead));
  NicSetupOptions options = Options({3});
  options.stale_restored = false;
  const auto living = Open(options);
  ASSERT_TRUE(living.ok() && (*living)->Apply().ok());
  ASSERT_TRUE((*living)->AddRule(listener_, 3).ok());
  std::ofstream(path) << journal;
  EXPECT_TRUE(Restore().undone.empty());
  EXPECT_EQ(nic_->rules.size(), 1u);
}

}  // namespace
}  // namespace devmem
