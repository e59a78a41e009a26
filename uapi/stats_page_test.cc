// SPDX-License-Identifier: Apache-2.0
//
// The statistics page of a session: what is written is what is read, and it goes with its session.

#include "uapi/stats_page.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "provider/unique_fd.h"
#include "selftests/testing/stats_folder_fixture.h"
#include "uapi/stats_folder.h"
#include "uapi/stats_owner.h"
#include "uapi/stats_reader.h"

namespace devmem {
namespace {

namespace fs = std::filesystem;

using StatsPageTest = testing::StatsFolderTest;

TEST_F(StatsPageTest, WhatIsWrittenIsWhatIsRead) {
  const std::unique_ptr<StatsPage> page = MakePage("copy", "eth0");
  StatsRecord* const record = page->Take();
  record->Write({.kind = StatsKind::kQueue,
                 .queue = 3,
                 .region_bytes = 1 << 20,
                 .tokens_held = 5,
                 .held_bytes = 20480,
                 .starved = 7});
  const PublishedSession session = ReadOnly();
  EXPECT_EQ(session.path, page->path());
  EXPECT_EQ(session.pid, getpid());
  EXPECT_EQ(session.pid_here, getpid());
  EXPECT_TRUE(session.live);
  EXPECT_TRUE(session.same_pid_namespace);
  EXPECT_EQ(session.start_ticks, OwnStartTicks());
  EXPECT_EQ(session.start_ticks, StartTicks(getpid()));
  EXPECT_EQ(session.uid, geteuid());
  EXPECT_EQ(session.command, OwnCommand().substr(0, 16));
  EXPECT_EQ(session.backend, "copy");
  EXPECT_EQ(session.device, "eth0");
  EXPECT_EQ(session.unsettled, 0u);
  ASSERT_EQ(session.records.size(), 1u);
  EXPECT_EQ(session.records[0].queue, 3u);
  EXPECT_EQ(session.records[0].region_bytes, 1u << 20);
  EXPECT_EQ(session.records[0].starved, 7u);
  // The short way changes what it names and nothing else.
  record->WriteHeld(6, 24576);
  const StatsFigures after = ReadOnly().records[0];
  EXPECT_EQ(after.tokens_held, 6u);
  EXPECT_EQ(after.held_bytes, 24576u);
  EXPECT_EQ(after.region_bytes, 1u << 20);
}

TEST_F(StatsPageTest, ItGoesWithItsSessionAndARecordWithItsQueue) {
  std::unique_ptr<StatsPage> page = MakePage();
  StatsRecord* const record = page->Take();
  record->Write({.kind = StatsKind::kSession});
  EXPECT_EQ(ReadOnly().records.size(), 1u);
  page->GiveBack(record);
  EXPECT_EQ(ReadOnly().records.size(), 0u);
  EXPECT_EQ(page->Take(), record);
  page.reset();
  EXPECT_TRUE(fs::is_empty(folder()));
}

TEST_F(StatsPageTest, ThereAreRecordsForAllQueuesAndThenNoMore) {
  const std::unique_ptr<StatsPage> page = MakePage();
  for (uint32_t i = 0; i < kStatsRecordsMax; ++i) ASSERT_NE(page->Take(), nullptr);
  EXPECT_EQ(page->Take(), nullptr);
  page->GiveBack(nullptr);
}

TEST_F(StatsPageTest, ALongDeviceNameIsCutToItsField) {
  const std::unique_ptr<StatsPage> page = MakePage("stack", "a-name-of-twenty-one");
  EXPECT_EQ(ReadOnly().device, "a-name-of-twenty");
}

// Whoever was killed leaves its page, of which the lock is free.
TEST_F(StatsPageTest, APageOfAKilledProcessIsSeenAsGoneAndTheNextSessionRemovesIt) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const std::unique_ptr<StatsPage> page = MakePage();
    page->Take()->Write({.kind = StatsKind::kQueue, .tokens_held = 9});
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const PublishedSession left = ReadOnly();
  EXPECT_FALSE(left.live);
  EXPECT_EQ(left.pid, child);
  EXPECT_EQ(left.pid_here, std::nullopt);
  EXPECT_EQ(left.records.at(0).tokens_held, 9u);
  const std::unique_ptr<StatsPage> next = MakePage();
  EXPECT_EQ(ReadOnly().pid, getpid());
}

TEST_F(StatsPageTest, ANewSessionRemovesNoOtherThatLivesAndNothingElse) {
  const std::unique_ptr<StatsPage> first = MakePage();
  WriteFile("notes.txt", "not a page");
  WriteFile("young.stats", "");
  const std::unique_ptr<StatsPage> second = MakePage();
  EXPECT_TRUE(fs::exists(first->path()));
  EXPECT_TRUE(fs::exists(folder() + "/notes.txt"));
  EXPECT_TRUE(fs::exists(folder() + "/young.stats"));
}

TEST_F(StatsPageTest, AHalfMadePageThatIsOldIsRemoved) {
  WriteFile("half.stats", "");
  const timespec long_ago[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (folder() + "/half.stats").c_str(), long_ago, 0), 0);
  const std::unique_ptr<StatsPage> page = MakePage();
  EXPECT_FALSE(fs::exists(folder() + "/half.stats"));
}

