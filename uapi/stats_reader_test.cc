// SPDX-License-Identifier: Apache-2.0
//
// Reading files that only look like statistics pages, and judging who owns one.

#include "uapi/stats_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>

#include "absl/strings/match.h"
#include "provider/unique_fd.h"
#include "selftests/testing/stats_folder_fixture.h"
#include "uapi/stats_owner.h"

namespace devmem {
namespace {

constexpr pid_t kOwner = 812;
constexpr uint64_t kOwnerStart = 4711;

class StatsReaderTest : public testing::StatsFolderTest {
 protected:
  // A page as it lies in its file, of a session that is gone.
  std::string GoodPage() {
    const std::unique_ptr<StatsPage> page = MakePage();
    page->Take()->Write({.kind = StatsKind::kQueue, .tokens_held = 5});
    return ReadFile(page->path());
  }
  void SetWord(std::string* page, size_t offset, uint64_t word) {
    std::memcpy(page->data() + offset, &word, sizeof(word));
  }
  void ExpectPassedOver(const std::string& reason) {
    const StatsListing listing = List();
    EXPECT_TRUE(listing.sessions.empty());
    ASSERT_EQ(listing.passed_over.size(), 1u);
    EXPECT_TRUE(absl::StrContains(listing.passed_over[0], reason)) << listing.passed_over[0];
  }
};

TEST_F(StatsReaderTest, FilesOfOtherNamesAreNotLookedAt) {
  const std::string page = GoodPage();
  WriteFile("1-a.journal", page);
  WriteFile(".hidden.stats", page);
  const StatsListing listing = List();
  EXPECT_TRUE(listing.sessions.empty());
  EXPECT_TRUE(listing.passed_over.empty());
  EXPECT_TRUE(listing.complete);
}

TEST_F(StatsReaderTest, APageWithoutAnOwnerIsGone) {
  WriteFile("1-a.stats", GoodPage());
  EXPECT_FALSE(ReadOnly().live);
}

TEST_F(StatsReaderTest, ALinkIsNotFollowed) {
  WriteFile("page", GoodPage());
  std::filesystem::create_symlink(folder() + "/page", folder() + "/1-a.stats");
  ExpectPassedOver("it cannot be opened");
}

// Nobody writes to it, and an ordinary open(2) would wait for that.
TEST_F(StatsReaderTest, AFifoIsNotWaitedFor) {
  ASSERT_EQ(mkfifo((folder() + "/1-a.stats").c_str(), 0644), 0);
  ExpectPassedOver("it is no regular file");
}

TEST_F(StatsReaderTest, AFolderAndASocketAreNoPages) {
  std::filesystem::create_directory(folder() + "/1-a.stats");
  ExpectPassedOver("it is no regular file");
  std::filesystem::remove(folder() + "/1-a.stats");
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = folder() + "/1-b.stats";
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ExpectPassedOver("it cannot be opened");
}

TEST_F(StatsReaderTest, AnEmptyFileIsOneThatIsBeingMade) {
  WriteFile("1-a.stats", "");
  WriteFile("1-b.stats", std::string(kStatsPageBytes, '\0'));
  const StatsListing listing = List();
  EXPECT_TRUE(listing.sessions.empty());
  EXPECT_TRUE(listing.passed_over.empty());
}

TEST_F(StatsReaderTest, AFileOfAnotherSizeIsRefusedWithBothSizes) {
  WriteFile("1-a.stats", GoodPage().substr(0, 100));
  ExpectPassedOver("it has 100 bytes, and a page has 16384");
  WriteFile("1-a.stats", GoodPage() + "x");
  ExpectPassedOver("it has 16385 bytes");
}

TEST_F(StatsReaderTest, AnotherMagicOrVersionIsRefused) {
  const std::string good = GoodPage();
  std::string page = good;
  SetWord(&page, offsetof(StatsHeader, magic), 1);
  WriteFile("1-a.stats", page);
  ExpectPassedOver("it is no page of statistics");
  page = good;
  SetWord(&page, offsetof(StatsHeader, version), 2);
  WriteFile("1-a.stats", page);
  ExpectPassedOver("version 2, and this program reads version 1");
  page = good;
  SetWord(&page, offsetof(StatsHeader, record_count), UINT64_MAX);
  WriteFile("1-a.stats", page);
  ExpectPassedOver("version 1");
}

TEST_F(StatsReaderTest, TextsThatDoNotEndAreCutAndControlCharactersAreNoPartOfThem) {
  std::string page = GoodPage();
  std::memset(page.data() + offsetof(StatsHeader, command), 'x', sizeof(StatsHeader::command));
  std::memcpy(page.data() + offsetof(StatsHeader, device), "\033[2J\xff a", 7);
  WriteFile("1-a.stats", page);
  const PublishedSession session = ReadOnly();
  EXPECT_EQ(session.command, std::string(16, 'x'));
  EXPECT_EQ(session.device, "?[2J??a");
}

TEST_F(StatsReaderTest, ANameWithControlCharactersIsShownWithoutThem) {
  WriteFile("1\033[2J\n.stats", "x");
  ExpectPassedOver("/1?[2J?.stats: it has 1 bytes");
}

// A writer that was killed in the middle leaves an odd number for ever.
TEST_F(StatsReaderTest, ARecordThatIsNeverSettledIsTakenAsItIs) {
  std::string page = GoodPage();
  SetWord(&page, offsetof(StatsPageLayout, records), 7);
  WriteFile("1-a.stats", page);
  const PublishedSession session = ReadOnly();
  EXPECT_EQ(session.unsettled, 1u);
  ASSERT_EQ(session.records.size(), 1u);
  EXPECT_EQ(session.records[0].tokens_held, 5u);
}

TEST_F(StatsReaderTest, RecordsOfAKindThatIsNotKnownAreLeftOut) {
  std::string page = GoodPage();
  SetWord(&page, offsetof(StatsPageLayout, records) + offsetof(StatsRecord, words), 4);
  WriteFile("1-a.stats", page);
  EXPECT_TRUE(ReadOnly().records.empty());
}

// Seeded: whatever stands behind the magic and the version, it is read as numbers.
TEST_F(StatsReaderTest, ArbitraryBytesAreReadWithoutHarm) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 50; ++round) {
    std::string page(kStatsPageBytes, '\0');
    for (char& byte : page) byte = static_cast<char>(random());
    SetWord(&page, offsetof(StatsHeader, magic), kStatsMagic);
    SetWord(&page, offsetof(StatsHeader, version), kStatsVersion);
    SetWord(&page, offsetof(StatsHeader, record_count), kStatsRecordsMax);
    WriteFile("1-a.stats", page);
    const PublishedSession session = ReadOnly();
    EXPECT_FALSE(session.live);
    EXPECT_LE(session.device.size(), 16u);
    EXPECT_GE(session.pid, 0);
  }
}

