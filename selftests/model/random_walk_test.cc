// SPDX-License-Identifier: Apache-2.0
//
// Random walks of two engines against the model, a million operations and more. A failing walk
// prints its seed and its script, made short, and writes that to a file of the temporary folder.
//
//   DEVMEM_WALKS=n                    n times as many walks; the long run
//   DEVMEM_WALK_SEED=n                only this seed, in every profile that is run
//   DEVMEM_WALK_SCRIPT=file           replays a script and prints what happened
//
// Scripts of faults that were found and mended are in selftests/model/scripts, and stay mended.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "selftests/model/walk_shrink.h"
#include "selftests/model/walk_world.h"

namespace devmem::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kWalkDivisor = 20;
#else
constexpr uint64_t kWalkDivisor = 1;
#endif

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  uint64_t value = 0;
  const char* text = std::getenv(name);
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// "stream", "lost", ...: what a fault is about.
std::string KindOf(const std::string& fault) { return fault.substr(0, fault.find(':')); }

// Prints the walk, made short, so that it can be replayed; returns where it was written.
std::string Report(const WalkScript& script, const std::string& fault, const std::string& name) {
  const WalkScript small = Shrink(script, [&](const WalkScript& candidate) {
    return KindOf(RunWalk(candidate, {.audit_always = true}).fault) == KindOf(fault);
  });
  std::string trace;
  const WalkOutcome outcome = RunWalk(small, {.audit_always = true, .trace = &trace});
  const std::string path = absl::StrCat(::testing::TempDir(), name, ".walk");
  std::ofstream(path) << "# " << outcome.fault << "\n" << ToText(small);
  return absl::StrCat(fault, "\nmade short (", path, "):\n", ToText(small), "which does:\n", trace,
                      outcome.fault);
}

struct Plan {
  WalkProfile profile;
  uint64_t walks = 0;
};

class RandomWalkTest : public ::testing::TestWithParam<Plan> {};

