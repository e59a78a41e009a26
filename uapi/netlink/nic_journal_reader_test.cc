// SPDX-License-Identifier: Apache-2.0
//
// What is read of journals that were interrupted, damaged, hidden or never were any, and what a
// restore says and does about them. In a folder of the test's own.

#include "uapi/netlink/nic_journal_reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "selftests/testing/fake_nic_control.h"
#include "uapi/netlink/limits.h"
#include "uapi/netlink/nic_restore.h"
#include "uapi/netlink/nic_setup.h"

namespace devmem {
namespace {

class NicJournalReaderTest : public ::testing::Test {
 protected:
  NicJournalReaderTest() {
    std::string pattern = testing::TempDir() + "nic_journals_XXXXXX";
    folder_ = mkdtemp(pattern.data());
    subject_ = SubjectOf("eth0", nic_->link.ifindex, "");
  }
  ~NicJournalReaderTest() override { std::filesystem::remove_all(folder_); }

  std::string Header() const {
    return absl::StrCat("devmem-nic-journal 1\ndevice\teth0\t", subject_.ifindex, "\t",
                        subject_.netns, "\t", subject_.boot_id, "\nowner\t4711\n");
  }
  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = absl::StrCat(folder_, "/", name, ".journal");
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  // A name as setups give: of eth0, in this namespace.
  std::string Named(absl::string_view counter) const {
    return absl::StrCat("eth0.", subject_.netns, ".4711.1000.", counter);
  }
  static absl::Status WhyUnread(const std::string& path) { return ReadJournal(path).status(); }

  RestoreReport Restore(const std::string& device = "") {
    const absl::StatusOr<RestoreReport> report =
        RestoreNics({.folder = folder_, .device = device},
                    [this](const std::string&) -> absl::StatusOr<std::unique_ptr<NicControl>> {
                      return std::make_unique<FakeNicControl>(nic_);
                    });
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : RestoreReport();
  }

  std::string folder_;
  std::shared_ptr<FakeNicSettings> nic_ = std::make_shared<FakeNicSettings>();
  JournalSubject subject_;
};

TEST_F(NicJournalReaderTest, EveryBeginningOfAJournalIsOneThatWasInterruptedBeforeAnyChange) {
  const std::string header = Header();
  for (size_t bytes = 0; bytes < header.size(); ++bytes) {
    const std::string path = Write(Named("0"), header.substr(0, bytes));
    const absl::Status why = WhyUnread(path);
    EXPECT_TRUE(absl::IsCancelled(why)) << bytes << " bytes: " << why;
  }
  const auto whole = ReadJournal(Write(Named("0"), header));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->subject, subject_);
  EXPECT_FALSE(whole->torn);
}

TEST_F(NicJournalReaderTest, ATornLineBehindTheBeginningIsLeftOutAndMarked) {
  const auto record =
      ReadJournal(Write(Named("0"), Header() + "step\t5\trule\t7\tnone\tx\nstep\t6\tru"));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_TRUE(record->torn);
  EXPECT_EQ(record->steps.size(), 1u);
}

TEST_F(NicJournalReaderTest, EachKindOfUnreadableFileHasItsOwnReasonAndRemedy) {
  const auto says = [](const absl::Status& why, absl::StatusCode code, absl::string_view words) {
    EXPECT_EQ(why.code(), code) << why;
    EXPECT_NE(why.message().find(words), absl::string_view::npos) << why;
  };
  says(WhyUnread(Write("a", "[Journal]\nStorage=none\n")), absl::StatusCode::kInvalidArgument,
       "no journal of a NIC's setup; move it elsewhere");
  says(WhyUnread(Write("b", "devmem-nic-journal 2\n")), absl::StatusCode::kUnimplemented,
       "of version 2 of the format, and this program knows 1; restore with the one that wrote it");
  says(WhyUnread(Write("c", Header() + "stop\t1\n")), absl::StatusCode::kDataLoss,
       "line 4 is of no known form; undo by hand");
  says(WhyUnread(Write("d", std::string(100, '\0'))), absl::StatusCode::kDataLoss,
       "begins with zeroes");
  says(WhyUnread(Write("e", "devmem-nic-journal 1\nstep\t5\trule\t7\tnone\tx\n")),
       absl::StatusCode::kDataLoss, "of which device");
  says(WhyUnread(Write("f", "devmem-nic-journal one\n")), absl::StatusCode::kDataLoss,
       "names no version");
  says(WhyUnread(folder_ + "/none"), absl::StatusCode::kNotFound, "not there");
}

TEST_F(NicJournalReaderTest, AFileLongerThanTheBoundIsNotFollowedInPart) {
  const std::string path = Write("long", Header());
  std::filesystem::resize_file(path, kJournalBytesMax + 1);
  const absl::Status why = WhyUnread(path);
  EXPECT_TRUE(absl::IsOutOfRange(why)) << why;
  EXPECT_TRUE(absl::StrContains(why.message(), absl::StrCat(kJournalBytesMax + 1, " bytes")));
}

TEST_F(NicJournalReaderTest, APipeOfAJournalsNameIsNotWaitedFor) {
  const std::string path = folder_ + "/pipe.journal";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(WhyUnread(path)));
}

