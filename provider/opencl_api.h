// SPDX-License-Identifier: Apache-2.0
// OpenClApi: the few functions of OpenCL 1.2 that the opencl provider calls, found in the loader
// library at run time, so that building devmem needs nothing of OpenCL and running it does only
// where somebody asks for that provider. Types and numbers are those of the Khronos specification
// "The OpenCL API", written down here as its binary interface defines them. Any thread; the
// functions are thread-safe but for SetKernelArg(), which belongs to one thread for each kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace devmem {

// Objects of the driver: known by address alone.
using ClPlatform = struct ClPlatformObject*;
using ClDevice = struct ClDeviceObject*;
using ClContext = struct ClContextObject*;
using ClQueue = struct ClQueueObject*;
using ClMem = struct ClMemObject*;
using ClEvent = struct ClEventObject*;
using ClProgram = struct ClProgramObject*;
using ClKernel = struct ClKernelObject*;

// Error codes are negative, and so is the execution status of a command that failed.
inline constexpr int32_t kClSuccess = 0;
inline constexpr int32_t kClDeviceNotFound = -1;
inline constexpr int32_t kClDeviceNotAvailable = -2;
inline constexpr int32_t kClCompilerNotAvailable = -3;
inline constexpr int32_t kClMemObjectAllocationFailure = -4;
inline constexpr int32_t kClOutOfResources = -5;
inline constexpr int32_t kClOutOfHostMemory = -6;
inline constexpr int32_t kClBuildProgramFailure = -11;
inline constexpr int32_t kClErrorInWaitList = -14;
inline constexpr int32_t kClInvalidValue = -30;
inline constexpr int32_t kClInvalidDevice = -33;
inline constexpr int32_t kClInvalidContext = -34;
inline constexpr int32_t kClInvalidCommandQueue = -36;
inline constexpr int32_t kClInvalidBufferSize = -61;
inline constexpr int32_t kClPlatformNotFound = -1001;  // Of the ICD loader (cl_khr_icd).

// The execution status of a command: done at 0, on its way above.
inline constexpr int32_t kClComplete = 0;
inline constexpr int32_t kClQueued = 3;

// What can be asked, by the numbers of the specification's tables.
inline constexpr uint32_t kClPlatformName = 0x0902;
inline constexpr uint64_t kClDeviceTypeCpu = 1u << 1;
inline constexpr uint64_t kClDeviceTypeGpu = 1u << 2;
inline constexpr uint64_t kClDeviceTypeAll = 0xFFFFFFFF;
inline constexpr uint32_t kClDeviceType = 0x1000;
inline constexpr uint32_t kClDeviceMaxMemAllocSize = 0x1010;
inline constexpr uint32_t kClDeviceGlobalMemSize = 0x101F;
inline constexpr uint32_t kClDeviceEndianLittle = 0x1026;
inline constexpr uint32_t kClDeviceAvailable = 0x1027;
inline constexpr uint32_t kClDeviceCompilerAvailable = 0x1028;
inline constexpr uint32_t kClDeviceName = 0x102B;
inline constexpr uint32_t kClDeviceExtensions = 0x1030;
inline constexpr uint32_t kClDevicePciBusIdNv = 0x4008;     // cl_nv_device_attribute_query.
inline constexpr uint32_t kClDevicePciSlotIdNv = 0x4009;    // The same.
inline constexpr uint32_t kClDevicePciDomainIdNv = 0x400A;  // The same.
inline constexpr uint32_t kClDevicePciBusInfo = 0x410F;     // cl_khr_pci_bus_info.
inline constexpr intptr_t kClContextPlatform = 0x1084;
inline constexpr uint32_t kClEventExecutionStatus = 0x11D3;
inline constexpr uint32_t kClProgramBuildLog = 0x1183;
inline constexpr uint64_t kClMemReadWrite = 1u << 0;
inline constexpr uint64_t kClMemReadOnly = 1u << 2;

// What kClDevicePciBusInfo answers.
struct ClPciBusInfo {
  uint32_t domain;
  uint32_t bus;
  uint32_t device;
  uint32_t function;
};
static_assert(sizeof(ClPciBusInfo) == 16);

// Each member is the function of OpenCL that has `cl` in front of the same name.
struct OpenClApi {
  // Loads `library` once for the life of the program: drivers leave threads behind that must not
  // lose their code. A library that could not be loaded is tried again at the next call.
  //
  // Errors: kUnavailable  there is no such library, or it is too old; the message says what to
  //                       install.
  static absl::StatusOr<const OpenClApi*> Load(const std::string& library);

