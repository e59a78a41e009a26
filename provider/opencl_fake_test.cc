// SPDX-License-Identifier: Apache-2.0
// The opencl provider and its hash on a device that does what real ones do seldom: there is none,
// it has no memory, its compiler fails, several of them have one name.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/device_sha256.h"
#include "provider/fake_opencl.h"
#include "provider/limits.h"
#include "provider/test_opencl.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 16 * kSmallPageBytes;

class FakeOpenClTest : public ::testing::Test {
 protected:
  void SetUp() override { fake_.Reset(); }
  void TearDown() override {
    fake_.Reset();
    EXPECT_EQ(fake_.objects, 0) << "something of OpenCL was not given back";
  }

  absl::Status Refusal(const AllocateOptions& options) {
    return provider_.Allocate(options).status();
  }
  void ExpectRefusal(const absl::Status& status, absl::StatusCode code, absl::string_view words) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
  }
  // The name of the device on which a region lies.
  std::string DeviceOf(const std::string& wanted) {
    const auto region = provider_.Allocate({.bytes = kBytes, .device = wanted});
    EXPECT_TRUE(region.ok()) << region.status();
    if (!region.ok()) return "";
    return dynamic_cast<OpenClRegion&>(**region).device()->facts().name;
  }

  FakeOpenCl& fake_ = FakeOpenCl::Get();
  OpenClProvider provider_{FakeOpenCl::LibraryPath()};
};

TEST_F(FakeOpenClTest, WithoutAPlatformTheProbeSaysWhatToInstall) {
  fake_.has_platform = false;
  ExpectRefusal(provider_.Probe().status(), absl::StatusCode::kUnavailable, "no platform here");
  ExpectRefusal(Refusal({.bytes = kBytes}), absl::StatusCode::kUnavailable, "pocl-opencl-icd");
  EXPECT_TRUE(provider_.Devices().empty());
}

TEST_F(FakeOpenClTest, APlatformWithoutDevicesIsNotEnough) {
  fake_.devices.clear();
  ExpectRefusal(provider_.Probe().status(), absl::StatusCode::kUnavailable, "and no device");
  ExpectRefusal(Refusal({.bytes = kBytes}), absl::StatusCode::kUnavailable, "and no device");
}

TEST_F(FakeOpenClTest, ADeviceThatIsNotAvailableIsNamedAndNotListed) {
  fake_.devices = {{.name = "busy", .available = 0}};
  ExpectRefusal(provider_.Probe().status(), absl::StatusCode::kUnavailable, "busy");
  ExpectRefusal(Refusal({.bytes = kBytes, .device = "busy"}), absl::StatusCode::kUnavailable,
                "not available");
  EXPECT_TRUE(provider_.Devices().empty());
}

TEST_F(FakeOpenClTest, TheFirstChoiceIsADeviceThatIsNotTheProcessor) {
  fake_.devices = {{.name = "processor", .type = kClDeviceTypeCpu}, {.name = "graphics"}};
  EXPECT_EQ(DeviceOf(""), "graphics");
  EXPECT_EQ(DeviceOf("0"), "processor");
  fake_.devices[1].available = 0;
  EXPECT_EQ(DeviceOf(""), "processor");
}

TEST_F(FakeOpenClTest, ADeviceIsFoundAtItsPciAddress) {
  fake_.devices = {{.name = "twin", .extensions = "cl_khr_pci_bus_info", .pci_bus = 0x17},
                   {.name = "twin", .extensions = "cl_nv_device_attribute_query", .pci_bus = 0x65}};
  const std::vector<ProviderDevice> devices = provider_.Devices();
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].pci_address, "0000:17:00.0");
  EXPECT_EQ(devices[1].pci_address, "0010:65:02.1");
  EXPECT_EQ(devices[1].device_class, DeviceClass::kGpu);
  EXPECT_EQ(DeviceOf("0010:65:02.1"), "twin");
  ExpectRefusal(Refusal({.bytes = kBytes, .device = "twin"}), absl::StatusCode::kInvalidArgument,
                "names 2 devices");
}

TEST_F(FakeOpenClTest, SizesBeyondTheDeviceAreRefusedWithItsBounds) {
  fake_.devices = {{.memory_bytes = 1 << 20, .buffer_bytes_max = 1 << 18}};
  ExpectRefusal(Refusal({.bytes = (1 << 20) + kSmallPageBytes}), absl::StatusCode::kOutOfRange,
                "1048576 bytes has no more");
  ExpectRefusal(Refusal({.bytes = 1 << 19}), absl::StatusCode::kOutOfRange,
                "allows 262144 bytes for one buffer");
  EXPECT_TRUE(provider_.Allocate({.bytes = 1 << 18}).ok());
}

