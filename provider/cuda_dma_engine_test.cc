// SPDX-License-Identifier: Apache-2.0
// Copies into a GPU's memory: what is queued, when a batch counts, what a halt waits for, and that
// staging memory is registered as long as somebody copies from it. Through the fake driver.
#include "provider/cuda_dma_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "provider/attachment.h"
#include "provider/limits.h"
#include "provider/test_cuda.h"

namespace devmem {
namespace {

constexpr uint64_t kRegionBytes = uint64_t{1} << 20;
constexpr uint64_t kStagingBytes = 64 * kSmallPageBytes;

class CudaDmaEngineTest : public CudaTest {
 protected:
  CudaDmaEngineTest()
      : region_(MakeCudaRegion(kRegionBytes)), staging_(MakeStaging(kStagingBytes)) {
    engine_ = MakeEngine();
  }

  std::unique_ptr<DmaEngine> MakeEngine() {
    auto engine = CudaDmaEngine::Create(region_->memory(), region_->life(), *staging_);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return engine.ok() ? *std::move(engine) : nullptr;
  }

  uint64_t Submit(const std::vector<DmaCopy>& copies) { return engine_->Submit(copies); }

  std::unique_ptr<CudaRegion> region_;
  std::unique_ptr<DmaMapping> staging_;
  std::unique_ptr<DmaEngine> engine_;
};

TEST_F(CudaDmaEngineTest, ABatchArrivesWhereItsCopiesSay) {
  EXPECT_EQ(Submit({{.staging_offset = 100, .region_offset = 7, .bytes = 1000},
                    {.staging_offset = 5000, .region_offset = 70000, .bytes = 1}}),
            1u);
  EXPECT_EQ(engine_->Completed(), 1u);
  EXPECT_EQ(Peek(*region_, 7, 1000), StagingBytes(100, 1000));
  EXPECT_EQ(Peek(*region_, 70000, 2), (std::vector<uint8_t>{StagingByte(5000), 0}));
  EXPECT_EQ(Peek(*region_, 0, 7), std::vector<uint8_t>(7, 0));
}

TEST_F(CudaDmaEngineTest, ABatchIsNotCompleteBeforeItsLastCopyIs) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  Submit({{.staging_offset = 0, .region_offset = 0, .bytes = 10},
          {.staging_offset = 100, .region_offset = 100, .bytes = 10}});
  EXPECT_EQ(engine_->Completed(), 0u);
  FakeCuda().run(2);
  EXPECT_EQ(Peek(*region_, 100, 10), StagingBytes(100, 10));
  EXPECT_EQ(engine_->Completed(), 0u);  // Its event is still to come.
  FakeCuda().run(1);
  EXPECT_EQ(engine_->Completed(), 1u);
}

TEST_F(CudaDmaEngineTest, BatchesCompleteInTheirOrder) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  for (uint64_t batch = 1; batch <= 3; ++batch) {
    EXPECT_EQ(Submit({{.staging_offset = batch, .region_offset = batch * 4096, .bytes = 64}}),
              batch);
  }
  FakeCuda().run(3);
  EXPECT_EQ(engine_->Completed(), 1u);
  FakeCuda().run(3);
  EXPECT_EQ(engine_->Completed(), 3u);
}

TEST_F(CudaDmaEngineTest, CopiesGoOnWithoutTheProcessor) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  Submit({{.staging_offset = 0, .region_offset = 0, .bytes = 4096}});
  EXPECT_EQ(FakeCuda().counts().pageable_copies, 0);  // Such would be waited for.
  EXPECT_EQ(Peek(*region_, 0, 4096), std::vector<uint8_t>(4096, 0));
  EXPECT_EQ(FakeCuda().calls("cuStreamSynchronize"), 0);
}

TEST_F(CudaDmaEngineTest, NeighboursOnBothSidesAreOneCopy) {
  Submit({{.staging_offset = 0, .region_offset = 4096, .bytes = 1448},
          {.staging_offset = 1448, .region_offset = 5544, .bytes = 1448},
          {.staging_offset = 2896, .region_offset = 6992, .bytes = 100},
          {.staging_offset = 2996, .region_offset = 20000, .bytes = 100},
          {.staging_offset = 8192, .region_offset = 20100, .bytes = 100}});
  EXPECT_EQ(FakeCuda().counts().copies, 3);
  EXPECT_TRUE(engine_->Fence());
  EXPECT_EQ(Peek(*region_, 4096, 2996), StagingBytes(0, 2996));
  EXPECT_EQ(Peek(*region_, 20100, 100), StagingBytes(8192, 100));
}

