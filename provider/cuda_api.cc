// SPDX-License-Identifier: Apache-2.0
// See cuda_api.h. dlopen(3), and the names that the driver's calls have in its library: those that
// changed since CUDA 3 carry a version.
#include "provider/cuda_api.h"

#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

constexpr char kDriverLibrary[] = "libcuda.so.1";
constexpr char kLibraryVariable[] = "DEVMEM_CUDA_LIBRARY";

// The first CUDA whose virtual memory calls are those used here, and the first driver with it.
constexpr int kOldestVersion = 10020;
constexpr char kOldestDriver[] = "CUDA 10.2 (driver 440.33)";

std::string Named(const std::string& library) {
  if (!library.empty()) return library;
  const char* const chosen = ::secure_getenv(kLibraryVariable);
  return chosen != nullptr && *chosen != '\0' ? chosen : kDriverLibrary;
}

// Looks up one symbol after another and remembers those that are missing.
class Symbols {
 public:
  explicit Symbols(void* library) : library_(library) {}

  template <typename Function>
  void Find(const char* name, Function** to) {
    FindIfThere(name, to);
    if (*to == nullptr && missing_.empty()) missing_ = name;
  }
  template <typename Function>
  void FindIfThere(const char* name, Function** to) {
    *to = reinterpret_cast<Function*>(::dlsym(library_, name));
  }

  // The first one that is missing; empty when all are there.
  const std::string& missing() const { return missing_; }

 private:
  void* const library_;
  std::string missing_;
};

void FindDeviceCalls(Symbols& symbols, CudaApi& api) {
  symbols.Find("cuInit", &api.Init);
  symbols.Find("cuDriverGetVersion", &api.DriverGetVersion);
  symbols.Find("cuGetErrorName", &api.GetErrorName);
  symbols.Find("cuGetErrorString", &api.GetErrorString);
  symbols.Find("cuDeviceGetCount", &api.DeviceGetCount);
  symbols.Find("cuDeviceGet", &api.DeviceGet);
  symbols.Find("cuDeviceGetName", &api.DeviceGetName);
  // The second version, of CUDA 11.4, gives a MIG instance's own UUID.
  symbols.FindIfThere("cuDeviceGetUuid_v2", &api.DeviceGetUuid);
  if (api.DeviceGetUuid == nullptr) symbols.Find("cuDeviceGetUuid", &api.DeviceGetUuid);
  symbols.Find("cuDeviceTotalMem_v2", &api.DeviceTotalMem);
  symbols.Find("cuDeviceGetAttribute", &api.DeviceGetAttribute);
  symbols.Find("cuDeviceGetPCIBusId", &api.DeviceGetPCIBusId);
  symbols.Find("cuDevicePrimaryCtxRetain", &api.DevicePrimaryCtxRetain);
  // The second version came with CUDA 11; the first one does the same where it is called last.
  symbols.FindIfThere("cuDevicePrimaryCtxRelease_v2", &api.DevicePrimaryCtxRelease);
  if (api.DevicePrimaryCtxRelease == nullptr) {
    symbols.Find("cuDevicePrimaryCtxRelease", &api.DevicePrimaryCtxRelease);
  }
  symbols.Find("cuCtxPushCurrent_v2", &api.CtxPushCurrent);
  symbols.Find("cuCtxPopCurrent_v2", &api.CtxPopCurrent);
}

void FindMemoryCalls(Symbols& symbols, CudaApi& api) {
  symbols.Find("cuMemGetInfo_v2", &api.MemGetInfo);
  symbols.Find("cuMemAlloc_v2", &api.MemAlloc);
  symbols.Find("cuMemFree_v2", &api.MemFree);
  symbols.Find("cuMemHostRegister_v2", &api.MemHostRegister);
  symbols.Find("cuMemHostUnregister", &api.MemHostUnregister);
  symbols.Find("cuMemcpyHtoDAsync_v2", &api.MemcpyHtoDAsync);
  symbols.Find("cuMemcpyDtoHAsync_v2", &api.MemcpyDtoHAsync);
  symbols.Find("cuMemsetD8_v2", &api.MemsetD8);
  symbols.Find("cuMemAddressReserve", &api.MemAddressReserve);
  symbols.Find("cuMemAddressFree", &api.MemAddressFree);
  symbols.Find("cuMemCreate", &api.MemCreate);
  symbols.Find("cuMemRelease", &api.MemRelease);
  symbols.Find("cuMemMap", &api.MemMap);
  symbols.Find("cuMemUnmap", &api.MemUnmap);
  symbols.Find("cuMemSetAccess", &api.MemSetAccess);
  symbols.Find("cuMemExportToShareableHandle", &api.MemExportToShareableHandle);
  symbols.Find("cuMemImportFromShareableHandle", &api.MemImportFromShareableHandle);
  symbols.Find("cuMemGetAllocationGranularity", &api.MemGetAllocationGranularity);
  symbols.Find("cuMemGetAllocationPropertiesFromHandle", &api.MemGetAllocationPropertiesFromHandle);
  symbols.Find("cuPointerGetAttribute", &api.PointerGetAttribute);
  symbols.FindIfThere("cuMemGetHandleForAddressRange", &api.MemGetHandleForAddressRange);
}

