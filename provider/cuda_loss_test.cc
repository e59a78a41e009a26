// SPDX-License-Identifier: Apache-2.0
// A GPU that fails or goes while it is in use: who learns it, in which words, and that neither
// locks nor memory are left behind. Through the fake driver.
#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "provider/attachment.h"
#include "provider/limits.h"
#include "provider/test_cuda.h"

namespace devmem {
namespace {

constexpr uint64_t kRegionBytes = uint64_t{1} << 20;

// A region that a NIC is attached to, with one engine.
struct Bound {
  std::unique_ptr<CudaRegion> region;
  std::unique_ptr<Attachment> attachment;
  DmaEngine* engine = nullptr;
  int events = 0;
};

class CudaLossTest : public CudaTest {
 protected:
  CudaLossTest() : staging_(MakeStaging(16 * kSmallPageBytes)) {}

  std::unique_ptr<Bound> Bind(const std::string& device) {
    auto bound = std::make_unique<Bound>();
    bound->region = MakeCudaRegion({.bytes = kRegionBytes, .device = device});
    auto attachment = Attachment::Create(
        *bound->region, {.name = "dm0", .on_event = [to = bound.get()] { ++to->events; }});
    EXPECT_TRUE(attachment.ok()) << attachment.status();
    bound->attachment = *std::move(attachment);
    const auto engine = bound->attachment->CreateEngine(*bound->region, *staging_);
    EXPECT_TRUE(engine.ok()) << engine.status();
    bound->engine = *engine;
    return bound;
  }

  static uint64_t SubmitOne(Bound& bound) {
    const DmaCopy copy = {.staging_offset = 0, .region_offset = 0, .bytes = 512};
    return bound.engine->Submit({&copy, 1});
  }

