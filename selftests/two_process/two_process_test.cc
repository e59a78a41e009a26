// SPDX-License-Identifier: Apache-2.0
//
// Process A allocates a region and passes its handle on; process B imports it and receives into it;
// A reads what landed. Either or both are killed (signal 9) at moments that a seed chooses. The
// survivor goes on with the right bytes, and when both have gone nothing of the region is left: no
// descriptor (also none that was on its way between the two), no mapping, no grant.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>

#include "selftests/two_process/referee.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kRounds = 1000;

size_t OpenDescriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                           std::filesystem::directory_iterator()));
}

// Whether a file of that name is open or mapped in a process; those of others cannot be looked at.
bool Holds(const std::filesystem::path& process, const std::string& name) {
  std::error_code hidden;
  for (const auto& entry : std::filesystem::directory_iterator(process / "fd", hidden)) {
    const auto target = std::filesystem::read_symlink(entry.path(), hidden);
    if (target.string().find(name) != std::string::npos) return true;
  }
  std::ifstream maps(process / "maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(name) != std::string::npos) return true;
  }
  return false;
}

TEST(TwoProcessTest, WhoeverIsKilledNothingIsLeftAndTheOtherGoesOn) {
  const size_t descriptors_before = OpenDescriptors();
  // Room for one region: what an earlier round kept would refuse the next one.
  const std::shared_ptr<Quota> quota = Quota::Create({.pinned_bytes = kSharedBytes});
  QuotaCharge charge;
  uint64_t exporters_killed = 0;
  uint64_t importers_killed = 0;
  uint64_t both_killed = 0;
  for (uint64_t seed = 1; seed <= kRounds; ++seed) {
    const RoundPlan plan(seed);
    const RoundResult result = RunRound(plan, quota.get(), &charge);
    ASSERT_EQ(result.complaint, "") << plan.Describe();
    ASSERT_EQ(quota->UsageOf(kQuotaUser).pinned_bytes, 0u) << plan.Describe();
    ASSERT_EQ(OpenDescriptors(), descriptors_before) << plan.Describe();
    exporters_killed += result.exporter_killed ? 1 : 0;
    importers_killed += result.importer_killed ? 1 : 0;
    both_killed += result.exporter_killed && result.importer_killed ? 1 : 0;
  }
  // No child is left that could hold anything.
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  EXPECT_FALSE(Holds("/proc/self", kRegionLabel));
  RecordProperty("exporters_killed", std::to_string(exporters_killed));
  RecordProperty("importers_killed", std::to_string(importers_killed));
  RecordProperty("both_killed", std::to_string(both_killed));
  // The seeds do what they are there for.
  EXPECT_GE(exporters_killed, kRounds / 5);
  EXPECT_GE(importers_killed, kRounds / 5);
  EXPECT_GE(both_killed, kRounds / 20);
  EXPECT_LE(exporters_killed + importers_killed - both_killed, kRounds * 15 / 16);
}

// The test's own instrument: a region that somebody keeps is found.
TEST(TwoProcessTest, AHolderWouldBeFound) {
  const UniqueFd file(::memfd_create(kRegionLabel, 0));
  EXPECT_TRUE(Holds("/proc/self", kRegionLabel));
}

}  // namespace
}  // namespace devmem::testing