void FindWorkCalls(Symbols& symbols, CudaApi& api) {
  symbols.Find("cuStreamCreate", &api.StreamCreate);
  symbols.Find("cuStreamSynchronize", &api.StreamSynchronize);
  symbols.Find("cuStreamDestroy_v2", &api.StreamDestroy);
  symbols.Find("cuEventCreate", &api.EventCreate);
  symbols.Find("cuEventRecord", &api.EventRecord);
  symbols.Find("cuEventQuery", &api.EventQuery);
  symbols.Find("cuEventDestroy_v2", &api.EventDestroy);
  symbols.Find("cuModuleLoadData", &api.ModuleLoadData);
  symbols.Find("cuModuleUnload", &api.ModuleUnload);
  symbols.Find("cuModuleGetFunction", &api.ModuleGetFunction);
  symbols.Find("cuLaunchKernel", &api.LaunchKernel);
}

// A library that lacks a call: too old, or no driver at all.
absl::Status Lacking(const CudaApi& api, const std::string& missing) {
  std::string refusal = absl::StrCat("the library ", api.library, " lacks ", missing);
  const int version = api.DriverGetVersion == nullptr ? 0 : api.driver_version();
  if (version == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(refusal, "; it is not the NVIDIA driver's: name that in ", kLibraryVariable));
  }
  absl::StrAppend(&refusal, ": it serves CUDA ", version / 1000, ".", version % 1000 / 10);
  if (version >= kOldestVersion) return absl::FailedPreconditionError(refusal);
  return absl::FailedPreconditionError(
      absl::StrCat(refusal, ", and ", kOldestDriver, " is needed; install a newer driver"));
}

absl::StatusOr<std::unique_ptr<CudaApi>> Open(const std::string& name) {
  void* const library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(absl::StrCat(
        "the NVIDIA driver library cannot be loaded: ", ::dlerror(),
        "; install the NVIDIA driver, in a container pass it in, or name the library in ",
        kLibraryVariable));
  }
  auto api = std::make_unique<CudaApi>();
  api->library = name;
  Symbols symbols(library);
  FindDeviceCalls(symbols, *api);
  FindMemoryCalls(symbols, *api);
  FindWorkCalls(symbols, *api);
  if (symbols.missing().empty()) return api;
  absl::Status lacking = Lacking(*api, symbols.missing());
  ::dlclose(library);
  return lacking;
}

// What a person can do about a driver that does not start.
const char* RemedyFor(CUresult result) {
  switch (result) {
    case CUDA_ERROR_NO_DEVICE:
      return "; no GPU is visible: look at nvidia-smi, at CUDA_VISIBLE_DEVICES, and in a container "
             "at /dev/nvidia*";
    case CUDA_ERROR_STUB_LIBRARY:
      return "; this is the stub that programs are linked with: name the driver's own library";
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
      return "; library and kernel module are of different versions: load the new module, or "
             "restart the machine";
    case CUDA_ERROR_UNKNOWN:
      return "; the kernel module nvidia_uvm may be missing: `modprobe nvidia_uvm`";
    default: return "; look at nvidia-smi and at the kernel's log";
  }
}

}  // namespace

absl::StatusOr<const CudaApi*> CudaApi::Load(const std::string& library) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<CudaApi>> loaded;  // Guarded by mutex.
  const std::string name = Named(library);
  const CudaApi* api = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    std::unique_ptr<CudaApi>& slot = loaded[name];
    if (slot == nullptr) {
      absl::StatusOr<std::unique_ptr<CudaApi>> opened = Open(name);
      if (!opened.ok()) return opened.status();
      slot = *std::move(opened);
    }
    api = slot.get();
  }
  // After the first success this costs nothing, and after a failure it tries again.
  const CUresult started = api->Init(0);
  if (started == CUDA_SUCCESS) return api;
  const absl::Status refused = api->ToStatus(started, "cuInit");
  return absl::Status(refused.code(), absl::StrCat(refused.message(), RemedyFor(started)));
}

std::string CudaApi::ErrorName(CUresult result) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (GetErrorName(result, &name) != CUDA_SUCCESS || name == nullptr) {
    return absl::StrCat("CUDA error ", static_cast<int>(result));
  }
  if (GetErrorString(result, &text) != CUDA_SUCCESS || text == nullptr) return name;
  return absl::StrCat(name, " (", text, ")");
}

absl::Status CudaApi::ToStatus(CUresult result, const std::string& what) const {
  const std::string message = absl::StrCat(what, ": ", ErrorName(result));
  if (TakesTheDevice(result)) return absl::AbortedError(message);
  switch (result) {
    case CUDA_ERROR_OUT_OF_MEMORY: return absl::ResourceExhaustedError(message);
    case CUDA_ERROR_INVALID_VALUE: return absl::InvalidArgumentError(message);
    case CUDA_ERROR_NOT_PERMITTED: return absl::PermissionDeniedError(message);
    case CUDA_ERROR_STUB_LIBRARY:
    case CUDA_ERROR_NOT_SUPPORTED:
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
    case CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE:
    case CUDA_ERROR_JIT_COMPILER_NOT_FOUND:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION: return absl::FailedPreconditionError(message);
    case CUDA_ERROR_DEVICE_NOT_LICENSED:
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_INVALID_DEVICE:
    case CUDA_ERROR_NO_DEVICE:
    case CUDA_ERROR_SYSTEM_NOT_READY:
    case CUDA_ERROR_UNKNOWN: return absl::UnavailableError(message);
    default: return absl::InternalError(message);
  }
}

int CudaApi::driver_version() const {
  int version = 0;
  return DriverGetVersion(&version) == CUDA_SUCCESS ? version : 0;
}

bool TakesTheDevice(CUresult result) {
  switch (result) {
    case CUDA_ERROR_DEINITIALIZED:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED: return true;
    default: return false;
  }
}

}  // namespace devmem
