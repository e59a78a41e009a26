// SPDX-License-Identifier: Apache-2.0
//
// Run files of held bindings: written, read back, told apart from what a crash left behind, and the
// end of a holder.

#include "tools/queue_holder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "uapi/stats_owner.h"

namespace devmem {
namespace {

namespace fs = std::filesystem;

class QueueHolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "devmem-holders-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  static QueueHolder Holder(uint32_t binding) {
    return {.binding = binding,
            .device = "eth1",
            .queues = {2, 3},
            .provider = "udmabuf",
            .bytes = 16u << 20};
  }

  std::string folder_;
};

TEST_F(QueueHolderTest, WhatWasWrittenIsReadBack) {
  const std::string inner = folder_ + "/new/one";
  ASSERT_TRUE(WriteHolder(inner, Holder(5)).ok());
  const absl::StatusOr<QueueHolder> read = ReadHolder(inner, 5);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->pid, getpid());
  EXPECT_EQ(read->start_ticks, StartTicks(getpid()));
  EXPECT_EQ(read->device, "eth1");
  EXPECT_EQ(read->queues, (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(read->provider, "udmabuf");
  EXPECT_EQ(read->bytes, 16u << 20);
  RemoveHolder(inner, 5);
  EXPECT_TRUE(absl::IsNotFound(ReadHolder(inner, 5).status()));
}

TEST_F(QueueHolderTest, ABindingThatNobodyHoldsIsRefusedWithThoseThatAreHeld) {
  ASSERT_TRUE(WriteHolder(folder_, Holder(12)).ok());
  ASSERT_TRUE(WriteHolder(folder_, Holder(3)).ok());
  const absl::Status status = ReadHolder(folder_, 7).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_NE(status.message().find("there are 3, 12"), absl::string_view::npos) << status;
}

TEST_F(QueueHolderTest, AFileOfSomebodyElseIsNoRecord) {
  std::ofstream(folder_ + "/binding-4") << "binding 4\npid 1\nstart 0\nbytes 0\n";
  EXPECT_TRUE(absl::IsDataLoss(ReadHolder(folder_, 4).status()));
  EXPECT_TRUE(ListHolders(folder_).empty());
}

TEST_F(QueueHolderTest, AFolderThatCannotBeWrittenIsNamed) {
  std::ofstream(folder_ + "/file") << "";
  const absl::Status status = WriteHolder(folder_ + "/file", Holder(5));
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(status.message().find("DEVMEMCTL_RUN_DIR"), absl::string_view::npos) << status;
}

TEST_F(QueueHolderTest, TheHolderIsAskedToEndAndWaitedFor) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    while (true) pause();
  }
  QueueHolder holder = Holder(5);
  holder.pid = child;
  holder.start_ticks = StartTicks(child);
  EXPECT_TRUE(EndHolder(holder).ok());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_TRUE(absl::IsNotFound(EndHolder(holder)));
}

// A number that another process got meanwhile must not cost that process its life.
TEST_F(QueueHolderTest, AStrangerWithTheSameNumberIsLeftAlone) {
  QueueHolder holder = Holder(5);
  holder.pid = getpid();
  holder.start_ticks = StartTicks(getpid()) + 1;
  EXPECT_TRUE(absl::IsNotFound(EndHolder(holder)));
}

}  // namespace
}  // namespace devmem
