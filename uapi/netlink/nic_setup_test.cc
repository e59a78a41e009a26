// SPDX-License-Identifier: Apache-2.0
//
// NicSetup on a fake NIC: the order of the changes, what is undone after each possible failure, and
// that what others have set is left alone.

#include "uapi/netlink/nic_setup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "selftests/testing/nic_setup_rig.h"
#include "uapi/netlink/nic_journal_reader.h"
#include "uapi/netlink/nic_restore.h"

namespace devmem {
namespace {

constexpr std::array<uint32_t, 1> kQueue3 = {3};

TEST_F(NicSetupTest, ChangesAreMadeInTheOrderThatTheKernelWants) {
  const auto setup = Applied({3});
  const std::vector<std::string> expected = {"split enabled", "rss 0,1,2,0,1,2,0,1",
                                             "rx-ntuple-filter on"};
  EXPECT_EQ(nic_->log, expected);
}

TEST_F(NicSetupTest, ThePlanSaysEachChangeTwice) {
  const auto setup = Open({3});
  ASSERT_TRUE(setup.ok()) << setup.status();
  EXPECT_TRUE(nic_->log.empty());
  EXPECT_EQ(JournalCount(), 0u);
  const std::vector<NicStep>& steps = (*setup)->plan().steps;
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].netlink, "rings-set dev-name=eth0 tcp-data-split=enabled");
  EXPECT_EQ(steps[0].ethtool, "ethtool -G eth0 tcp-data-split on");
  EXPECT_EQ(steps[1].ethtool, "ethtool -X eth0 equal 3");
  EXPECT_EQ(steps[2].ethtool, "ethtool -K eth0 ntuple on");
}

TEST_F(NicSetupTest, UndoPutsEverythingBackAndLeavesNoJournal) {
  const std::string before = nic_->Settings();
  auto setup = Applied({3});
  ASSERT_TRUE(setup->AddRule(listener_, 3).ok());
  EXPECT_NE(nic_->Settings(), before);
  EXPECT_EQ(JournalCount(), 1u);
  EXPECT_TRUE(setup->Undo().ok());
  EXPECT_EQ(nic_->Settings(), before);
  EXPECT_EQ(JournalCount(), 0u);
}

TEST_F(NicSetupTest, TheDestructorUndoesInReverse) {
  auto setup = Applied({3});
  ASSERT_TRUE(setup->AddRule(listener_, 3).ok());
  nic_->log.clear();
  setup.reset();
  const std::vector<std::string> expected = {"delete rule 15", "rx-ntuple-filter off",
                                             "rss default", "split unknown"};
  EXPECT_EQ(nic_->log, expected);
}

TEST_F(NicSetupTest, WhateverIsRefusedNothingStaysChanged) {
  nic_->rings.hds_thresh_bytes = 640;
  NicSetupOptions options = Options({5});
  const std::string before = nic_->Settings();
  for (size_t refused = 0;; ++refused) {
    nic_->log.clear();
    nic_->refuse = [&](const std::string&) { return nic_->log.size() == refused + 1 ? EINVAL : 0; };
    const auto setup = Open(options);
    ASSERT_TRUE(setup.ok()) << setup.status();
    if ((*setup)->Apply().ok()) {
      EXPECT_EQ(refused, 5u);  // Channels, split, threshold, RSS, ntuple.
      break;
    }
    EXPECT_EQ(nic_->Settings(), before) << "after refusing change " << refused;
    EXPECT_EQ(JournalCount(), 0u);
  }
}

