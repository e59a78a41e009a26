// SPDX-License-Identifier: Apache-2.0
// See fake_cuda.h: the fake driver's calls about itself, its devices and their contexts. Signatures
// are the real driver's.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "provider/fake_cuda_state.h"

#pragma GCC visibility push(default)

using devmem::CUcontext;
using devmem::CUdevice;
using devmem::CUdevice_attribute;
using devmem::CUresult;
using devmem::CUuuid;
using devmem::FakeCall;
using devmem::FakeCurrent;
using devmem::FakeMisuse;
using devmem::TheFake;

namespace {

bool IsDevice(int ordinal) {
  return ordinal >= 0 && static_cast<size_t>(ordinal) < TheFake().devices.size();
}

CUresult CopyText(const char* from, char* to, int bytes) {
  std::snprintf(to, static_cast<size_t>(bytes), "%s", from);
  return devmem::CUDA_SUCCESS;
}

struct ErrorText {
  CUresult result;
  const char* name;
  const char* text;
};

// A few of the driver's own, and words of our own for what they mean.
constexpr ErrorText kErrors[] = {
    {devmem::CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "a wrong argument"},
    {devmem::CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "no memory left"},
    {devmem::CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "nothing to drive"},
    {devmem::CUDA_ERROR_ECC_UNCORRECTABLE, "CUDA_ERROR_ECC_UNCORRECTABLE", "memory has decayed"},
    {devmem::CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "nothing of that name"},
    {devmem::CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "a stray access"},
    {devmem::CUDA_ERROR_NOT_PERMITTED, "CUDA_ERROR_NOT_PERMITTED", "not allowed"},
    {devmem::CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "not offered"},
    {devmem::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "two drivers"},
};

const ErrorText* FindError(CUresult result) {
  const auto* const found = std::find_if(std::begin(kErrors), std::end(kErrors),
                                         [&](const ErrorText& e) { return e.result == result; });
  return found == std::end(kErrors) ? nullptr : found;
}

int AttributeOf(const devmem::FakeCudaDevice& device, CUdevice_attribute attribute) {
  switch (attribute) {
    case devmem::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return 9;
    case devmem::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return 0;
    case devmem::CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
      return device.virtual_memory ? 1 : 0;
    case devmem::CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED:
      return device.file_handles ? 1 : 0;
    case devmem::CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED: return 1;
    case devmem::CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED: return device.dmabuf ? 1 : 0;
  }
  return 0;
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned /*flags*/) {
  const FakeCall call("cuInit", FakeCall::kNothing);
  if (call.result() == devmem::CUDA_SUCCESS) TheFake().initialised = true;
  return call.result();
}

// A program that no test steers gets its devices from the environment, when the driver is loaded.
[[gnu::constructor, gnu::visibility("hidden")]] void FakeCudaStart() {
  const char* const devices = std::getenv(devmem::kFakeCudaDevicesVariable);
  if (devices != nullptr) fake_cuda_control()->reset(std::atoi(devices));
}

CUresult cuDriverGetVersion(int* version) {
  *version = TheFake().driver_version;
  return devmem::CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult result, const char** name) {
  const ErrorText* const found = FindError(result);
  *name = found == nullptr ? nullptr : found->name;
  return found == nullptr ? devmem::CUDA_ERROR_INVALID_VALUE : devmem::CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult result, const char** text) {
  const ErrorText* const found = FindError(result);
  *text = found == nullptr ? nullptr : found->text;
  return found == nullptr ? devmem::CUDA_ERROR_INVALID_VALUE : devmem::CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  const FakeCall call("cuDeviceGetCount", FakeCall::kInit);
  *count = static_cast<int>(TheFake().devices.size());
  return call.result();
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  const FakeCall call("cuDeviceGet", FakeCall::kInit);
  if (call.result() != devmem::CUDA_SUCCESS) return call.result();
  // A device's number need not be its ordinal.
  *device = 100 + ordinal;
  return IsDevice(ordinal) ? devmem::CUDA_SUCCESS : devmem::CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetName(char* name, int bytes, CUdevice device) {
  const FakeCall call("cuDeviceGetName", FakeCall::kInit);
  if (!IsDevice(device - 100)) return FakeMisuse(devmem::CUDA_ERROR_INVALID_DEVICE);
  return CopyText(TheFake().devices[static_cast<size_t>(device - 100)].name, name, bytes);
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  const FakeCall call("cuDeviceGetUuid", FakeCall::kInit);
  if (!IsDevice(device - 100)) return FakeMisuse(devmem::CUDA_ERROR_INVALID_DEVICE);
  for (size_t i = 0; i < sizeof(uuid->bytes); ++i) {
    uuid->bytes[i] =
        static_cast<uint8_t>(TheFake().devices[static_cast<size_t>(device - 100)].uuid_first + i);
  }
  return devmem::CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  const FakeCall call("cuDeviceTotalMem", FakeCall::kInit);
  if (!IsDevice(device - 100)) return FakeMisuse(devmem::CUDA_ERROR_INVALID_DEVICE);
  *bytes = TheFake().devices[static_cast<size_t>(device - 100)].memory_bytes;
  return call.result();
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  const FakeCall call("cuDeviceGetAttribute", FakeCall::kInit);
  if (!IsDevice(device - 100)) return FakeMisuse(devmem::CUDA_ERROR_INVALID_DEVICE);
  *value = AttributeOf(TheFake().devices[static_cast<size_t>(device - 100)], attribute);
  return call.result();
}

CUresult cuDeviceGetPCIBusId(char* id, int bytes, CUdevice device) {
  const FakeCall call("cuDeviceGetPCIBusId", FakeCall::kInit);
  if (!IsDevice(device - 100)) return FakeMisuse(devmem::CUDA_ERROR_INVALID_DEVICE);
  return CopyText(TheFake().devices[static_cast<size_t>(device - 100)].pci_address, id, bytes);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  const FakeCall call("cuDevicePrimaryCtxRetain", FakeCall::kInit);
  if (call.result() != devmem::CUDA_SUCCESS) return call.result();
  if (!IsDevice(device - 100)) return FakeMisuse(devmem::CUDA_ERROR_INVALID_DEVICE);
  const size_t ordinal = static_cast<size_t>(device - 100);
  ++TheFake().retained[ordinal];
  *context = TheFake().contexts[ordinal].get();
  return TheFake().lost[ordinal];
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  const FakeCall call("cuDevicePrimaryCtxRelease", FakeCall::kInit);
  if (!IsDevice(device - 100)) return FakeMisuse(devmem::CUDA_ERROR_INVALID_DEVICE);
  int& retained = TheFake().retained[static_cast<size_t>(device - 100)];
  if (retained == 0) return FakeMisuse(devmem::CUDA_ERROR_INVALID_CONTEXT);
  --retained;
  return call.result();
}

CUresult cuCtxPushCurrent_v2(CUcontext context) {
  const FakeCall call("cuCtxPushCurrent", FakeCall::kInit);
  if (call.result() != devmem::CUDA_SUCCESS) return call.result();
  if (TheFake().retained[static_cast<size_t>(context->ordinal)] == 0) {
    return FakeMisuse(devmem::CUDA_ERROR_CONTEXT_IS_DESTROYED);
  }
  FakeCurrent().push_back(context);
  ++TheFake().counts.current;
  return devmem::CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent_v2(CUcontext* context) {
  const FakeCall call("cuCtxPopCurrent", FakeCall::kInit);
  if (FakeCurrent().empty()) return FakeMisuse(devmem::CUDA_ERROR_INVALID_CONTEXT);
  *context = FakeCurrent().back();
  FakeCurrent().pop_back();
  --TheFake().counts.current;
  return devmem::CUDA_SUCCESS;
}

}  // extern "C"

#pragma GCC visibility pop
