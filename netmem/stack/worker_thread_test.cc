// SPDX-License-Identifier: Apache-2.0
//
// The thread of a worker: steps, wake-ups and the end. A wake-up that is lost shows as a test that
// never ends. The worker's NIC is a wire on which nothing arrives.

#include "netmem/stack/worker_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "netmem/nic/wire_link.h"
#include "netmem/spsc_ring.h"
#include "netmem/stack/stack.h"

namespace devmem {
namespace {

// Sums up what comes in through a ring, and says how far it is.
class SummingOwner final : public WorkerThread::Owner {
 public:
  bool AfterRun(Worker&, Nanos) override {
    calls.fetch_add(1);
    bool any = false;
    while (const uint32_t* number = ring.Front()) {
      sum += *number;
      ring.Pop();
      taken.fetch_add(1);
      any = true;
    }
    return any;
  }
  Nanos NextCall(const Worker&, Nanos now) override {
    return ticking.load() ? now + kMillisecond : kNever;
  }

  SpscRing<uint32_t> ring{64};
  uint64_t sum = 0;  // The worker's thread's.
  std::atomic<uint32_t> taken{0};
  std::atomic<uint32_t> calls{0};
  std::atomic<bool> ticking{false};
};

class WorkerThreadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<WireLink>> link = WireLink::Create({});
    ASSERT_TRUE(link.ok()) << link.status();
    link_ = *std::move(link);
    Stack::Config config;
    config.addresses = *Addresses::Create({"192.0.2.1"}, "");
    config.host_bytes_per_queue = kHostBytesPerQueueMin;
    config.tcp.connections_max = 4;
    absl::StatusOr<std::unique_ptr<Stack>> stack = Stack::Create(&link_->a(), config);
    ASSERT_TRUE(stack.ok()) << stack.status();
    stack_ = *std::move(stack);
    absl::StatusOr<std::unique_ptr<WorkerThread>> thread =
        WorkerThread::Create(&stack_->worker(0), &Clock::System(), &owner_);
    ASSERT_TRUE(thread.ok()) << thread.status();
    thread_ = *std::move(thread);
    thread_->Start();
  }

  std::unique_ptr<WireLink> link_;
  std::unique_ptr<Stack> stack_;
  SummingOwner owner_;
  std::unique_ptr<WorkerThread> thread_;
};

TEST_F(WorkerThreadTest, RunsAStepOnItsOwnThreadAndWaitsForIt) {
  std::thread::id ran_on;
  thread_->Run([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_NE(ran_on, std::thread::id());
  EXPECT_NE(ran_on, std::this_thread::get_id());
}

TEST_F(WorkerThreadTest, StepsOfManyThreadsRunOneAtATime) {
  uint64_t count = 0;  // No lock: the worker's thread is the only one that touches it.
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int step = 0; step < 2000; ++step) thread_->Run([&count] { ++count; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(count, 8000u);
}

TEST_F(WorkerThreadTest, APostedStepRunsWithoutItsPosterWaiting) {
  std::atomic<int> ran{0};
  thread_->Post([&] {
    ran.fetch_add(1);
    thread_->Post([&] { ran.fetch_add(1); });  // From its own thread, where Run() would never end.
  });
  while (ran.load() != 2) std::this_thread::yield();
  EXPECT_EQ(ran.load(), 2);
}

TEST_F(WorkerThreadTest, NoWakeUpIsLostHoweverTheRingIsFilled) {
  constexpr uint32_t kRounds = 5'000;
  uint64_t expected = 0;
  for (uint32_t round = 1; round <= kRounds; ++round) {
    ASSERT_TRUE(owner_.ring.TryPush(round));
    expected += round;
    thread_->Wake();
    // The thread falls asleep between most rounds: whoever pushes next must wake it.
    while (owner_.taken.load() != round) std::this_thread::yield();
  }
  thread_->Run([&] { EXPECT_EQ(owner_.sum, expected); });
}

TEST_F(WorkerThreadTest, WakesByItselfWhenItsOwnerWantsToBeCalled) {
  owner_.ticking.store(true);
  thread_->Wake();
  const uint32_t before = owner_.calls.load();
  while (owner_.calls.load() < before + 10) std::this_thread::yield();
  EXPECT_GE(owner_.calls.load(), before + 10);
}

TEST_F(WorkerThreadTest, StopsWhileAsleepAndMayBeWokenAndStoppedAfterwards) {
  thread_->Stop();
  const uint32_t calls = owner_.calls.load();
  thread_->Wake();
  thread_->Stop();
  EXPECT_EQ(owner_.calls.load(), calls);
}

TEST_F(WorkerThreadTest, CountersMayBeReadWhileItRuns) {
  const Worker& worker = stack_->worker(0);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(worker.queue_stats().frames.value(), 0u);
    EXPECT_EQ(worker.stats().arp_in.value(), 0u);
    EXPECT_FALSE(worker.Owns(uint64_t{1} << 48));
    thread_->Wake();
  }
}

}  // namespace
}  // namespace devmem
