// SPDX-License-Identifier: Apache-2.0
// See cuda_host_memory.h.
#include "provider/cuda_host_memory.h"

#include <map>
#include <mutex>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

struct Registration {
  size_t users = 0;
  bool ours = false;  // To unregister. Not where somebody else registered it.
};

// The lock is held while the driver registers and unregisters too: an engine that begins while the
// last one of its memory ends finds either the whole registration or none.
struct Registry {
  std::mutex mutex;
  std::map<std::pair<const CudaApi*, void*>, Registration> registrations;  // Guarded by mutex.
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaHostMemory>> CudaHostMemory::Register(
    std::shared_ptr<CudaDevice> device, void* address, size_t bytes) {
  const CudaApi& api = device->api();
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  const auto found = registry.registrations.find({&api, address});
  if (found != registry.registrations.end()) {
    ++found->second.users;
  } else {
    const CudaDevice::Current current(*device);
    CUresult result = current.result();
    if (result == CUDA_SUCCESS) {
      result = api.MemHostRegister(address, bytes, kCuMemHostRegisterPortable);
    }
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED) {
      return api.ToStatus(result,
                          absl::StrCat("cuMemHostRegister of ", bytes, " bytes of staging memory"));
    }
    registry.registrations[{&api, address}] = {.users = 1, .ours = result == CUDA_SUCCESS};
  }
  return std::unique_ptr<CudaHostMemory>(new CudaHostMemory(std::move(device), address));
}

CudaHostMemory::~CudaHostMemory() {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  const auto found = registry.registrations.find({&device_->api(), address_});
  if (--found->second.users > 0) return;
  const CudaDevice::Current current(*device_);
  if (found->second.ours) (void)device_->api().MemHostUnregister(address_);
  registry.registrations.erase(found);
}

}  // namespace devmem
