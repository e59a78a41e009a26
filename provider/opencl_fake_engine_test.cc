// SPDX-License-Identifier: Apache-2.0
// The DMA engine of the opencl provider on a device whose copies wait until told, or fail: what
// counts as complete, what a revoke waits for, and what becomes of a region whose device is lost.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "provider/fake_opencl.h"
#include "provider/limits.h"
#include "provider/test_opencl.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 64 << 10;
constexpr DmaCopy kCopy{0, 0, 100};

class FakeOpenClEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fake_.Reset();
    test_ = std::make_unique<TestOpenCl>(&provider_, kBytes, kBytes);
    ASSERT_NE(test_->engine, nullptr);
    engine_ = test_->engine;
    fake_.writes = 0;
  }
  void TearDown() override {
    fake_.LetGo();
    test_.reset();
    fake_.Reset();
    EXPECT_EQ(fake_.objects, 0) << "something of OpenCL was not given back";
  }

  void ExpectLost() {
    EXPECT_TRUE(engine_->lost());
    const absl::Status status = test_->region->status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_TRUE(absl::StrContains(status.message(), "device lost: Fake Platform, fake")) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "CL_")) << status;
    EXPECT_EQ(engine_->Submit({&kCopy, 1}), 0u);
  }

  FakeOpenCl& fake_ = FakeOpenCl::Get();
  OpenClProvider provider_{FakeOpenCl::LibraryPath()};
  std::unique_ptr<TestOpenCl> test_;
  DmaEngine* engine_ = nullptr;
};

TEST_F(FakeOpenClEngineTest, ABatchIsCompleteWhenItsLastCopyIsAndNotBefore) {
  fake_.held = true;
  const std::vector<DmaCopy> copies = {{0, 0, 10}, {100, 500, 10}, {300, 200, 10}};
  EXPECT_EQ(engine_->Submit(copies), 1u);
  EXPECT_EQ(engine_->Submit({&kCopy, 1}), 2u);
  for (int copy = 0; copy < 2; ++copy) {
    fake_.LetOneGo();
    EXPECT_EQ(engine_->Completed(), 0u);
  }
  fake_.LetOneGo();
  EXPECT_EQ(engine_->Completed(), 1u);
  fake_.LetOneGo();
  EXPECT_EQ(engine_->Completed(), 2u);
}

// Asking for a status makes nothing visible to other queues; a wait does.
TEST_F(FakeOpenClEngineTest, EachCompleteBatchIsWaitedForOnce) {
  const uint64_t before = fake_.event_waits;
  engine_->Submit({&kCopy, 1});
  engine_->Submit({&kCopy, 1});
  EXPECT_EQ(engine_->Completed(), 2u);
  engine_->Completed();
  EXPECT_EQ(fake_.event_waits, before + 2);
}

TEST_F(FakeOpenClEngineTest, CopiesThatGoOnInBothMemoriesAreOne) {
  const std::vector<DmaCopy> copies = {
      {0, 1000, 10},  {10, 1010, 20}, {30, 1030, 0}, {30, 1030, 5},  // One,
      {35, 2000, 10},                                                // elsewhere in the region,
      {50, 2010, 10},                                                // and in the staging memory.
  };
  EXPECT_EQ(engine_->Submit(copies), 1u);
  EXPECT_EQ(fake_.writes, 3u);
  EXPECT_EQ(fake_.bytes_written, 55u);
}

TEST_F(FakeOpenClEngineTest, TheEngineIsFullAtItsBoundAndRefusesNothingBefore) {
  fake_.held = true;
  for (uint32_t batch = 1; batch <= kDmaBatchesMax; ++batch) {
    EXPECT_FALSE(engine_->full());
    EXPECT_EQ(engine_->Submit({&kCopy, 1}), batch);
  }
  EXPECT_TRUE(engine_->full());
  fake_.LetOneGo();
  EXPECT_TRUE(engine_->full());  // Nobody asked yet.
  engine_->Completed();
  EXPECT_FALSE(engine_->full());
}

TEST_F(FakeOpenClEngineTest, ACopyThatFailsLosesTheDeviceWhereverItStandsInItsBatch) {
  const std::vector<DmaCopy> copies = {{0, 0, 10}, {100, 500, 10}, {300, 200, 10}};
  for (uint64_t bad = 1; bad <= 3; ++bad) {
    test_ = std::make_unique<TestOpenCl>(&provider_, kBytes, kBytes);
    engine_ = test_->engine;
    fake_.writes = 0;
    fake_.fail_write = bad;
    EXPECT_EQ(engine_->Submit(copies), 1u);
    EXPECT_EQ(engine_->Completed(), 0u) << "copy " << bad;
    ExpectLost();
  }
}

TEST_F(FakeOpenClEngineTest, BatchesBeforeTheOneThatFailsAreComplete) {
  fake_.fail_write = 2;
  engine_->Submit({&kCopy, 1});
  engine_->Submit({&kCopy, 1});
  engine_->Submit({&kCopy, 1});
  EXPECT_EQ(engine_->Completed(), 1u);
  ExpectLost();
  EXPECT_FALSE(engine_->Fence());
}

