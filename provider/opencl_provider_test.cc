// SPDX-License-Identifier: Apache-2.0
// Regions on a real OpenCL device: what they are, what cannot be done with them, and which requests
// are refused in which words. On PoCL as a rule; skipped without any device.
#include "provider/opencl_provider.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_opencl.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 4 * kSmallPageBytes;

class OpenClProviderTest : public ::testing::Test {
 protected:
  void SetUp() override { DEVMEM_NEED_OPENCL(); }

  absl::Status Refusal(const AllocateOptions& options) {
    return provider_.Allocate(options).status();
  }
  std::unique_ptr<Region> Make(const AllocateOptions& options) {
    auto region = provider_.Allocate(options);
    EXPECT_TRUE(region.ok()) << region.status();
    return region.ok() ? *std::move(region) : nullptr;
  }
  OpenClDeviceFacts FirstDevice() {
    return ListOpenClDevices(**OpenClApi::Load(DefaultOpenClLibrary()))->front();
  }

  OpenClProvider provider_;
};

TEST_F(OpenClProviderTest, TheProbeNamesEachDeviceAndItsMemory) {
  const auto found = provider_.Probe();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(absl::StrContains(*found, DescribeOpenClDevice(FirstDevice()))) << *found;
  EXPECT_GT(FirstDevice().memory_bytes, 0u);
}

TEST_F(OpenClProviderTest, ARegionHasWhatItsOptionsSayAndNoHandle) {
  const auto region = Make({.bytes = kBytes, .label = "weights"});
  ASSERT_NE(region, nullptr);
  EXPECT_EQ(region->size_bytes(), kBytes);
  EXPECT_EQ(region->page_bytes(), kSmallPageBytes);
  EXPECT_EQ(region->provider_name(), "opencl");
  EXPECT_EQ(region->label(), "weights");
  EXPECT_EQ(region->fd(), -1);
  EXPECT_FALSE(region->cpu_visible());
  const absl::Status shared = region->ShareHandle().status();
  EXPECT_EQ(shared.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(shared.message(), "inside of one process only")) << shared;
  EXPECT_FALSE(region->ExportDmabuf(0, kBytes).ok());
  EXPECT_EQ(region->FindResidence().status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(OpenClProviderTest, TheProcessorCannotLookAtARegion) {
  const auto region = Make({.bytes = kBytes});
  const absl::Status refusal = RegionView::Map(*region).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "memory of an OpenCL device")) << refusal;
}

TEST_F(OpenClProviderTest, AnAttachmentIsStagedAndSaysWhy) {
  for (const AttachmentKind kind : {AttachmentKind::kPinned, AttachmentKind::kMayRevoke}) {
    const auto region = Make({.bytes = kBytes, .kind = kind});
    const auto attachment = MakeAttachment(*region);
    ASSERT_NE(attachment, nullptr);
    EXPECT_TRUE(attachment->staged());
    EXPECT_EQ(attachment->kind(), kind);
    EXPECT_EQ(attachment->stage_reason(), "the processor cannot map the memory");
  }
}

TEST_F(OpenClProviderTest, AFreshRegionIsZero) {
  // The first one is filled, so that the second may be given the same memory.
  for (int round = 0; round < 2; ++round) {
    TestOpenCl test(&provider_, 16 * kBytes, 16 * kBytes);
    ASSERT_NE(test.engine, nullptr);
    EXPECT_EQ(test.Get(0, 16 * kBytes), std::vector<uint8_t>(16 * kBytes));
    test.Put(0, std::vector<uint8_t>(16 * kBytes, 0xA5));
  }
}

TEST_F(OpenClProviderTest, SizesThatCannotBeAreRefusedWithTheirBound) {
  for (const uint64_t bytes : {uint64_t{0}, kSmallPageBytes - 1, kSmallPageBytes + 1}) {
    const absl::Status refusal = Refusal({.bytes = bytes});
    EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument) << refusal;
    EXPECT_TRUE(absl::StrContains(refusal.message(), "a positive multiple of the page size"));
  }
  const OpenClDeviceFacts device = FirstDevice();
  for (const uint64_t most : {device.buffer_bytes_max, device.memory_bytes, kRegionBytesMax}) {
    const uint64_t bytes = (most / kSmallPageBytes + 1) * kSmallPageBytes;
    const absl::Status refusal = Refusal({.bytes = bytes});
    EXPECT_EQ(refusal.code(), absl::StatusCode::kOutOfRange) << refusal;
    EXPECT_TRUE(absl::StrContains(refusal.message(), absl::StrCat(most))) << refusal;
  }
}

TEST_F(OpenClProviderTest, WhatTheMemoryCannotDoIsRefusedWithTheReason) {
  const absl::Status moving = Refusal({.bytes = kBytes, .kind = AttachmentKind::kMayMove});
  EXPECT_EQ(moving.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(moving.message(), "does not say when a buffer moves")) << moving;
  const absl::Status huge = Refusal({.bytes = kHugePageBytes, .huge_pages = true});
  EXPECT_EQ(huge.code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status labelled =
      Refusal({.bytes = kBytes, .label = std::string(kRegionLabelBytesMax + 1, 'x')});
  EXPECT_EQ(labelled.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(OpenClProviderTest, ADeviceIsChosenByIndexOrByAPartOfItsName) {
  EXPECT_NE(Make({.bytes = kBytes, .device = "0"}), nullptr);
  EXPECT_NE(Make({.bytes = kBytes, .device = FirstDevice().name}), nullptr);
  for (const char* wanted : {"99", "a device that nobody made", "ffff:ff:1f.7"}) {
    const absl::Status refusal = Refusal({.bytes = kBytes, .device = wanted});
    EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument) << refusal;
    EXPECT_TRUE(absl::StrContains(refusal.message(), FirstDevice().name)) << refusal;
  }
}

TEST_F(OpenClProviderTest, EveryDeviceThatIsListedCanBeAllocatedFrom) {
  const std::vector<ProviderDevice> devices = provider_.Devices();
  ASSERT_FALSE(devices.empty());
  for (const ProviderDevice& device : devices) {
    EXPECT_NE(Make({.bytes = kBytes, .device = device.name}), nullptr) << device.description;
  }
}

TEST_F(OpenClProviderTest, SeveralRegionsShareTheContextOfOneDevice) {
  const auto first = Make({.bytes = kBytes});
  const auto second = Make({.bytes = 2 * kBytes});
  EXPECT_EQ(dynamic_cast<OpenClRegion&>(*first).device(),
            dynamic_cast<OpenClRegion&>(*second).device());
}

TEST(OpenClLibraryTest, AMissingLibraryIsNamedTogetherWithWhatToInstall) {
  const absl::Status refusal = OpenClProvider("libno-such-opencl.so.1").Probe().status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "libno-such-opencl.so.1")) << refusal;
  EXPECT_TRUE(absl::StrContains(refusal.message(), "install ocl-icd-libopencl1")) << refusal;
}

TEST(OpenClLibraryTest, ALibraryThatIsNoOpenClIsNamedWithTheMissingFunction) {
  const absl::Status refusal = OpenClProvider("libc.so.6").Probe().status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "clGetPlatformIDs")) << refusal;
}

}  // namespace
}  // namespace devmem
