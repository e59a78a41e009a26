// SPDX-License-Identifier: Apache-2.0
// Whom an exporter lets in, and what becomes of exporters that throw, stall or lie.
#include "provider/import_policy.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <stdexcept>

namespace devmem {
namespace {

AttachmentVerdict Ask(const ImportPolicy& policy, const std::string& importer) {
  return policy.Decide({.importer = importer}).verdict;
}

TEST(ImportPolicyTest, EveryoneIsAnyName) {
  EXPECT_EQ(Ask(ImportPolicy::Everyone(), "dm0"), AttachmentVerdict::kAllow);
  EXPECT_EQ(Ask(ImportPolicy::Everyone(), ""), AttachmentVerdict::kAllow);
  EXPECT_EQ(ImportPolicy::Everyone().Describe(), "everyone");
}

TEST(ImportPolicyTest, OnlyTheNamedImportersAreAllowed) {
  const ImportPolicy policy = ImportPolicy::Only({"dm1", "dm0"});
  EXPECT_EQ(Ask(policy, "dm0"), AttachmentVerdict::kAllow);
  EXPECT_EQ(Ask(policy, "dm1"), AttachmentVerdict::kAllow);
  EXPECT_EQ(Ask(policy, "dm"), AttachmentVerdict::kRefuse);
  EXPECT_EQ(Ask(policy, "dm00"), AttachmentVerdict::kRefuse);
  EXPECT_EQ(policy.Describe(), "only dm0, dm1");
}

TEST(ImportPolicyTest, AnEmptySetAllowsNobody) {
  EXPECT_EQ(Ask(ImportPolicy::Only({}), "dm0"), AttachmentVerdict::kRefuse);
  EXPECT_EQ(ImportPolicy::Only({}).Describe(), "nobody");
}

TEST(ImportPolicyTest, AFunctionIsToldEverythingAboutTheImporterAndItsAnswerHolds) {
  ImportRequest seen;
  const ImportPolicy policy = ImportPolicy::Ask([&](const ImportRequest& request) {
    seen = request;
    return ImportAnswer{AttachmentVerdict::kStage, "too far away"};
  });
  const ImportAnswer answer = policy.Decide({.importer = "dm7",
                                             .caps = ImporterCaps::kRevoke,
                                             .distance = PciDistance::kSys,
                                             .region_id = 3,
                                             .region_bytes = 4096});
  EXPECT_EQ(answer.verdict, AttachmentVerdict::kStage);
  EXPECT_EQ(answer.reason, "too far away");
  EXPECT_EQ(seen.importer, "dm7");
  EXPECT_EQ(seen.caps, ImporterCaps::kRevoke);
  EXPECT_EQ(seen.distance, PciDistance::kSys);
  EXPECT_EQ(seen.region_id, 3u);
  EXPECT_EQ(seen.region_bytes, 4096u);
}

TEST(ImportPolicyTest, AFunctionThatThrowsRefusesWithWhatItThrew) {
  const ImportPolicy policy = ImportPolicy::Ask(
      [](const ImportRequest&) -> ImportAnswer { throw std::runtime_error("no such key"); });
  const ImportAnswer answer = policy.Decide({.importer = "dm0"});
  EXPECT_EQ(answer.verdict, AttachmentVerdict::kRefuse);
  EXPECT_NE(answer.reason.find("no such key"), std::string::npos) << answer.reason;

  const ImportPolicy odd = ImportPolicy::Ask([](const ImportRequest&) -> ImportAnswer { throw 7; });
  EXPECT_EQ(Ask(odd, "dm0"), AttachmentVerdict::kRefuse);
}

TEST(ImportPolicyTest, AnAnswerThatIsNoVerdictRefuses) {
  const ImportPolicy policy = ImportPolicy::Ask([](const ImportRequest&) {
    return ImportAnswer{static_cast<AttachmentVerdict>(42), "trust me"};
  });
  const ImportAnswer answer = policy.Decide({.importer = "dm0"});
  EXPECT_EQ(answer.verdict, AttachmentVerdict::kRefuse);
  EXPECT_NE(answer.reason.find("42"), std::string::npos) << answer.reason;
}

TEST(ImportPolicyTest, AFunctionThatStallsRefusesAndMayAnswerLater) {
  // Static: the stalled thread may still look at them when the test is over.
  static std::mutex mutex;
  static std::condition_variable changed;
  static bool go = false;
  static bool returned = false;
  const ImportPolicy policy = ImportPolicy::Ask(
      [](const ImportRequest&) {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [] { return go; });
        returned = true;
        changed.notify_all();
        return ImportAnswer{AttachmentVerdict::kAllow, ""};
      },
      std::chrono::milliseconds(1));
  const ImportAnswer answer = policy.Decide({.importer = "dm0"});
  EXPECT_EQ(answer.verdict, AttachmentVerdict::kRefuse);
  EXPECT_NE(answer.reason.find("did not answer"), std::string::npos) << answer.reason;
  std::unique_lock<std::mutex> lock(mutex);
  go = true;
  changed.notify_all();
  changed.wait(lock, [] { return returned; });
}

}  // namespace
}  // namespace devmem
