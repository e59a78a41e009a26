// SPDX-License-Identifier: Apache-2.0
// Whether a GPU has finished, as a fence asks it. Through the fake driver.
#include "provider/cuda_fence.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "provider/limits.h"
#include "provider/memfd_provider.h"
#include "provider/test_cuda.h"

namespace devmem {
namespace {

constexpr uint64_t kRegionBytes = uint64_t{1} << 20;

class CudaFenceTest : public CudaTest {
 protected:
  CudaFenceTest() : region_(MakeCudaRegion(kRegionBytes)) {
    CUcontext context = nullptr;
    EXPECT_EQ(api().DevicePrimaryCtxRetain(&context, 100), CUDA_SUCCESS);
    EXPECT_EQ(api().CtxPushCurrent(context), CUDA_SUCCESS);
    EXPECT_EQ(api().StreamCreate(&stream_, 0), CUDA_SUCCESS);
  }
  ~CudaFenceTest() override {
    CUcontext context = nullptr;
    (void)api().StreamDestroy(stream_);
    (void)api().CtxPopCurrent(&context);
    (void)api().DevicePrimaryCtxRelease(100);
  }

  CudaEventDone Record() {
    auto done = CudaEventDone::Record(*region_, stream_);
    EXPECT_TRUE(done.ok()) << done.status();
    return *done;
  }

  std::unique_ptr<CudaRegion> region_;
  CUstream stream_ = nullptr;  // The application's.
};

TEST_F(CudaFenceTest, AnEventSignalsWhenTheWorkBeforeItIsDone) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  const std::function<bool()> done = Record();  // As Fence::FromCallback() takes it.
  EXPECT_FALSE(done());
  FakeCuda().run(1);
  EXPECT_TRUE(done());
}

TEST_F(CudaFenceTest, TheEventGoesWithTheLastCopy) {
  std::optional<CudaEventDone> done = Record();
  std::optional<CudaEventDone> copy = done;
  done.reset();
  EXPECT_EQ(FakeCuda().counts().events, 1);
  EXPECT_TRUE((*copy)());
  copy.reset();
  EXPECT_EQ(FakeCuda().counts().events, 0);
}

TEST_F(CudaFenceTest, OnceSignaledTheDriverIsNotAskedAgain) {
  const CudaEventDone done = Record();
  EXPECT_TRUE(done());
  const int asked = FakeCuda().calls("cuEventQuery");
  EXPECT_TRUE(done());
  EXPECT_EQ(FakeCuda().calls("cuEventQuery"), asked);
}

TEST_F(CudaFenceTest, AnApplicationsEventIsAdopted) {
  CUevent event = nullptr;
  ASSERT_EQ(api().EventCreate(&event, kCuEventDisableTiming), CUDA_SUCCESS);
  ASSERT_EQ(api().EventRecord(event, stream_), CUDA_SUCCESS);
  const auto done = CudaEventDone::Adopt(*region_, event);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE((*done)());
}

TEST_F(CudaFenceTest, ALostDeviceCountsAsSignaledAndRevokesTheRegion) {
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  const CudaEventDone done = Record();
  FakeCuda().lose(0, CUDA_ERROR_ECC_UNCORRECTABLE);
  EXPECT_TRUE(done());
  EXPECT_TRUE(
      absl::StrContains(region_->status().message(), "device lost: CUDA_ERROR_ECC_UNCORRECTABLE"));
}

TEST_F(CudaFenceTest, AnEventThatCannotBeAskedRevokesTheRegion) {
  const CudaEventDone done = Record();
  FakeCuda().fail("cuEventQuery", CUDA_ERROR_INVALID_HANDLE, 0);
  EXPECT_TRUE(done());
  EXPECT_EQ(region_->status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(
      absl::StrContains(region_->status().message(), "a fence failed: CUDA_ERROR_INVALID_HANDLE"));
}

TEST_F(CudaFenceTest, ARegionOfOtherMemoryIsRefused) {
  const auto host = MemfdProvider().Allocate({.bytes = kSmallPageBytes});
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_EQ(CudaEventDone::Record(**host, stream_).status().code(),
            absl::StatusCode::kFailedPrecondition);
  region_->Revoke("wanted elsewhere");
  EXPECT_EQ(CudaEventDone::Record(*region_, stream_).status().code(), absl::StatusCode::kAborted);
}

TEST_F(CudaFenceTest, ADriverThatMakesNoEventIsSaid) {
  FakeCuda().fail("cuEventCreate", CUDA_ERROR_OUT_OF_MEMORY, 0);
  EXPECT_EQ(CudaEventDone::Record(*region_, stream_).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace devmem