// What fork(2) made is not the session, and must not end its page.
TEST_F(StatsPageTest, AChildThatEndsLeavesItsParentsPage) {
  std::unique_ptr<StatsPage> page = MakePage();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    page.reset();
    _exit(0);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(ReadOnly().live);
}

TEST_F(StatsPageTest, AFolderWhereOthersCouldReplaceItIsRefused) {
  ASSERT_EQ(chmod(folder().c_str(), 0777), 0);
  const auto refused = StatsPage::Create(folder(), "stack", "dm0");
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status()));
  EXPECT_TRUE(absl::StrContains(refused.status().message(), "mode 0777")) << refused.status();
  ASSERT_EQ(chmod(folder().c_str(), 01777), 0);
  EXPECT_TRUE(StatsPage::Create(folder(), "stack", "dm0").ok());
}

TEST_F(StatsPageTest, AFolderThatIsALinkIsRefused) {
  fs::create_symlink(folder(), folder() + "/link");
  const auto refused = StatsPage::Create(folder() + "/link", "stack", "dm0");
  EXPECT_FALSE(refused.ok());
}

TEST_F(StatsPageTest, AMissingFolderIsMadeForItsUserAlone) {
  const std::string inner = folder() + "/made";
  const auto page = StatsPage::Create(inner, "stack", "dm0");
  ASSERT_TRUE(page.ok()) << page.status();
  struct stat made = {};
  ASSERT_EQ(stat(inner.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 07777, 0700u);
  EXPECT_FALSE(StatsPage::Create(folder() + "/not/there", "stack", "dm0").ok());
}

TEST_F(StatsPageTest, ItCanBeSwitchedOff) {
  EXPECT_TRUE(absl::IsFailedPrecondition(StatsPage::Create(kStatsOff, "stack", "dm0").status()));
  ASSERT_EQ(setenv(kStatsFolderVariable, kStatsOff, 1), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(StatsPage::Create("", "stack", "dm0").status()));
  // What a program says goes before what its environment says.
  EXPECT_TRUE(StatsPage::Create(folder(), "stack", "dm0").ok());
  ASSERT_EQ(setenv(kStatsFolderVariable, folder().c_str(), 1), 0);
  const auto page = StatsPage::Create("", "stack", "dm0");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_TRUE(absl::StartsWith((*page)->path(), folder()));
  EXPECT_EQ(ListSessions().sessions.size(), 1u);
  ASSERT_EQ(unsetenv(kStatsFolderVariable), 0);
}

TEST_F(StatsPageTest, AProcessThatMayWriteNoFilesPublishesNothingAndLives) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit none = {0, 0};
    setrlimit(RLIMIT_FSIZE, &none);
    const auto refused = StatsPage::Create(folder(), "stack", "dm0");
    _exit(absl::IsResourceExhausted(refused.status()) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace devmem