TEST_F(CudaDmaEngineTest, AnEmptyBatchCompletes) {
  EXPECT_EQ(Submit({}), 1u);
  EXPECT_EQ(Submit({{.staging_offset = 3, .region_offset = 3, .bytes = 0}}), 2u);
  EXPECT_EQ(engine_->Completed(), 2u);
  EXPECT_EQ(FakeCuda().counts().copies, 0);
}

TEST_F(CudaDmaEngineTest, ItIsFullWithTheMostBatchesAndHasRoomWhenOneCompletes) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  for (uint32_t batch = 0; batch < kDmaBatchesMax; ++batch) {
    EXPECT_FALSE(engine_->full());
    Submit({{.staging_offset = batch, .region_offset = batch, .bytes = 1}});
  }
  EXPECT_TRUE(engine_->full());
  FakeCuda().run(2);
  engine_->Completed();
  EXPECT_FALSE(engine_->full());
}

// Many times around the ring of events, with a device that lags behind.
TEST_F(CudaDmaEngineTest, EventsAreUsedAgainWithoutMixingBatches) {
  FakeCuda().set_pace(FakeCudaPace::kStep);
  uint64_t submitted = 0;
  while (submitted < 10 * kDmaBatchesMax) {
    const uint64_t complete = engine_->Completed();
    for (uint64_t batch = 1; batch <= complete; ++batch) {
      ASSERT_EQ(Peek(*region_, batch * 8, 8), StagingBytes(batch * 8, 8)) << batch;
    }
    if (engine_->full()) continue;
    ++submitted;
    ASSERT_EQ(
        Submit({{.staging_offset = submitted * 8, .region_offset = submitted * 8, .bytes = 8}}),
        submitted);
  }
  EXPECT_TRUE(engine_->Fence());
  EXPECT_EQ(engine_->Completed(), submitted);
}

TEST_F(CudaDmaEngineTest, AFenceWaitsForEverything) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  Submit({{.staging_offset = 0, .region_offset = 0, .bytes = 64}});
  Submit({{.staging_offset = 64, .region_offset = 64, .bytes = 64}});
  EXPECT_TRUE(engine_->Fence());
  EXPECT_EQ(engine_->Completed(), 2u);
  EXPECT_EQ(Peek(*region_, 0, 128), StagingBytes(0, 128));
}

TEST_F(CudaDmaEngineTest, ReadBackSeesWhatWasSubmittedBefore) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  Submit({{.staging_offset = 512, .region_offset = 4096, .bytes = 300}});
  std::vector<uint8_t> found(300);
  EXPECT_TRUE(engine_->ReadBack(4096, found));
  EXPECT_EQ(found, StagingBytes(512, 300));
  EXPECT_TRUE(engine_->ReadBack(kRegionBytes, {}));
}

TEST_F(CudaDmaEngineTest, AfterAHaltNothingIsOnItsWayAndNothingStarts) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  Submit({{.staging_offset = 0, .region_offset = 0, .bytes = 64}});
  engine_->Halt();
  EXPECT_TRUE(engine_->lost());
  EXPECT_EQ(Peek(*region_, 0, 64), StagingBytes(0, 64));
  const int copies = FakeCuda().counts().copies;
  EXPECT_EQ(Submit({{.staging_offset = 64, .region_offset = 64, .bytes = 64}}), 0u);
  std::vector<uint8_t> found(8);
  EXPECT_FALSE(engine_->ReadBack(0, found));
  EXPECT_EQ(FakeCuda().counts().copies, copies);
  EXPECT_EQ(engine_->Completed(), 1u);
  engine_->Halt();  // As often as somebody asks.
}

