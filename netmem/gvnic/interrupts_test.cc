// SPDX-License-Identifier: Apache-2.0
//
// Notification blocks: no event is lost but by a fault, none is told twice.

#include "netmem/gvnic/interrupts.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace devmem {
namespace {

constexpr uint32_t kEnable = 1;
constexpr uint32_t kClearPending = 2;
constexpr uint32_t kBlocks = 4;

class InterruptsTest : public testing::Test {
 protected:
  InterruptsTest() {
    for (int& fd : fds_) fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (uint32_t vector = 0; vector < kBlocks + 1; ++vector) Connect(vector);
  }
  ~InterruptsTest() override {
    for (const int fd : fds_) ::close(fd);
  }

  void Connect(uint32_t vector) { interrupts_.SetVector(vector, UniqueFd(::dup(fds_[vector]))); }
  // How often a vector was signalled since the last question.
  uint64_t Signals(uint32_t vector) {
    uint64_t count = 0;
    return ::read(fds_[vector], &count, sizeof(count)) == sizeof(count) ? count : 0;
  }

  Nanos now_ = 1'000'000;
  int fds_[kBlocks + 1];
  Interrupts interrupts_{kBlocks, [this] { return now_; }};
};

TEST_F(InterruptsTest, AnArmedBlockFiresOnceAndIsDisarmed) {
  interrupts_.Doorbell(1, kEnable);
  EXPECT_EQ(Signals(1), 0u);
  interrupts_.Raise(1);
  interrupts_.Raise(1);
  EXPECT_EQ(Signals(1), 1u);
  EXPECT_EQ(Signals(0), 0u);
}

TEST_F(InterruptsTest, AnEventOfADisarmedBlockFiresWhenItIsArmed) {
  interrupts_.Raise(2);
  interrupts_.Raise(2);
  EXPECT_EQ(Signals(2), 0u);
  interrupts_.Doorbell(2, kEnable);
  EXPECT_EQ(Signals(2), 1u);
  interrupts_.Doorbell(2, kEnable);
  EXPECT_EQ(Signals(2), 0u);
  EXPECT_EQ(interrupts_.stats().coalesced, 2u);
}

TEST_F(InterruptsTest, ADoorbellThatClearsForgetsWhatWasPending) {
  interrupts_.Raise(0);
  interrupts_.Doorbell(0, kClearPending | kEnable);
  EXPECT_EQ(Signals(0), 0u);
  interrupts_.Raise(0);
  EXPECT_EQ(Signals(0), 1u);
}

TEST_F(InterruptsTest, ADoorbellWithoutEnableArmsNothing) {
  interrupts_.Doorbell(0, 3u << 3);
  interrupts_.Raise(0);
  EXPECT_EQ(Signals(0), 0u);
}

TEST_F(InterruptsTest, AnInterruptWaitsForTheVectorToGetItsEventfd) {
  interrupts_.SetVector(3, UniqueFd());
  interrupts_.Doorbell(3, kEnable);
  interrupts_.Raise(3);
  EXPECT_EQ(Signals(3), 0u);
  Connect(3);
  EXPECT_EQ(Signals(3), 1u);
  Connect(3);
  EXPECT_EQ(Signals(3), 0u);
}

TEST_F(InterruptsTest, TheManagementVectorStandsBehindTheBlocksAndNeedsNoArming) {
  interrupts_.RaiseManagement();
  EXPECT_EQ(Signals(kBlocks), 1u);
}

TEST_F(InterruptsTest, ABlockThatDoesNotExistIsCounted) {
  interrupts_.Raise(kBlocks);
  EXPECT_EQ(Signals(kBlocks), 0u);
  EXPECT_EQ(interrupts_.stats().bad_doorbells, 1u);
}

TEST_F(InterruptsTest, AResetForgetsEventsAndWhatIsHeldBack) {
  interrupts_.SetFaults({.delay = 1, .delay_ns = 5});
  interrupts_.Doorbell(0, kEnable);
  interrupts_.Raise(0);
  interrupts_.Raise(1);
  interrupts_.Reset();
  EXPECT_FALSE(interrupts_.NextDue().has_value());
  interrupts_.Doorbell(1, kEnable);
  EXPECT_EQ(Signals(0) + Signals(1), 0u);
}

TEST_F(InterruptsTest, ADroppedInterruptIsGoneAndTheNextOneIsNot) {
  interrupts_.SetFaults({.drop = 1});
  interrupts_.Doorbell(0, kEnable);
  interrupts_.Raise(0);
  EXPECT_EQ(Signals(0), 0u);
  interrupts_.Doorbell(0, kEnable);
  EXPECT_EQ(Signals(0), 0u);
  interrupts_.Raise(0);
  EXPECT_EQ(Signals(0), 1u);
  EXPECT_EQ(interrupts_.stats().dropped, 1u);
}

TEST_F(InterruptsTest, ADelayedInterruptComesAtItsTime) {
  interrupts_.SetFaults({.delay = 1, .delay_ns = 500});
  interrupts_.Doorbell(0, kEnable);
  interrupts_.Raise(0);
  ASSERT_EQ(interrupts_.NextDue(), now_ + 500);
  interrupts_.Advance(now_ + 499);
  EXPECT_EQ(Signals(0), 0u);
  interrupts_.Advance(now_ + 500);
  EXPECT_EQ(Signals(0), 1u);
  EXPECT_FALSE(interrupts_.NextDue().has_value());
}

}  // namespace
}  // namespace devmem