TEST_F(StatsReaderTest, AFileThatMayNotBeReadIsNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  WriteFile("1-a.stats", GoodPage());
  ASSERT_EQ(chmod((folder() + "/1-a.stats").c_str(), 0), 0);
  ExpectPassedOver("it cannot be opened");
}

// A stranger's lock on what a killed session left: the process is asked, too.
TEST_F(StatsReaderTest, AStrangersLockDoesNotMakeAPageLive) {
  std::string page = GoodPage();
  SetWord(&page, offsetof(StatsHeader, start_ticks), 1);
  WriteFile("1-a.stats", page);
  const UniqueFd stranger(open((folder() + "/1-a.stats").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(flock(stranger.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_FALSE(ReadOnly().live);
}

uint64_t OnlyTheOwnerLives(pid_t pid) { return pid == kOwner ? kOwnerStart : 0; }

// As the kernel lists it for a process in a container: by the number that the reader's namespace
// gives it.
TEST(StatsOwnerTest, AnOwnerInAnotherNamespaceIsFoundByItsLock) {
  const std::array<pid_t, 1> holders = {kOwner};
  const Owner owner = FindOwner({.pid = 1,
                                 .start_ticks = kOwnerStart,
                                 .same_pid_namespace = false,
                                 .locked = true,
                                 .holders = holders},
                                OnlyTheOwnerLives);
  EXPECT_TRUE(owner.live);
  EXPECT_EQ(owner.pid, kOwner);
}

TEST(StatsOwnerTest, AnOwnerThatIsNotShownHereLivesWithoutANumber) {
  const Owner owner =
      FindOwner({.pid = kOwner, .start_ticks = 1, .same_pid_namespace = false, .locked = true},
                OnlyTheOwnerLives);
  EXPECT_TRUE(owner.live);
  EXPECT_EQ(owner.pid, std::nullopt);
}

TEST(StatsOwnerTest, ANumberThatWasGivenOutAgainIsNotTheOwner) {
  const Owner owner =
      FindOwner({.pid = kOwner, .start_ticks = 1, .same_pid_namespace = true, .locked = true},
                OnlyTheOwnerLives);
  EXPECT_FALSE(owner.live);
}

// The page names the process of somebody else, whom the kernel does not list as holding its lock.
TEST(StatsOwnerTest, APageCannotClaimAnothersProcess) {
  const std::array<pid_t, 1> holders = {kOwner + 1};
  const Owner owner = FindOwner({.pid = kOwner,
                                 .start_ticks = kOwnerStart,
                                 .same_pid_namespace = true,
                                 .locked = true,
                                 .holders = holders},
                                OnlyTheOwnerLives);
  EXPECT_FALSE(owner.live);
  EXPECT_EQ(owner.pid, std::nullopt);
}

TEST(StatsOwnerTest, WhereLocksAreNotListedTheProcessIsComparedItself) {
  const Owner owner = FindOwner(
      {.pid = kOwner, .start_ticks = kOwnerStart, .same_pid_namespace = true, .locked = true},
      OnlyTheOwnerLives);
  EXPECT_TRUE(owner.live);
  EXPECT_EQ(owner.pid, kOwner);
}

TEST(StatsOwnerTest, LocksOfOtherKindsAndOfThoseWhoWaitAreNotListed) {
  const std::vector<LockHolder> holders = ParseLockHolders(
      "1: POSIX  ADVISORY  WRITE 100 fd:02:131 0 EOF\n"
      "2: FLOCK  ADVISORY  WRITE 812 00:1a:4711 0 EOF\n"
      "2: -> FLOCK  ADVISORY  WRITE 813 00:1a:4711 0 EOF\n"
      "3: OFDLCK ADVISORY  READ  -1 00:06:1040 0 EOF\n"
      "4: FLOCK  ADVISORY  WRITE -1 00:1a:5 0 EOF\n"
      "5: FLOCK  ADVISORY  WRITE many words:here\n"
      "6: FLOCK\n");
  ASSERT_EQ(holders.size(), 1u);
  EXPECT_EQ(holders[0].pid, 812);
  EXPECT_EQ(holders[0].device_major, 0u);
  EXPECT_EQ(holders[0].device_minor, 0x1au);
  EXPECT_EQ(holders[0].inode, 4711u);
}

TEST(StatsOwnerTest, TheKernelListsALockThatIsHeld) {
  const UniqueFd file(memfd_create("locked", MFD_CLOEXEC));
  ASSERT_EQ(flock(file.get(), LOCK_EX), 0);
  struct stat found = {};
  ASSERT_EQ(fstat(file.get(), &found), 0);
  bool listed = false;
  for (const LockHolder& holder : LockHoldersOfThisMachine()) {
    listed |= holder.pid == getpid() && holder.inode == found.st_ino;
  }
  EXPECT_TRUE(listed);
}

}  // namespace
}  // namespace devmem