TEST_F(FakeOpenClTest, WhatTheDriverRefusesIsToldInItsWordsAndNothingIsLeft) {
  fake_.context_error = kClDeviceNotAvailable;
  ExpectRefusal(Refusal({.bytes = kBytes}), absl::StatusCode::kUnavailable,
                "CL_DEVICE_NOT_AVAILABLE");
  fake_.context_error = 0;
  fake_.buffer_error = kClMemObjectAllocationFailure;
  ExpectRefusal(Refusal({.bytes = kBytes}), absl::StatusCode::kResourceExhausted,
                "CL_MEM_OBJECT_ALLOCATION_FAILURE");
  fake_.buffer_error = 0;
  fake_.queue_error = kClOutOfHostMemory;
  ExpectRefusal(Refusal({.bytes = kBytes}), absl::StatusCode::kResourceExhausted,
                "CL_OUT_OF_HOST_MEMORY");
  EXPECT_EQ(fake_.objects, 0);
}

// Many drivers take memory only when it is touched.
TEST_F(FakeOpenClTest, MemoryThatRunsOutWhileItIsZeroedIsARefusal) {
  fake_.fill_error = kClMemObjectAllocationFailure;
  const absl::Status refusal = Refusal({.bytes = kBytes});
  EXPECT_FALSE(refusal.ok());
  EXPECT_TRUE(absl::StrContains(refusal.message(), "zeroing")) << refusal;
  EXPECT_EQ(fake_.objects, 0);
}

TEST_F(FakeOpenClTest, AKernelThatDoesNotBuildIsRefusedWithTheCompilersWords) {
  TestOpenCl test(&provider_, kBytes, kBytes);
  fake_.build_error = kClBuildProgramFailure;
  ExpectRefusal(CreateDeviceSha256(*test.region).status(), absl::StatusCode::kFailedPrecondition,
                "line 7: no such intrinsic");
  fake_.build_error = 0;
  EXPECT_TRUE(CreateDeviceSha256(*test.region).ok());
}

TEST_F(FakeOpenClTest, AHashIsFullAndItsFragsUnreadUntilTheDeviceGoesOn) {
  TestOpenCl test(&provider_, kBytes, kBytes);
  const auto hash = CreateDeviceSha256(*test.region);
  ASSERT_TRUE(hash.ok()) << hash.status();
  fake_.held = true;
  const RegionPiece piece{0, 100};
  std::vector<std::function<bool()>> read;
  while (!(*hash)->full()) read.push_back(*(*hash)->Update({&piece, 1}));
  EXPECT_EQ(read.size(), kDeviceHashLaunchesMax);
  EXPECT_FALSE(read.front()() || read.back()());
  fake_.LetOneGo();  // The table of the first, then its kernel.
  fake_.LetOneGo();
  EXPECT_TRUE(read.front()());
  EXPECT_FALSE(read.back()());
  fake_.LetGo();
  EXPECT_TRUE(read.back()());
  EXPECT_FALSE((*hash)->full());
}

TEST_F(FakeOpenClTest, AKernelThatFailsEndsTheHashAndLetsTheFragsGo) {
  TestOpenCl test(&provider_, kBytes, kBytes);
  const auto hash = CreateDeviceSha256(*test.region);
  ASSERT_TRUE(hash.ok()) << hash.status();
  fake_.kernel_error = kClOutOfResources;
  const RegionPiece piece{0, 100};
  const auto read = (*hash)->Update({&piece, 1});
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE((*read)());
  const absl::Status failed = (*hash)->Finish().status();
  EXPECT_TRUE(absl::StrContains(failed.message(), "ending a hash on the device")) << failed;
  EXPECT_TRUE(test.region->status().ok()) << "the region is not to blame";
}

TEST_F(FakeOpenClTest, ARevokeWaitsForTheKernelsThatReadTheRegion) {
  TestOpenCl test(&provider_, kBytes, kBytes);
  const auto hash = CreateDeviceSha256(*test.region);
  ASSERT_TRUE(hash.ok()) << hash.status();
  fake_.held = true;
  const RegionPiece piece{0, 100};
  const auto read = (*hash)->Update({&piece, 1});
  ASSERT_TRUE(read.ok());
  std::atomic<bool> revoked{false};
  std::thread exporter([&] {
    test.region->Revoke("its owner needs it");
    revoked = true;
  });
  fake_.AwaitWaiters(1);
  EXPECT_FALSE(revoked);
  fake_.LetGo();
  exporter.join();
  EXPECT_TRUE((*read)());
  EXPECT_EQ((*hash)->Update({&piece, 1}).status().code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace devmem