// Root may read everything, so the test is nobody for a moment.
TEST_F(NicJournalReaderTest, WhoMayNotReadIsToldWhoMay) {
  const std::string path = Write(Named("0"), Header());
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  constexpr uid_t kNobody = 65534;
  const bool was_root = geteuid() == 0;
  if (was_root) {
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  const absl::Status why = WhyUnread(path);
  const RestoreReport report = Restore();
  ASSERT_EQ(was_root ? seteuid(0) : 0, 0);
  EXPECT_TRUE(absl::IsPermissionDenied(why)) << why;
  EXPECT_TRUE(absl::StrContains(why.message(), "restore as root")) << why;
  ASSERT_EQ(report.failed.size(), 1u);
  EXPECT_EQ(report.failed[0], why.message());
  EXPECT_FALSE(report.complete());
}

TEST_F(NicJournalReaderTest, AFolderThatMayNotBeReadIsNoEmptyOne) {
  ASSERT_EQ(chmod(folder_.c_str(), 0), 0);
  const bool was_root = geteuid() == 0;
  if (was_root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const absl::Status refused = ListJournalFolder(folder_).status();
  ASSERT_EQ(was_root ? seteuid(0) : 0, 0);
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  ASSERT_EQ(chmod(folder_.c_str(), 0700), 0);
  const auto none = ListJournalFolder(folder_ + "/none");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->journals.empty() && none->unread.empty());
}

TEST_F(NicJournalReaderTest, RestoreDoesWhatItCanAndNamesEachFileThatItCannotRead) {
  nic_->rules[7] = *ParseRule("tcp4 dst-port 80 action 3 loc 7");
  Write(Named("0"), Header() + "step\t5\trule\t7\tnone\ttcp4 dst-port 80 action 3 loc 7\nst");
  const std::string newer = Write(Named("1"), "devmem-nic-journal 9\n");
  const std::string damaged = Write(Named("2"), Header() + "?\n");
  const std::string foreign = Write("foreign", "something else\n");
  const std::string torn = Write(Named("3"), Header().substr(0, 30));
  const RestoreReport report = Restore();
  EXPECT_EQ(report.undone.size(), 1u);
  EXPECT_TRUE(nic_->rules.empty());
  ASSERT_EQ(report.failed.size(), 2u);
  EXPECT_TRUE(absl::StartsWith(report.failed[0], newer));
  EXPECT_TRUE(absl::StartsWith(report.failed[1], damaged));
  ASSERT_EQ(report.skipped.size(), 3u);
  EXPECT_TRUE(absl::StartsWith(report.skipped[0], torn + " was interrupted")) << report.skipped[0];
  EXPECT_TRUE(absl::StartsWith(report.skipped[1], foreign + " is no journal"));
  EXPECT_TRUE(absl::StrContains(report.skipped[2], "its last line was interrupted"));
  EXPECT_FALSE(report.complete());
  // What was interrupted before any change is gone; what nobody understands stays.
  EXPECT_FALSE(std::filesystem::exists(torn));
  for (const std::string& path : {newer, damaged, foreign}) {
    EXPECT_TRUE(std::filesystem::exists(path)) << path;
  }
}

TEST_F(NicJournalReaderTest, AnotherDevicesUnreadableJournalIsNotAskedFor) {
  Write(absl::StrCat("eth1.100.", subject_.netns, ".4711.1000.0"), "devmem-nic-journal 9\n");
  EXPECT_TRUE(Restore("eth0").complete());
  EXPECT_EQ(Restore("eth1.100").failed.size(), 1u);
  EXPECT_EQ(Restore().failed.size(), 1u);
  Write("eth0.1.4711.1000.1", "devmem-nic-journal 9\n");
  const RestoreReport report = Restore("eth0");
  EXPECT_TRUE(report.complete());
  ASSERT_EQ(report.skipped.size(), 1u);
  EXPECT_TRUE(absl::StrContains(report.skipped[0], "another network namespace"));
}

TEST_F(NicJournalReaderTest, AJournalThatIsBeingMadeIsItsOwners) {
  const std::string path = folder_ + "/" + Named("0") + ".journal";
  auto journal = NicJournal::Create(path, subject_);
  ASSERT_TRUE(journal.ok()) << journal.status();
  std::filesystem::resize_file(path, 10);
  EXPECT_FALSE(RemoveTornJournal(path));
  EXPECT_EQ(Restore().in_use.size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(path));
  journal->reset();
  EXPECT_TRUE(RemoveTornJournal(path));
}

TEST_F(NicJournalReaderTest, ADeviceThatCannotBeOpenedDoesNotHideTheOthers) {
  nic_->rules[7] = *ParseRule("tcp4 dst-port 80 action 3 loc 7");
  Write("b", Header() + "step\t5\trule\t7\tnone\ttcp4 dst-port 80 action 3 loc 7\n");
  std::string other = Header() + "step\t6\trule\t7\tnone\ttcp4 dst-port 80 action 3 loc 7\n";
  other.replace(other.find("eth0"), 4, "dead");
  Write("a", other);
  const auto report =
      RestoreNics({.folder = folder_},
                  [this](const std::string& name) -> absl::StatusOr<std::unique_ptr<NicControl>> {
                    if (name == "dead") return absl::UnavailableError("no answer");
                    return std::make_unique<FakeNicControl>(nic_);
                  });
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->failed.size(), 1u);
  EXPECT_EQ(report->failed[0], "dead: nothing was undone: no answer");
  EXPECT_EQ(report->undone.size(), 1u);
}

}  // namespace
}  // namespace devmem
