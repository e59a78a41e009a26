// SPDX-License-Identifier: Apache-2.0
//
// The event loop: callbacks that change what is watched, points in time, and its end.

#include "netmem/gvnic/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace devmem {
namespace {

class EventLoopTest : public testing::Test {
 protected:
  UniqueFd Signalled() { return UniqueFd(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)); }

  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
};

TEST_F(EventLoopTest, ACallbackRunsWhileItsEventHoldsAndNotAfterUnwatch) {
  const UniqueFd event = Signalled();
  int calls = 0;
  ASSERT_TRUE(loop_->Watch(event.get(), EPOLLIN, [&](uint32_t) { ++calls; }).ok());
  ASSERT_TRUE(loop_->RunOnce(0).ok());
  ASSERT_TRUE(loop_->RunOnce(0).ok());
  EXPECT_EQ(calls, 2);
  loop_->Unwatch(event.get());
  ASSERT_TRUE(loop_->RunOnce(0).ok());
  EXPECT_EQ(calls, 2);
}

TEST_F(EventLoopTest, ACallbackMayUnwatchItselfAndTheOneWhoseTurnIsNext) {
  const UniqueFd first = Signalled();
  const UniqueFd second = Signalled();
  int calls = 0;
  const auto both = [&](uint32_t) {
    ++calls;
    loop_->Unwatch(first.get());
    loop_->Unwatch(second.get());
  };
  ASSERT_TRUE(loop_->Watch(first.get(), EPOLLIN, both).ok());
  ASSERT_TRUE(loop_->Watch(second.get(), EPOLLIN, both).ok());
  ASSERT_TRUE(loop_->RunOnce(0).ok());
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, ADescriptorsNumberInItsNextUseDoesNotGetTheOldEvent) {
  UniqueFd first = Signalled();
  UniqueFd second = Signalled();
  int wrong = 0;
  UniqueFd* to_replace = nullptr;
  const auto replace = [&](uint32_t) {
    if (to_replace != nullptr) return;
    to_replace = &first;
    for (UniqueFd* fd : {&first, &second}) {
      loop_->Unwatch(fd->get());
      fd->Reset();
      // The lowest free number is the one that was just closed.
      fd->Reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
      ASSERT_TRUE(loop_->Watch(fd->get(), EPOLLIN, [&](uint32_t) { ++wrong; }).ok());
    }
  };
  ASSERT_TRUE(loop_->Watch(first.get(), EPOLLIN, replace).ok());
  ASSERT_TRUE(loop_->Watch(second.get(), EPOLLIN, replace).ok());
  ASSERT_TRUE(loop_->RunOnce(0).ok());
  EXPECT_EQ(wrong, 0);
}

TEST_F(EventLoopTest, WhatIsDueIsDoneAndWakesTheLoop) {
  std::optional<Nanos> due = EventLoop::Now() + 1'000'000;
  loop_->AddTimed({.next_due = [&] { return due; },
                   .advance =
                       [&](Nanos now) {
                         if (due && *due <= now) due.reset();
                       }});
  while (due) ASSERT_TRUE(loop_->RunOnce(-1).ok());
}

TEST_F(EventLoopTest, RunEndsWhenACallbackSaysSoAndEveryRoundIsFollowedUp) {
  const UniqueFd event = Signalled();
  int rounds = 0;
  loop_->AddAfterRound([&] { ++rounds; });
  ASSERT_TRUE(loop_
                  ->Watch(event.get(), EPOLLIN,
                          [&](uint32_t) {
                            if (rounds == 3) loop_->Stop();
                          })
                  .ok());
  ASSERT_TRUE(loop_->Run().ok());
  EXPECT_EQ(rounds, 4);
}

}  // namespace
}  // namespace devmem
