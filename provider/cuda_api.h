// SPDX-License-Identifier: Apache-2.0
// CudaApi: the CUDA driver library, loaded at run time, as a table of the calls that devmem makes.
// Everything that talks to the driver goes through one of these; a library is loaded once and stays
// for the life of the process, because the driver does not survive being unloaded. Any thread; the
// calls themselves are as free of threads as the driver's documentation says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/cuda_abi.h"

namespace devmem {

struct CudaApi {
  // The library at `library`, loaded and initialised. Empty: what the environment variable
  // DEVMEM_CUDA_LIBRARY names (ignored in programs that run with more rights than their user), or
  // libcuda.so.1.
  //
  // Errors: kUnavailable         no library, or no device that it can drive.
  //         kFailedPrecondition  a driver too old, or a library that is none; a mismatch between
  //                              library and kernel module.
  //         kPermissionDenied    the driver refuses this user.
  static absl::StatusOr<const CudaApi*> Load(const std::string& library = {});

  // "CUDA_ERROR_OUT_OF_MEMORY (out of memory)", in the driver's own words.
  std::string ErrorName(CUresult result) const;

  // The status of a failed call: `what` names the call and its object.
  absl::Status ToStatus(CUresult result, const std::string& what) const;

  // The newest CUDA that the driver serves, as 1000 * major + 10 * minor; 0 where it cannot say.
  int driver_version() const;

  // The driver's calls, in the order of its manual. All are there unless marked.
  CUresult (*Init)(unsigned flags);
  CUresult (*DriverGetVersion)(int* version);
  CUresult (*GetErrorName)(CUresult result, const char** name);
  CUresult (*GetErrorString)(CUresult result, const char** text);
  CUresult (*DeviceGetCount)(int* count);
  CUresult (*DeviceGet)(CUdevice* device, int ordinal);
  CUresult (*DeviceGetName)(char* name, int bytes, CUdevice device);
  CUresult (*DeviceGetUuid)(CUuuid* uuid, CUdevice device);
  CUresult (*DeviceTotalMem)(size_t* bytes, CUdevice device);
  CUresult (*DeviceGetAttribute)(int* value, CUdevice_attribute attribute, CUdevice device);
  CUresult (*DeviceGetPCIBusId)(char* id, int bytes, CUdevice device);
  CUresult (*DevicePrimaryCtxRetain)(CUcontext* context, CUdevice device);
  CUresult (*DevicePrimaryCtxRelease)(CUdevice device);
  CUresult (*CtxPushCurrent)(CUcontext context);
  CUresult (*CtxPopCurrent)(CUcontext* context);
  CUresult (*ModuleLoadData)(CUmodule* module, const void* image);
  CUresult (*ModuleUnload)(CUmodule module);
  CUresult (*ModuleGetFunction)(CUfunction* function, CUmodule module, const char* name);
  CUresult (*MemGetInfo)(size_t* free, size_t* total);
  CUresult (*MemAlloc)(CUdeviceptr* address, size_t bytes);
  CUresult (*MemFree)(CUdeviceptr address);
  CUresult (*MemHostRegister)(void* address, size_t bytes, unsigned flags);
  CUresult (*MemHostUnregister)(void* address);
  CUresult (*MemcpyHtoDAsync)(CUdeviceptr to, const void* from, size_t bytes, CUstream stream);
  CUresult (*MemcpyDtoHAsync)(void* to, CUdeviceptr from, size_t bytes, CUstream stream);
  CUresult (*MemsetD8)(CUdeviceptr to, unsigned char value, size_t bytes);
  CUresult (*MemAddressReserve)(CUdeviceptr* address, size_t bytes, size_t alignment,
                                CUdeviceptr wanted, unsigned long long flags);
  CUresult (*MemAddressFree)(CUdeviceptr address, size_t bytes);
  CUresult (*MemCreate)(CUmemGenericAllocationHandle* handle, size_t bytes,
                        const CUmemAllocationProp* properties, unsigned long long flags);
  CUresult (*MemRelease)(CUmemGenericAllocationHandle handle);
  CUresult (*MemMap)(CUdeviceptr address, size_t bytes, size_t offset,
                     CUmemGenericAllocationHandle handle, unsigned long long flags);
  CUresult (*MemUnmap)(CUdeviceptr address, size_t bytes);
  CUresult (*MemSetAccess)(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* access,
                           size_t count);
  CUresult (*MemExportToShareableHandle)(void* shareable, CUmemGenericAllocationHandle handle,
                                         CUmemAllocationHandleType type, unsigned long long flags);
  CUresult (*MemImportFromShareableHandle)(CUmemGenericAllocationHandle* handle, void* shareable,
                                           CUmemAllocationHandleType type);
  CUresult (*MemGetAllocationGranularity)(size_t* bytes, const CUmemAllocationProp* properties,
                                          CUmemAllocationGranularity_flags option);
  CUresult (*MemGetAllocationPropertiesFromHandle)(CUmemAllocationProp* properties,
                                                   CUmemGenericAllocationHandle handle);
  CUresult (*PointerGetAttribute)(void* value, CUpointer_attribute attribute, CUdeviceptr address);
  CUresult (*StreamCreate)(CUstream* stream, unsigned flags);
  CUresult (*StreamSynchronize)(CUstream stream);
  CUresult (*StreamDestroy)(CUstream stream);
  CUresult (*EventCreate)(CUevent* event, unsigned flags);
  CUresult (*EventRecord)(CUevent event, CUstream stream);
  CUresult (*EventQuery)(CUevent event);
  CUresult (*EventDestroy)(CUevent event);
  CUresult (*LaunchKernel)(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                           unsigned block_x, unsigned block_y, unsigned block_z,
                           unsigned shared_bytes, CUstream stream, void** parameters, void** extra);

  // CUDA 11.7; null in older drivers.
  CUresult (*MemGetHandleForAddressRange)(void* handle, CUdeviceptr address, size_t bytes,
                                          CUmemRangeHandleType type, unsigned long long flags);

  std::string library;  // As it was loaded, for messages.
};

// Whether a result means that the device, or everything that the process has on it, is gone: what
// the driver calls a sticky error. Every later call answers the same.
bool TakesTheDevice(CUresult result);

}  // namespace devmem
