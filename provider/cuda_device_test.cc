// SPDX-License-Identifier: Apache-2.0
// Finding the driver and its GPUs, and what a person reads where there is none.
#include "provider/cuda_device.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "provider/test_cuda.h"

namespace devmem {
namespace {

using CudaDeviceTest = CudaTest;

absl::Status ProbeOf(const std::string& library) { return CudaProvider(library).Probe().status(); }

TEST_F(CudaDeviceTest, AProbeSaysWhatWasFound) {
  const auto probe = provider_.Probe();
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_EQ(*probe,
            "Fake GPU 0 (GPU 0, 0000:1a:00.0), 67108864 bytes, driver of CUDA 13.0; file handles: "
            "yes, dma-bufs: yes");
  EXPECT_EQ(FakeCuda().calls("cuDevicePrimaryCtxRetain"), 0);  // A context takes GPU memory.
}

TEST_F(CudaDeviceTest, DevicesAreListedWithTheirPlace) {
  FakeCuda().reset(3);
  FakeCuda().device(1)->virtual_memory = false;
  const auto devices = provider_.Devices();
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].name, "0");
  EXPECT_EQ(devices[1].name, "2");
  EXPECT_EQ(devices[1].description, "Fake GPU 2");
  EXPECT_EQ(devices[1].pci_address, "0000:3a:00.0");
  EXPECT_EQ(devices[1].device_class, DeviceClass::kGpu);
  EXPECT_TRUE(CudaProvider("/no/such/library").Devices().empty());
}

TEST_F(CudaDeviceTest, AMissingLibraryIsSaidWithTheRemedy) {
  const absl::Status refusal = ProbeOf("/no/such/libcuda.so.1");
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "/no/such/libcuda.so.1")) << refusal;
  EXPECT_TRUE(absl::StrContains(refusal.message(), "install the NVIDIA driver")) << refusal;
  EXPECT_EQ(CudaProvider("/no/such/libcuda.so.1").Allocate({.bytes = 4096}).status(), refusal);
}

TEST_F(CudaDeviceTest, AnOldDriverIsToldFromOneThatIsNone) {
  const absl::Status old = ProbeOf(OldFakeCudaLibrary());
  EXPECT_EQ(old.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(old.message(), "it serves CUDA 9.0, and CUDA 10.2")) << old;
  EXPECT_TRUE(absl::StrContains(old.message(), "install a newer driver")) << old;
  const absl::Status none = ProbeOf("libm.so.6");
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(none.message(), "libm.so.6 lacks cuInit; it is not the NVIDIA"))
      << none;
}

TEST_F(CudaDeviceTest, ADriverThatDoesNotStartNamesItsErrorAndIsTriedAgain) {
  FakeCuda().fail("cuInit", CUDA_ERROR_NO_DEVICE, 0);
  const absl::Status no_device = provider_.Probe().status();
  EXPECT_EQ(no_device.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(no_device.message(),
                                "cuInit: CUDA_ERROR_NO_DEVICE (nothing to drive); no GPU is "
                                "visible: look at nvidia-smi"))
      << no_device;
  FakeCuda().fail("cuInit", CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 0);
  EXPECT_EQ(provider_.Probe().status().code(), absl::StatusCode::kFailedPrecondition);
  FakeCuda().fail("cuInit", CUDA_ERROR_NOT_PERMITTED, 0);
  EXPECT_EQ(provider_.Probe().status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(provider_.Probe().ok());
}

TEST_F(CudaDeviceTest, AnErrorWithoutANameIsGivenByItsNumber) {
  EXPECT_EQ(api().ErrorName(static_cast<CUresult>(12345)), "CUDA error 12345");
}

TEST_F(CudaDeviceTest, ADriverWithoutGpusIsSaid) {
  FakeCuda().reset(0);
  const absl::Status refusal = provider_.Probe().status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "finds no GPU")) << refusal;
}

TEST_F(CudaDeviceTest, GpusWithoutVirtualMemoryAreSaid) {
  FakeCuda().device(0)->virtual_memory = false;
  const absl::Status refusal = provider_.Probe().status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "lacks virtual memory management")) << refusal;
}

TEST_F(CudaDeviceTest, TheLibraryCanBeNamedInTheEnvironment) {
  ASSERT_EQ(::setenv("DEVMEM_CUDA_LIBRARY", FakeCudaLibrary().c_str(), 1), 0);
  const auto named = CudaProvider().Probe();
  ::unsetenv("DEVMEM_CUDA_LIBRARY");
  EXPECT_TRUE(named.ok()) << named.status();
}

class ChooseCudaDeviceTest : public CudaTest {
 protected:
  ChooseCudaDeviceTest() {
    FakeCuda().reset(3);
    FakeCuda().device(0)->virtual_memory = false;
  }
  // The ordinal that a word chooses, or the refusal.
  absl::StatusOr<int> Choose(const std::string& selector) {
    const auto devices = ListCudaDevices(api());
    EXPECT_TRUE(devices.ok()) << devices.status();
    const auto chosen = ChooseCudaDevice(*devices, selector);
    if (!chosen.ok()) return chosen.status();
    return chosen->ordinal;
  }
};

TEST_F(ChooseCudaDeviceTest, NoWordIsTheFirstThatIsUsable) { EXPECT_EQ(*Choose(""), 1); }

TEST_F(ChooseCudaDeviceTest, AGpuIsNamedByIndexPlaceOrUuid) {
  EXPECT_EQ(*Choose("2"), 2);
  EXPECT_EQ(*Choose("0000:3a:00.0"), 2);
  EXPECT_EQ(*Choose("3A:00.0"), 2);
  EXPECT_EQ(*Choose("GPU-30313233-3435-3637-3839-3a3b3c3d3e3f"), 2);
  EXPECT_EQ(*Choose("gpu-30"), 2);
  EXPECT_EQ(*Choose("20212223"), 1);
}

TEST_F(ChooseCudaDeviceTest, AWordThatNamesNoneIsAnsweredWithThoseThereAre) {
  for (const char* const word : {"7", "0000:9a:00.0", "GPU-ff", "99999999999999999999"}) {
    const absl::Status refusal = Choose(word).status();
    EXPECT_EQ(refusal.code(), absl::StatusCode::kNotFound) << word;
    EXPECT_TRUE(absl::StrContains(refusal.message(), "GPU 2 (Fake GPU 2, 0000:3a:00.0) GPU-3031"))
        << refusal;
  }
}

TEST_F(ChooseCudaDeviceTest, AWordThatNamesSeveralIsRefused) {
  const absl::Status refusal = Choose("GPU-").status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "names several GPUs")) << refusal;
}

TEST_F(ChooseCudaDeviceTest, AGpuThatCannotIsRefusedByName) {
  EXPECT_EQ(Choose("0").status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace devmem