  int32_t (*GetPlatformIDs)(uint32_t, ClPlatform*, uint32_t*);
  int32_t (*GetPlatformInfo)(ClPlatform, uint32_t, size_t, void*, size_t*);
  int32_t (*GetDeviceIDs)(ClPlatform, uint64_t, uint32_t, ClDevice*, uint32_t*);
  int32_t (*GetDeviceInfo)(ClDevice, uint32_t, size_t, void*, size_t*);
  ClContext (*CreateContext)(const intptr_t*, uint32_t, const ClDevice*,
                             void (*)(const char*, const void*, size_t, void*), void*, int32_t*);
  int32_t (*ReleaseContext)(ClContext);
  ClQueue (*CreateCommandQueue)(ClContext, ClDevice, uint64_t, int32_t*);
  int32_t (*ReleaseCommandQueue)(ClQueue);
  ClMem (*CreateBuffer)(ClContext, uint64_t, size_t, void*, int32_t*);
  int32_t (*RetainMemObject)(ClMem);
  int32_t (*ReleaseMemObject)(ClMem);
  int32_t (*EnqueueFillBuffer)(ClQueue, ClMem, const void*, size_t, size_t, size_t, uint32_t,
                               const ClEvent*, ClEvent*);
  int32_t (*EnqueueWriteBuffer)(ClQueue, ClMem, uint32_t, size_t, size_t, const void*, uint32_t,
                                const ClEvent*, ClEvent*);
  int32_t (*EnqueueReadBuffer)(ClQueue, ClMem, uint32_t, size_t, size_t, void*, uint32_t,
                               const ClEvent*, ClEvent*);
  int32_t (*Flush)(ClQueue);
  int32_t (*Finish)(ClQueue);
  int32_t (*WaitForEvents)(uint32_t, const ClEvent*);
  int32_t (*GetEventInfo)(ClEvent, uint32_t, size_t, void*, size_t*);
  int32_t (*ReleaseEvent)(ClEvent);
  ClProgram (*CreateProgramWithSource)(ClContext, uint32_t, const char**, const size_t*, int32_t*);
  int32_t (*BuildProgram)(ClProgram, uint32_t, const ClDevice*, const char*,
                          void (*)(ClProgram, void*), void*);
  int32_t (*GetProgramBuildInfo)(ClProgram, ClDevice, uint32_t, size_t, void*, size_t*);
  int32_t (*ReleaseProgram)(ClProgram);
  ClKernel (*CreateKernel)(ClProgram, const char*, int32_t*);
  int32_t (*ReleaseKernel)(ClKernel);
  int32_t (*SetKernelArg)(ClKernel, uint32_t, size_t, const void*);
  int32_t (*EnqueueNDRangeKernel)(ClQueue, ClKernel, uint32_t, const size_t*, const size_t*,
                                  const size_t*, uint32_t, const ClEvent*, ClEvent*);
};

// The library that is used unless somebody names another: the environment's DEVMEM_OPENCL_LIBRARY,
// else the ICD loader's usual name.
std::string DefaultOpenClLibrary();

// "CL_OUT_OF_RESOURCES", or the number for a code without a common name.
std::string OpenClErrorName(int32_t code);

// The status for a failed call: `what` names the call and its object.
absl::Status OpenClToStatus(int32_t code, absl::string_view what);

// Owns one reference to an object of the driver. Objects keep what they were made from alive, so
// the order in which owners go does not matter.
template <typename Object>
class OpenClOwned {
 public:
  OpenClOwned() = default;
  OpenClOwned(Object object, int32_t (*release)(Object)) : object_(object), release_(release) {}
  ~OpenClOwned() { Reset(); }
  OpenClOwned(OpenClOwned&& other) noexcept
      : object_(std::exchange(other.object_, nullptr)), release_(other.release_) {}
  OpenClOwned& operator=(OpenClOwned&& other) noexcept {
    if (this != &other) {
      Reset();
      object_ = std::exchange(other.object_, nullptr);
      release_ = other.release_;
    }
    return *this;
  }
  OpenClOwned(const OpenClOwned&) = delete;
  OpenClOwned& operator=(const OpenClOwned&) = delete;

  Object get() const { return object_; }

 private:
  void Reset() {
    if (object_ != nullptr) release_(object_);
    object_ = nullptr;
  }

  Object object_ = nullptr;
  int32_t (*release_)(Object) = nullptr;
};

}  // namespace devmem