// A thread submits as fast as it can while another one halts: whatever the moment, the device is
// idle when the halt returns, and stays so.
TEST_F(CudaDmaEngineTest, AHaltStopsAThreadThatSubmits) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  for (int round = 0; round < 200; ++round) {
    const auto engine = MakeEngine();
    std::atomic<int> passed{0};
    std::thread nic([&] {
      const DmaCopy copy = {.staging_offset = 0, .region_offset = 0, .bytes = 16};
      while (!engine->full() && engine->Submit({&copy, 1}) != 0) ++passed;
    });
    while (round % 2 == 0 && passed == 0) std::this_thread::yield();
    engine->Halt();
    const int copies = FakeCuda().counts().copies;
    FakeCuda().run(1);
    nic.join();
    ASSERT_EQ(FakeCuda().counts().copies, copies);
    ASSERT_TRUE(engine->Fence());
    ASSERT_EQ(engine->Completed(), static_cast<uint64_t>(passed));
  }
}

TEST_F(CudaDmaEngineTest, EnginesOfOneStagingMemoryShareItsRegistration) {
  auto second = MakeEngine();
  EXPECT_EQ(FakeCuda().counts().host_ranges, 1);
  EXPECT_EQ(FakeCuda().calls("cuMemHostRegister"), 1);
  engine_.reset();
  EXPECT_EQ(FakeCuda().counts().host_ranges, 1);
  const DmaCopy copy = {.staging_offset = 1, .region_offset = 1, .bytes = 9};
  second->Submit({&copy, 1});
  EXPECT_EQ(FakeCuda().counts().pageable_copies, 0);
  second.reset();
  EXPECT_EQ(FakeCuda().counts().host_ranges, 0);
}

TEST_F(CudaDmaEngineTest, StagingMemoryThatTheApplicationRegisteredStaysRegistered) {
  engine_.reset();
  FakeCuda().fail("cuMemHostRegister", CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, 0);
  engine_ = MakeEngine();
  engine_.reset();
  EXPECT_EQ(FakeCuda().calls("cuMemHostUnregister"), 1);  // That of the first engine.
}

TEST_F(CudaDmaEngineTest, AnEngineThatCannotBeMadeLeavesNothing) {
  engine_.reset();
  for (const char* const call : {"cuMemHostRegister", "cuStreamCreate", "cuEventCreate"}) {
    for (const int passing : {0, 1}) {
      FakeCuda().fail(call, CUDA_ERROR_OUT_OF_MEMORY, passing);
      const auto engine = CudaDmaEngine::Create(region_->memory(), region_->life(), *staging_);
      if (engine.ok()) continue;  // It is called once only.
      EXPECT_EQ(engine.status().code(), absl::StatusCode::kResourceExhausted) << call;
      const FakeCudaCounts counts = FakeCuda().counts();
      EXPECT_EQ(counts.streams + counts.events + counts.host_ranges, 0) << call;
    }
    FakeCuda().fail(call, CUDA_SUCCESS, 0);
  }
  EXPECT_TRUE(region_->status().ok());
}

TEST_F(CudaDmaEngineTest, TheMemoryOutlivesTheRegionWhileAnEngineCopies) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  Submit({{.staging_offset = 0, .region_offset = 0, .bytes = 64}});
  region_.reset();
  EXPECT_EQ(FakeCuda().counts().mappings, 1);
  EXPECT_TRUE(engine_->Fence());
  engine_.reset();
  EXPECT_EQ(FakeCuda().counts().mappings, 0);
}

TEST_F(CudaDmaEngineTest, TheEndOfAnEngineWaitsForItsCopies) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  Submit({{.staging_offset = 0, .region_offset = 0, .bytes = 64}});
  engine_.reset();
  EXPECT_EQ(Peek(*region_, 0, 64), StagingBytes(0, 64));
}

TEST_F(CudaDmaEngineTest, TheThreadsOwnContextStaysCurrent) {
  CUcontext mine = nullptr;
  ASSERT_EQ(api().DevicePrimaryCtxRetain(&mine, 100), CUDA_SUCCESS);
  ASSERT_EQ(api().CtxPushCurrent(mine), CUDA_SUCCESS);
  Submit({{.staging_offset = 0, .region_offset = 0, .bytes = 64}});
  engine_->Completed();
  engine_->Fence();
  EXPECT_EQ(FakeCuda().counts().current, 1);
  CUcontext popped = nullptr;
  ASSERT_EQ(api().CtxPopCurrent(&popped), CUDA_SUCCESS);
  EXPECT_EQ(popped, mine);
  ASSERT_EQ(api().DevicePrimaryCtxRelease(100), CUDA_SUCCESS);
}

}  // namespace
}  // namespace devmem