TEST_F(NicSetupTest, MoreChannelsAreMadeForAHighQueueAndGoAgain) {
  {
    const auto setup = Applied({5});
    EXPECT_EQ(nic_->channels.combined, 6u);
    EXPECT_EQ(nic_->rss[0].queues, (std::vector<uint32_t>{0, 1, 2, 3, 4, 0, 1, 2}));
    EXPECT_EQ(setup->plan().rx_queue_count, 6u);
  }
  EXPECT_EQ(nic_->channels.combined, 4u);
  EXPECT_EQ(nic_->rss[0].queues, (std::vector<uint32_t>{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST_F(NicSetupTest, ANicThatCountsRxAndTxApartGetsMoreRxChannels) {
  nic_->channels = {.rx = 4, .tx = 4, .rx_max = 8, .tx_max = 8};
  const std::string before = nic_->Settings();
  {
    const auto setup = Applied({5});
    EXPECT_EQ(nic_->channels.rx, 6u);
    EXPECT_EQ(setup->plan().steps.front().ethtool, "ethtool -L eth0 rx 6");
  }
  EXPECT_EQ(nic_->channels.rx, 4u);
  EXPECT_EQ(nic_->Settings(), before);
  EXPECT_TRUE(absl::IsOutOfRange(Open({8}).status()));
}

TEST_F(NicSetupTest, SplitIsSetAlsoWhereTheDriverReportsItOn) {
  nic_->rings.tcp_data_split = DataSplit::kEnabled;
  {
    const auto setup = Applied({3});
    EXPECT_EQ(nic_->log.at(0), "split enabled");
    nic_->log.clear();
  }
  // It was on before, so it stays on.
  EXPECT_EQ(nic_->rings.tcp_data_split, DataSplit::kEnabled);
  EXPECT_EQ(std::count(nic_->log.begin(), nic_->log.end(), "split unknown"), 0);
}

TEST_F(NicSetupTest, TheThresholdIsTouchedOnlyWhereThereIsOne) {
  const auto without = Open({3});
  ASSERT_TRUE(without.ok());
  for (const NicStep& step : (*without)->plan().steps) {
    EXPECT_NE(step.kind, NicStepKind::kHdsThresh);
  }
  nic_->rings.hds_thresh_bytes = 640;
  {
    const auto setup = Applied({3});
    EXPECT_EQ(nic_->rings.hds_thresh_bytes, 0u);
  }
  EXPECT_EQ(nic_->rings.hds_thresh_bytes, 640u);
}

TEST_F(NicSetupTest, ADriverThatCannotStopSplittingIsLeftToItself) {
  nic_->rings.tcp_data_split = DataSplit::kDisabled;
  nic_->refuse = [](const std::string& change) {
    return change == "split disabled" ? EOPNOTSUPP : 0;
  };
  auto setup = Applied({3});
  EXPECT_TRUE(setup->Undo().ok());
  EXPECT_EQ(nic_->log.back(), "split unknown");
}

TEST_F(NicSetupTest, ATableThatSomebodySetKeepsWhatDoesNotLeadToTheQueues) {
  nic_->rss[0].queues = {2, 2, 3, 0, 0, 3, 0, 2};
  {
    const auto setup = Applied({3});
    EXPECT_EQ(nic_->rss[0].queues, (std::vector<uint32_t>{2, 2, 0, 0, 0, 2, 0, 2}));
  }
  EXPECT_EQ(nic_->rss[0].queues, (std::vector<uint32_t>{2, 2, 3, 0, 0, 3, 0, 2}));
}

TEST_F(NicSetupTest, ATableThatSomebodyChangesMeanwhileIsLeftAlone) {
  auto setup = Applied({3});
  nic_->rss[0].queues = {1, 1, 1, 1, 1, 1, 1, 1};
  const absl::Status undone = setup->Undo();
  EXPECT_TRUE(absl::IsAborted(undone)) << undone;
  EXPECT_TRUE(absl::StrContains(undone.message(), "changed by somebody else")) << undone;
  EXPECT_EQ(nic_->rss[0].queues, (std::vector<uint32_t>{1, 1, 1, 1, 1, 1, 1, 1}));
  // The rest is back all the same, and the journal keeps what is not.
  EXPECT_EQ(nic_->rings.tcp_data_split, DataSplit::kUnknown);
  EXPECT_EQ(JournalCount(), 1u);
}

TEST_F(NicSetupTest, SomebodyElsesRulesStay) {
  nic_->features["rx-ntuple-filter"].active = true;
  const absl::StatusOr<NtupleRule> foreign =
      ParseRule("tcp4 dst-ip 198.51.100.9 dst-port 80 action 1 loc 15");
  nic_->rules[15] = *foreign;
  auto setup = Applied({3});
  const absl::StatusOr<uint32_t> location = setup->AddRule(listener_, 3);
  ASSERT_TRUE(location.ok()) << location.status();
  EXPECT_EQ(*location, 14u);
  setup.reset();
  ASSERT_EQ(nic_->rules.size(), 1u);
  EXPECT_TRUE(SameRule(nic_->rules[15], *foreign));
}

TEST_F(NicSetupTest, ARuleThatTookThePlaceOfOursIsNotDeleted) {
  auto setup = Applied({3});
  const absl::StatusOr<uint32_t> location = setup->AddRule(listener_, 3);
  ASSERT_TRUE(location.ok());
  nic_->rules[*location] = *ParseRule("tcp4 dst-ip 203.0.113.1 dst-port 22 action 0 loc 15");
  EXPECT_TRUE(absl::IsAborted(setup->RemoveRule(*location)));
  EXPECT_EQ(nic_->rules.size(), 1u);
  EXPECT_TRUE(absl::IsNotFound(setup->RemoveRule(*location)));
  // Flow steering stays on for it, too: off would delete it.
  EXPECT_TRUE(absl::IsAborted(setup->Undo()));
  EXPECT_EQ(nic_->rules.size(), 1u);
}

TEST_F(NicSetupTest, ARuleIsWidenedUntilTheNicTakesIt) {
  nic_->refuse = [](const std::string& change) {
    return absl::StrContains(change, "src-ip") ? EINVAL : 0;
  };
  auto setup = Applied({3});
  FlowMatch match = listener_;
  match.remote = ParseIpAddress("192.0.2.2");
  match.remote_port = 4000;
  const absl::StatusOr<uint32_t> location = setup->AddRule(match, 3);
  ASSERT_TRUE(location.ok()) << location.status();
  EXPECT_EQ(nic_->rules[*location].match, listener_);
  // A full table is no matter of the match's form: nothing else is tried.
  nic_->refuse = [](const std::string&) { return ENOSPC; };
  nic_->log.clear();
  EXPECT_TRUE(absl::IsResourceExhausted(setup->AddRule(match, 3).status()));
  EXPECT_EQ(nic_->log.size(), 1u);
  nic_->refuse = [](const std::string&) { return 0; };
}

TEST_F(NicSetupTest, ARuleLeadsOnlyToAQueueThatWasSetApart) {
  auto setup = Applied({3});
  EXPECT_TRUE(absl::IsInvalidArgument(setup->AddRule(listener_, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(setup->AddRule({.local_port = 80}, 3).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(setup->BindRx(5, std::array{2u}).status()));
  EXPECT_TRUE(setup->BindRx(5, kQueue3).ok());
}

TEST_F(NicSetupTest, QueuesCanBeAddedLaterAndGoWithTheRest) {
  const std::string before = nic_->Settings();
  {
    const auto setup = Applied({});
    EXPECT_EQ(RssText(nic_->rss[0].queues, 4), "default");
    ASSERT_TRUE(setup->AddQueues(kQueue3).ok());
    ASSERT_TRUE(setup->AddQueues(std::array{2u}).ok());
    EXPECT_EQ(nic_->rss[0].queues, (std::vector<uint32_t>{0, 1, 0, 1, 0, 1, 0, 1}));
    EXPECT_EQ(setup->plan().queues, (std::vector<uint32_t>{2, 3}));
    const std::string with_two = nic_->Settings();
    // Queue 0 cannot be had, and asking for it changes nothing.
    EXPECT_TRUE(absl::IsInvalidArgument(setup->AddQueues(std::array{0u})));
    EXPECT_EQ(nic_->Settings(), with_two);
    EXPECT_TRUE(setup->BindRx(5, kQueue3).ok());
  }
  EXPECT_EQ(nic_->Settings(), before);
}

TEST_F(NicSetupTest, QueuesAreAddedWhileOursAreBound) {
  const auto setup = Applied({3});
  nic_->special_queues[3].dmabuf = 7;
  EXPECT_TRUE(setup->AddQueues(std::array{2u}).ok());
  // A stranger's is still one.
  nic_->special_queues[1].dmabuf = 8;
  EXPECT_TRUE(absl::IsAlreadyExists(setup->AddQueues(std::array{1u})));
}

TEST_F(NicSetupTest, RestoreUndoesWhatACrashLeft) {
  const std::string before = nic_->Settings();
  auto setup = Applied({3});
  ASSERT_TRUE(setup->AddRule(listener_, 3).ok());
  Crash(std::move(setup));
  EXPECT_NE(nic_->Settings(), before);
  const RestoreReport report = Restore();
  EXPECT_EQ(report.undone.size(), 4u);
  EXPECT_TRUE(report.failed.empty());
  EXPECT_EQ(nic_->Settings(), before);
  EXPECT_EQ(JournalCount(), 0u);
}

TEST_F(NicSetupTest, TheNextSetupUndoesWhatACrashLeft) {
  auto crashed = Applied({3});
  ASSERT_TRUE(crashed->AddRule(listener_, 3).ok());
  Crash(std::move(crashed));
  const auto setup = Open({2});
  ASSERT_TRUE(setup.ok()) << setup.status();
  EXPECT_EQ((*setup)->plan().notes.size(), 4u);
  EXPECT_TRUE(nic_->rules.empty());
}

TEST_F(NicSetupTest, RestoreLeavesARunningSetupAlone) {
  const auto setup = Applied({3});
  const std::string with = nic_->Settings();
  const RestoreReport report = Restore();
  EXPECT_EQ(report.in_use.size(), 1u);
  EXPECT_FALSE(report.complete());
  EXPECT_TRUE(report.undone.empty());
  EXPECT_EQ(nic_->Settings(), with);
}

TEST_F(NicSetupTest, WhatIsKeptWaitsForARestoreThatIsAskedFor) {
  const std::string before = nic_->Settings();
  auto setup = Applied({3});
  setup->Keep();
  setup.reset();
  const std::string with = nic_->Settings();
  EXPECT_NE(with, before);
  { const auto other = Applied({3}); }
  EXPECT_EQ(nic_->Settings(), with);
  Restore();
  EXPECT_EQ(nic_->Settings(), before);
}

TEST_F(NicSetupTest, TheLastOfTwoSetupsPutsTheSettingsBack) {
  const std::string before = nic_->Settings();
  auto first = Applied({3});
  auto second = Applied({2});
  first.reset();
  EXPECT_EQ(nic_->rss[0].queues, (std::vector<uint32_t>{0, 1, 0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(nic_->rings.tcp_data_split, DataSplit::kEnabled);
  second.reset();
  EXPECT_EQ(nic_->Settings(), before);
  EXPECT_EQ(JournalCount(), 0u);
}

TEST_F(NicSetupTest, WhatALivingSetupReliesOnIsNotPutBackUnderIt) {
  const std::string before = nic_->Settings();
  auto first = Applied({3});
  auto second = Applied({2});
  first.reset();
  const std::string with = nic_->Settings();
  // The first one's journal is nobody's now, and still holds the settings that the second found.
  const auto third = Open({1});
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_TRUE(Restore().undone.empty());
  EXPECT_EQ(nic_->Settings(), with);
  second.reset();
  EXPECT_EQ(nic_->Settings(), before);
  EXPECT_EQ(JournalCount(), 0u);
}

TEST_F(NicSetupTest, ALineThatACrashToreIsNotTheEndOfTheJournal) {
  auto setup = Applied({3});
  ASSERT_TRUE(setup->AddRule(listener_, 3).ok());
  Crash(std::move(setup));
  const std::string path = ListJournals(folder_).at(0).path;
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  ASSERT_EQ(write(fd, "step\t99\trul", 11), 11);
  close(fd);
  // One step cannot be undone yet: the journal stays, and a second try reads it.
  nic_->refuse = [](const std::string& change) {
    return absl::StrContains(change, "rss") ? EBUSY : 0;
  };
  EXPECT_EQ(Restore().failed.size(), 1u);
  ASSERT_EQ(JournalCount(), 1u);
  nic_->refuse = [](const std::string&) { return 0; };
  EXPECT_EQ(Restore().undone.size(), 1u);
  EXPECT_EQ(JournalCount(), 0u);
}

TEST_F(NicSetupTest, WithoutAJournalNothingIsChanged) {
  NicSetupOptions options = Options({3});
  options.journal_path = "/proc/no/such/place/x.journal";
  const auto setup = Open(options);
  ASSERT_TRUE(setup.ok()) << setup.status();
  EXPECT_FALSE((*setup)->Apply().ok());
  EXPECT_TRUE(nic_->log.empty());
}

}  // namespace
}  // namespace devmem