const Plan kPlans[] = {
    {{.name = "Kind"}, 500},
    {{.name = "Losing", .loss = 60, .duplicate = 20, .patience = 80, .tick_ms_max = 800}, 700},
    {{.name = "Reordering", .duplicate = 60, .reorder = 400, .split = 60, .merge = 40}, 700},
    {{.name = "LosingAndReordering",
      .loss = 50,
      .duplicate = 50,
      .reorder = 200,
      .split = 30,
      .merge = 30,
      .tick_ms_max = 400},
     3500},
    {{.name = "Starving",
      .loss = 20,
      .reorder = 100,
      .cut = 60,
      .starve = 60,
      .tick_ms_max = 400,
      .send_bytes_max = 60'000,
      .read_percent = 60,
      .small_memory = true},
     2500},
    {{.name = "FewPieces",
      .loss = 20,
      .reorder = 200,
      .split = 100,
      .starve = 30,
      .tick_ms_max = 400,
      .small_pieces = true},
     3000},
    {{.name = "SmallWindows",
      .loss = 30,
      .reorder = 50,
      .split = 50,
      .tick_ms_max = 3000,
      .read_percent = 40,
      .small_window = true},
     3000},
    {{.name = "UnreadData", .loss = 20, .send_bytes_max = 60'000, .read_percent = 15}, 400},
    {{.name = "Churning",
      .loss = 40,
      .duplicate = 50,
      .reorder = 100,
      .churn = 150,
      .tick_ms_max = 5000},
     4500},
    {{.name = "Everything",
      .loss = 40,
      .duplicate = 40,
      .reorder = 150,
      .cut = 30,
      .split = 40,
      .merge = 40,
      .starve = 20,
      .churn = 60,
      .unbind = 4,
      .tick_ms_max = 3000,
      .send_bytes_max = 30'000,
      .read_percent = 70},
     4500},
};

INSTANTIATE_TEST_SUITE_P(Walks, RandomWalkTest, ::testing::ValuesIn(kPlans),
                         [](const auto& plan) { return std::string(plan.param.profile.name); });

TEST_P(RandomWalkTest, WhatIsAcknowledgedArrivesInOrderAndNothingIsStuckOrLeft) {
  const Plan& plan = GetParam();
  const uint64_t seed_only = FromEnvironment("DEVMEM_WALK_SEED", 0);
  const uint64_t walks =
      std::max<uint64_t>(1, plan.walks * FromEnvironment("DEVMEM_WALKS", 1) / kWalkDivisor);
  uint64_t steps = 0;
  uint64_t bytes = 0;
  for (uint64_t n = 1; n <= walks; ++n) {
    const uint64_t seed = seed_only != 0 ? seed_only : n;
    const WalkScript script = MakeScript(plan.profile, seed);
    const WalkOutcome outcome = RunWalk(script);
    steps += outcome.steps;
    bytes += outcome.bytes_read;
    ASSERT_EQ(outcome.fault, "") << "DEVMEM_WALK_SEED=" << seed << " --gtest_filter=*/"
                                 << plan.profile.name << "\n"
                                 << Report(script, outcome.fault,
                                           absl::StrCat(plan.profile.name, "-", seed));
    if (seed_only != 0) break;
  }
  RecordProperty("steps", std::to_string(steps));
  std::printf("%llu walks, %llu steps, %llu bytes\n", static_cast<unsigned long long>(walks),
              static_cast<unsigned long long>(steps), static_cast<unsigned long long>(bytes));
  // Walks in which nothing arrives prove nothing.
  if (seed_only == 0) {
    EXPECT_GT(bytes, 1000 * walks);
  }
}

TEST(RandomWalkReplayTest, TheSameSeedGivesTheSameSegmentsAtTheSameTimes) {
  const WalkProfile& profile = kPlans[3].profile;
  const WalkScript script = MakeScript(profile, 5);
  EXPECT_EQ(RunWalk(script).hash, RunWalk(script).hash);
  EXPECT_NE(RunWalk(script).hash, RunWalk(MakeScript(profile, 6)).hash);
}

TEST(RandomWalkReplayTest, AScriptIsTheSameWalkAfterItWasWrittenAndReadAgain) {
  const WalkScript script = MakeScript(kPlans[9].profile, 11);
  const absl::StatusOr<WalkScript> again = ScriptFromText(ToText(script));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToText(*again), ToText(script));
  EXPECT_EQ(RunWalk(*again).hash, RunWalk(script).hash);
  EXPECT_FALSE(ScriptFromText("jump a 0 0 0").ok());
  EXPECT_FALSE(ScriptFromText("deliver c 0 0 0").ok());
  EXPECT_FALSE(ScriptFromText("deliver a 9 0 0").ok());
}

std::string ReadFile(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(RandomWalkReplayTest, ScriptsOfMendedFaultsStayMended) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("selftests/model/scripts")) {
    const absl::StatusOr<WalkScript> script = ScriptFromText(ReadFile(entry.path()));
    ASSERT_TRUE(script.ok()) << entry.path() << ": " << script.status();
    EXPECT_EQ(RunWalk(*script, {.audit_always = true}).fault, "") << entry.path();
    ++count;
  }
  EXPECT_NE(count, 0u);
}

TEST(RandomWalkReplayTest, AScriptNamedInTheEnvironmentIsReplayed) {
  const char* path = std::getenv("DEVMEM_WALK_SCRIPT");
  if (path == nullptr) GTEST_SKIP() << "DEVMEM_WALK_SCRIPT names no script";
  const absl::StatusOr<WalkScript> script = ScriptFromText(ReadFile(path));
  ASSERT_TRUE(script.ok()) << script.status();
  std::string trace;
  const WalkOutcome outcome = RunWalk(*script, {.audit_always = true, .trace = &trace});
  std::printf("%s", trace.c_str());
  EXPECT_EQ(outcome.fault, "");
}

}  // namespace
}  // namespace devmem::testing