TEST_F(FakeOpenClEngineTest, ACallThatTheDriverRefusesLosesTheDevice) {
  fake_.write_error = kClInvalidContext;
  EXPECT_EQ(engine_->Submit({&kCopy, 1}), 0u);
  ExpectLost();
}

TEST_F(FakeOpenClEngineTest, AFenceFindsALostDeviceToo) {
  fake_.fail_write = 1;
  engine_->Submit({&kCopy, 1});
  EXPECT_FALSE(engine_->Fence());
  ExpectLost();
}

TEST_F(FakeOpenClEngineTest, TheNextRegionOfALostDeviceHasAContextOfItsOwn) {
  EXPECT_EQ(fake_.contexts_made, 1);
  EXPECT_TRUE(provider_.Allocate({.bytes = kBytes}).ok());
  EXPECT_EQ(fake_.contexts_made, 1);
  fake_.write_error = kClInvalidContext;
  engine_->Submit({&kCopy, 1});
  fake_.write_error = 0;
  EXPECT_TRUE(provider_.Allocate({.bytes = kBytes}).ok());
  EXPECT_EQ(fake_.contexts_made, 2);
}

TEST_F(FakeOpenClEngineTest, ARevokeWaitsForWhatIsOnItsWayAndLetsNothingFollow) {
  fake_.held = true;
  engine_->Submit({&kCopy, 1});
  std::atomic<bool> revoked{false};
  std::thread exporter([&] {
    test_->region->Revoke("its owner needs it");
    revoked = true;
  });
  fake_.AwaitWaiters(1);
  EXPECT_FALSE(revoked);
  EXPECT_EQ(engine_->Submit({&kCopy, 1}), 0u);
  EXPECT_EQ(fake_.writes, 1u);
  fake_.LetGo();
  exporter.join();
  EXPECT_EQ(engine_->Completed(), 0u);  // Nobody may be told that it landed.
  EXPECT_FALSE(engine_->Fence());
  EXPECT_TRUE(absl::StrContains(test_->region->status().message(), "its owner needs it"));
}

// The queue's thread is inside of the driver when the revoke comes.
TEST_F(FakeOpenClEngineTest, ARevokeLetsAReadThatIsUnderWayEnd) {
  fake_.held = true;
  engine_->Submit({&kCopy, 1});
  std::vector<uint8_t> bytes(100);
  bool read = false;
  std::thread nic([&] { read = engine_->ReadBack(0, bytes); });
  fake_.AwaitWaiters(1);
  std::thread exporter([&] { test_->region->Revoke("its owner needs it"); });
  fake_.LetGo();
  nic.join();
  exporter.join();
  EXPECT_TRUE(read);
  EXPECT_FALSE(engine_->ReadBack(0, bytes));
}

// One thread finds the device lost, which revokes; another revokes at the same moment, and waits
// under the region's lock for the copies of the first. Neither may wait for the other for ever.
TEST_F(FakeOpenClEngineTest, ALostDeviceAndARevokeAtOnceDoNotWaitForEachOther) {
  for (int round = 0; round < 50; ++round) {
    test_ = std::make_unique<TestOpenCl>(&provider_, kBytes, kBytes);
    engine_ = test_->engine;
    fake_.writes = 0;
    fake_.fail_write = 1;
    fake_.held = round % 2 == 0;
    engine_->Submit({&kCopy, 1});
    std::thread exporter([&] { test_->region->Revoke("its owner needs it"); });
    std::thread nic([&] {
      while (!engine_->lost()) engine_->Completed();
      engine_->Completed();
    });
    if (fake_.held) fake_.AwaitWaiters(1);
    fake_.LetGo();
    exporter.join();
    nic.join();
    EXPECT_EQ(test_->region->status().code(), absl::StatusCode::kAborted);
    EXPECT_TRUE(test_->attachment->revoked());
  }
}

TEST_F(FakeOpenClEngineTest, ALostDeviceHaltsEveryEngineOfItsRegion) {
  TestStaging staging(kBytes);
  const auto other = test_->attachment->CreateEngine(*test_->region, staging.mapping());
  ASSERT_TRUE(other.ok()) << other.status();
  fake_.fail_write = 1;
  engine_->Submit({&kCopy, 1});
  engine_->Completed();
  EXPECT_TRUE((*other)->lost());
  EXPECT_EQ((*other)->Submit({&kCopy, 1}), 0u);
}

TEST_F(FakeOpenClEngineTest, AnEngineThatEndsWaitsForItsCopies) {
  fake_.held = true;
  engine_->Submit({&kCopy, 1});
  std::atomic<bool> ended{false};
  std::thread control([&] {
    test_->attachment->EndEngine(engine_);
    ended = true;
  });
  fake_.AwaitWaiters(1);
  EXPECT_FALSE(ended);
  EXPECT_EQ(fake_.bytes_written, 0u);
  fake_.LetGo();
  control.join();
  EXPECT_EQ(fake_.bytes_written, 100u);
}

}  // namespace
}  // namespace devmem
