// SPDX-License-Identifier: Apache-2.0
// See opencl_api.h. dlopen(3), and the words for what went wrong.
#include "provider/opencl_api.h"

#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

// Finds functions by name, and remembers the first that is missing.
class Finder {
 public:
  explicit Finder(void* library) : library_(library) {}

  template <typename Function>
  void Find(const char* name, Function* function) {
    void* const symbol = ::dlsym(library_, name);
    if (symbol == nullptr && missing_.empty()) missing_ = name;
    *function = reinterpret_cast<Function>(symbol);
  }

  const std::string& missing() const { return missing_; }

 private:
  void* const library_;
  std::string missing_;
};

std::string FindAll(void* library, OpenClApi* api) {
  Finder finder(library);
  finder.Find("clGetPlatformIDs", &api->GetPlatformIDs);
  finder.Find("clGetPlatformInfo", &api->GetPlatformInfo);
  finder.Find("clGetDeviceIDs", &api->GetDeviceIDs);
  finder.Find("clGetDeviceInfo", &api->GetDeviceInfo);
  finder.Find("clCreateContext", &api->CreateContext);
  finder.Find("clReleaseContext", &api->ReleaseContext);
  finder.Find("clCreateCommandQueue", &api->CreateCommandQueue);
  finder.Find("clReleaseCommandQueue", &api->ReleaseCommandQueue);
  finder.Find("clCreateBuffer", &api->CreateBuffer);
  finder.Find("clRetainMemObject", &api->RetainMemObject);
  finder.Find("clReleaseMemObject", &api->ReleaseMemObject);
  finder.Find("clEnqueueFillBuffer", &api->EnqueueFillBuffer);
  finder.Find("clEnqueueWriteBuffer", &api->EnqueueWriteBuffer);
  finder.Find("clEnqueueReadBuffer", &api->EnqueueReadBuffer);
  finder.Find("clFlush", &api->Flush);
  finder.Find("clFinish", &api->Finish);
  finder.Find("clWaitForEvents", &api->WaitForEvents);
  finder.Find("clGetEventInfo", &api->GetEventInfo);
  finder.Find("clReleaseEvent", &api->ReleaseEvent);
  finder.Find("clCreateProgramWithSource", &api->CreateProgramWithSource);
  finder.Find("clBuildProgram", &api->BuildProgram);
  finder.Find("clGetProgramBuildInfo", &api->GetProgramBuildInfo);
  finder.Find("clReleaseProgram", &api->ReleaseProgram);
  finder.Find("clCreateKernel", &api->CreateKernel);
  finder.Find("clReleaseKernel", &api->ReleaseKernel);
  finder.Find("clSetKernelArg", &api->SetKernelArg);
  finder.Find("clEnqueueNDRangeKernel", &api->EnqueueNDRangeKernel);
  return finder.missing();
}

absl::StatusOr<OpenClApi> LoadNow(const std::string& library) {
  void* const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const why = ::dlerror();
    return absl::UnavailableError(absl::StrCat(
        "OpenCL's loader library cannot be loaded: ", why != nullptr ? why : library.c_str(),
        "; install ocl-icd-libopencl1 and a ",
        "device's driver (pocl-opencl-icd makes a device of the processor)"));
  }
  OpenClApi api = {};
  const std::string missing = FindAll(handle, &api);
  if (missing.empty()) return api;
  ::dlclose(handle);
  return absl::UnavailableError(absl::StrCat("the library ", library, " has no function ", missing,
                                             ": OpenCL 1.2 or later is needed; update ",
                                             "ocl-icd-libopencl1"));
}

absl::StatusCode StatusCodeFor(int32_t code) {
  switch (code) {
    case kClMemObjectAllocationFailure:
    case kClOutOfResources:
    case kClOutOfHostMemory: return absl::StatusCode::kResourceExhausted;
    case kClInvalidBufferSize: return absl::StatusCode::kOutOfRange;
    case kClDeviceNotFound:
    case kClDeviceNotAvailable:
    case kClCompilerNotAvailable:
    case kClPlatformNotFound: return absl::StatusCode::kUnavailable;
    default: return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::StatusOr<const OpenClApi*> OpenClApi::Load(const std::string& library) {
  // Never destroyed: a driver's thread may outlive every static object.
  static std::mutex& mutex = *new std::mutex;
  static auto& loaded = *new std::map<std::string, OpenClApi>;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = loaded.find(library);
  if (found != loaded.end()) return &found->second;
  absl::StatusOr<OpenClApi> api = LoadNow(library);
  if (!api.ok()) return api.status();
  return &loaded.emplace(library, *api).first->second;
}

std::string DefaultOpenClLibrary() {
  const char* const named = std::getenv("DEVMEM_OPENCL_LIBRARY");
  return named != nullptr && *named != '\0' ? named : "libOpenCL.so.1";
}

std::string OpenClErrorName(int32_t code) {
  switch (code) {
    case kClSuccess: return "CL_SUCCESS";
    case kClDeviceNotFound: return "CL_DEVICE_NOT_FOUND";
    case kClDeviceNotAvailable: return "CL_DEVICE_NOT_AVAILABLE";
    case kClCompilerNotAvailable: return "CL_COMPILER_NOT_AVAILABLE";
    case kClMemObjectAllocationFailure: return "CL_MEM_OBJECT_ALLOCATION_FAILURE";
    case kClOutOfResources: return "CL_OUT_OF_RESOURCES";
    case kClOutOfHostMemory: return "CL_OUT_OF_HOST_MEMORY";
    case kClBuildProgramFailure: return "CL_BUILD_PROGRAM_FAILURE";
    case kClErrorInWaitList: return "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST";
    case kClInvalidValue: return "CL_INVALID_VALUE";
    case kClInvalidDevice: return "CL_INVALID_DEVICE";
    case kClInvalidContext: return "CL_INVALID_CONTEXT";
    case kClInvalidCommandQueue: return "CL_INVALID_COMMAND_QUEUE";
    case kClInvalidBufferSize: return "CL_INVALID_BUFFER_SIZE";
    case kClPlatformNotFound: return "CL_PLATFORM_NOT_FOUND_KHR";
    default: return absl::StrCat("OpenCL error ", code);
  }
}

absl::Status OpenClToStatus(int32_t code, absl::string_view what) {
  return absl::Status(StatusCodeFor(code), absl::StrCat(what, ": ", OpenClErrorName(code)));
}

}  // namespace devmem