  std::unique_ptr<DmaMapping> staging_;
};

void ExpectLost(const Bound& bound, const std::string& reason) {
  const absl::Status status = bound.region->status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(absl::StrContains(status.message(), "was revoked by its exporter: " + reason))
      << status;
  EXPECT_TRUE(bound.attachment->revoked());
  EXPECT_TRUE(bound.engine->lost());
  EXPECT_EQ(bound.events, 1);
}

TEST_F(CudaLossTest, ADeviceLostInMidCopyRevokesTheRegionWithTheReason) {
  const auto bound = Bind("");
  const auto event_fd = bound->region->event_fd();
  ASSERT_TRUE(event_fd.ok()) << event_fd.status();
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  EXPECT_EQ(SubmitOne(*bound), 1u);
  EXPECT_EQ(bound->engine->Completed(), 0u);
  EXPECT_TRUE(bound->region->status().ok());
  FakeCuda().lose(0, CUDA_ERROR_ECC_UNCORRECTABLE);
  EXPECT_EQ(bound->engine->Completed(), 0u);
  ExpectLost(*bound, "device lost: CUDA_ERROR_ECC_UNCORRECTABLE (memory has decayed)");
  pollfd polled = {*event_fd, POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 0), 1);
  EXPECT_EQ(SubmitOne(*bound), 0u);
  EXPECT_FALSE(bound->engine->Fence());
}

TEST_F(CudaLossTest, EachCallOfAnEngineNoticesTheLoss) {
  const auto submit = Bind("");
  FakeCuda().fail("cuMemcpyHtoDAsync", CUDA_ERROR_ILLEGAL_ADDRESS, 0);
  EXPECT_EQ(SubmitOne(*submit), 0u);
  ExpectLost(*submit, "device lost: CUDA_ERROR_ILLEGAL_ADDRESS (a stray access)");
}

TEST_F(CudaLossTest, AFenceNoticesTheLoss) {
  const auto bound = Bind("");
  SubmitOne(*bound);
  FakeCuda().fail("cuStreamSynchronize", CUDA_ERROR_ILLEGAL_ADDRESS, 0);
  EXPECT_FALSE(bound->engine->Fence());
  ExpectLost(*bound, "device lost: CUDA_ERROR_ILLEGAL_ADDRESS");
}

TEST_F(CudaLossTest, AReadBackNoticesTheLoss) {
  const auto bound = Bind("");
  FakeCuda().fail("cuMemcpyDtoHAsync", CUDA_ERROR_ILLEGAL_ADDRESS, 0);
  std::vector<uint8_t> found(8);
  EXPECT_FALSE(bound->engine->ReadBack(0, found));
  ExpectLost(*bound, "device lost: CUDA_ERROR_ILLEGAL_ADDRESS");
}

TEST_F(CudaLossTest, AnErrorOfOneCopyTakesItsRegionAndNoOther) {
  const auto bound = Bind("");
  const auto other = Bind("");
  FakeCuda().fail("cuEventRecord", CUDA_ERROR_INVALID_HANDLE, 0);
  EXPECT_EQ(SubmitOne(*bound), 0u);
  ExpectLost(*bound, "a copy failed: CUDA_ERROR_INVALID_HANDLE (nothing of that name)");
  EXPECT_TRUE(other->region->status().ok());
  EXPECT_EQ(SubmitOne(*other), 1u);
  EXPECT_TRUE(other->engine->Fence());
}

// The first copy was queued before the second one failed: it is over when the region is revoked.
TEST_F(CudaLossTest, WhatWasQueuedBeforeAnErrorIsWaitedFor) {
  const auto bound = Bind("");
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  FakeCuda().fail("cuMemcpyHtoDAsync", CUDA_ERROR_INVALID_VALUE, 1);
  const std::vector<DmaCopy> copies = {{.staging_offset = 0, .region_offset = 0, .bytes = 64},
                                       {.staging_offset = 0, .region_offset = 4096, .bytes = 64}};
  EXPECT_EQ(bound->engine->Submit(copies), 0u);
  EXPECT_EQ(Peek(*bound->region, 0, 64), StagingBytes(0, 64));
}

TEST_F(CudaLossTest, ALostDeviceTakesAllItsRegionsAndThoseOfNoOther) {
  FakeCuda().reset(2);
  const auto first = Bind("0");
  const auto second = Bind("0");
  const auto elsewhere = Bind("1");
  FakeCuda().lose(0, CUDA_ERROR_ECC_UNCORRECTABLE);
  EXPECT_EQ(SubmitOne(*first), 0u);
  ExpectLost(*first, "device lost: CUDA_ERROR_ECC_UNCORRECTABLE");
  ExpectLost(*second, "device lost: CUDA_ERROR_ECC_UNCORRECTABLE");  // Nobody asked its engine.
  EXPECT_TRUE(elsewhere->region->status().ok());
  EXPECT_EQ(SubmitOne(*elsewhere), 1u);
  EXPECT_TRUE(elsewhere->engine->Fence());
}

TEST_F(CudaLossTest, ALostDeviceGivesNoRegionsUntilThoseOnItHaveGone) {
  const auto bound = Bind("");
  FakeCuda().lose(0, CUDA_ERROR_ECC_UNCORRECTABLE);
  SubmitOne(*bound);
  const absl::Status refusal = provider_.Allocate({.bytes = kRegionBytes}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "was lost")) << refusal;
}

// Two queues' threads find the loss at the same moment, and an exporter revokes on a third.
TEST_F(CudaLossTest, WhoeverFindsTheLossFirstNobodyWaitsForEver) {
  for (int round = 0; round < 100; ++round) {
    FakeCuda().reset(1);
    {
      const auto first = Bind("");
      const auto second = Bind("");
      const auto until_lost = [](Bound& bound) {
        while (!bound.engine->lost()) {
          bound.engine->Completed();
          if (!bound.engine->full()) SubmitOne(bound);
        }
      };
      std::thread one([&] { until_lost(*first); });
      std::thread two([&] { until_lost(*second); });
      std::thread exporter([&] { first->region->Revoke("wanted elsewhere"); });
      FakeCuda().lose(0, CUDA_ERROR_ECC_UNCORRECTABLE);
      one.join();
      two.join();
      exporter.join();
      EXPECT_EQ(second->region->status().code(), absl::StatusCode::kAborted);
      EXPECT_EQ(first->region->status().code(), absl::StatusCode::kAborted);
    }
    ExpectNothingLeft();
  }
}

TEST_F(CudaLossTest, ARevokeHaltsTheEnginesOfADeviceThatIsWell) {
  const auto bound = Bind("");
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  SubmitOne(*bound);
  bound->region->Revoke("wanted elsewhere");
  EXPECT_EQ(Peek(*bound->region, 0, 512), StagingBytes(0, 512));
  EXPECT_EQ(SubmitOne(*bound), 0u);
  ExpectLost(*bound, "wanted elsewhere");
}

}  // namespace
}  // namespace devmem
