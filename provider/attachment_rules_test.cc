// SPDX-License-Identifier: Apache-2.0
// Every pair of an exporter's promise and an importer's ability, against the table of
// Documentation/memory.md.
#include "provider/attachment_rules.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace devmem {
namespace {

struct Row {
  AttachmentKind exporter;
  ImporterCaps importer;
  AttachmentVerdict verdict;
};

constexpr Row kTable[] = {
    {AttachmentKind::kPinned, ImporterCaps::kNeither, AttachmentVerdict::kAllow},
    {AttachmentKind::kPinned, ImporterCaps::kRevoke, AttachmentVerdict::kAllow},
    {AttachmentKind::kPinned, ImporterCaps::kFault, AttachmentVerdict::kAllow},
    {AttachmentKind::kMayRevoke, ImporterCaps::kNeither, AttachmentVerdict::kRefuse},
    {AttachmentKind::kMayRevoke, ImporterCaps::kRevoke, AttachmentVerdict::kAllow},
    {AttachmentKind::kMayRevoke, ImporterCaps::kFault, AttachmentVerdict::kAllow},
    {AttachmentKind::kMayMove, ImporterCaps::kNeither, AttachmentVerdict::kStage},
    {AttachmentKind::kMayMove, ImporterCaps::kRevoke, AttachmentVerdict::kStage},
    {AttachmentKind::kMayMove, ImporterCaps::kFault, AttachmentVerdict::kAllow},
};

TEST(AttachmentRulesTest, EveryPairHasTheVerdictOfTheTable) {
  for (const Row& row : kTable) {
    EXPECT_EQ(DecideAttachment(row.exporter, row.importer).verdict, row.verdict)
        << "exporter " << static_cast<int>(row.exporter) << ", importer "
        << static_cast<int>(row.importer);
  }
}

TEST(AttachmentRulesTest, TheTableHoldsEachPairOnce) {
  std::set<std::pair<AttachmentKind, ImporterCaps>> pairs;
  for (const Row& row : kTable) pairs.emplace(row.exporter, row.importer);
  EXPECT_EQ(pairs.size(), 9u);
}

TEST(AttachmentRulesTest, MoreAbilityNeverMakesTheVerdictWorse) {
  for (const AttachmentKind exporter :
       {AttachmentKind::kPinned, AttachmentKind::kMayRevoke, AttachmentKind::kMayMove}) {
    const auto neither = DecideAttachment(exporter, ImporterCaps::kNeither).verdict;
    const auto revoke = DecideAttachment(exporter, ImporterCaps::kRevoke).verdict;
    const auto fault = DecideAttachment(exporter, ImporterCaps::kFault).verdict;
    EXPECT_GE(neither, revoke);  // The verdicts are declared from best to worst.
    EXPECT_GE(revoke, fault);
  }
}

TEST(AttachmentRulesTest, EachRefusalAndEachDetourHasItsOwnReason) {
  std::set<std::string> reasons;
  size_t not_allowed = 0;
  for (const Row& row : kTable) {
    const AttachmentDecision decision = DecideAttachment(row.exporter, row.importer);
    EXPECT_FALSE(decision.reason.empty());
    if (decision.verdict == AttachmentVerdict::kAllow) continue;
    ++not_allowed;
    reasons.emplace(decision.reason);
  }
  EXPECT_EQ(reasons.size(), not_allowed);
}

}  // namespace
}  // namespace devmem
