// SPDX-License-Identifier: Apache-2.0
// See cuda_memory.h.
#include "provider/cuda_memory.h"

#include <fcntl.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

CUmemAllocationProp PropertiesOn(const CudaDeviceInfo& info) {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes =
      info.file_handles ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : CU_MEM_HANDLE_TYPE_NONE;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, info.ordinal};
  // Without this a dma-buf of the memory could not be mapped by other devices.
  properties.allocFlags.gpuDirectRDMACapable = info.peer_dma ? 1 : 0;
  return properties;
}

absl::StatusOr<uint64_t> RoundedUp(const CudaDevice& device, uint64_t bytes) {
  const CUmemAllocationProp properties = PropertiesOn(device.info());
  size_t granule = 0;
  const CUresult result = device.api().MemGetAllocationGranularity(
      &granule, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
  if (result == CUDA_SUCCESS && granule != 0) return (bytes + granule - 1) / granule * granule;
  return device.api().ToStatus(
      result == CUDA_SUCCESS ? CUDA_ERROR_UNKNOWN : result,
      absl::StrCat("cuMemGetAllocationGranularity on ", Describe(device.info())));
}

}  // namespace

std::string CudaMemory::What(const std::string& call) const {
  return absl::StrCat(call, " of ", mapped_bytes_, " bytes on ", Describe(device_->info()));
}

absl::StatusOr<std::shared_ptr<CudaMemory>> CudaMemory::Create(std::shared_ptr<CudaDevice> device,
                                                               uint64_t bytes) {
  const CudaDevice::Current current(*device);
  if (current.result() != CUDA_SUCCESS) {
    return device->api().ToStatus(current.result(), Describe(device->info()));
  }
  const absl::StatusOr<uint64_t> rounded = RoundedUp(*device, bytes);
  if (!rounded.ok()) return rounded.status();
  std::shared_ptr<CudaMemory> memory(new CudaMemory(device, bytes));
  memory->mapped_bytes_ = *rounded;
  absl::Status made = memory->Allocate();
  if (made.ok()) made = memory->Map();
  if (!made.ok()) return made;
  const CudaApi& api = memory->device().api();
  const CUresult zeroed = api.MemsetD8(memory->address_, 0, memory->mapped_bytes_);
  if (zeroed != CUDA_SUCCESS) return api.ToStatus(zeroed, memory->What("cuMemsetD8"));
  memory->ExportHandle();
  return memory;
}

absl::StatusOr<std::shared_ptr<CudaMemory>> CudaMemory::Import(std::shared_ptr<CudaDevice> device,
                                                               int fd, uint64_t bytes) {
  const CudaDevice::Current current(*device);
  if (current.result() != CUDA_SUCCESS) {
    return device->api().ToStatus(current.result(), Describe(device->info()));
  }
  const absl::StatusOr<uint64_t> rounded = RoundedUp(*device, bytes);
  if (!rounded.ok()) return rounded.status();
  std::shared_ptr<CudaMemory> memory(new CudaMemory(device, bytes));
  memory->mapped_bytes_ = *rounded;
  absl::Status made = memory->ImportHandle(fd);
  if (made.ok()) made = memory->Map();
  if (!made.ok()) return made;
  return memory;
}

absl::Status CudaMemory::Allocate() {
  const CudaApi& api = device_->api();
  CUmemAllocationProp properties = PropertiesOn(device_->info());
  CUresult result = api.MemCreate(&handle_, mapped_bytes_, &properties, 0);
  // Drivers inside virtual machines claim handles and then refuse them.
  if ((result == CUDA_ERROR_NOT_SUPPORTED || result == CUDA_ERROR_NOT_PERMITTED) &&
      properties.requestedHandleTypes != CU_MEM_HANDLE_TYPE_NONE) {
    local_because_ =
        absl::StrCat("the driver refuses handles of this memory, ", api.ErrorName(result));
    properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_NONE;
    properties.allocFlags.gpuDirectRDMACapable = 0;
    result = api.MemCreate(&handle_, mapped_bytes_, &properties, 0);
  }
  has_handle_ = result == CUDA_SUCCESS;
  if (has_handle_) return absl::OkStatus();
  absl::Status refused = api.ToStatus(result, What("cuMemCreate"));
  size_t free = 0;
  size_t total = 0;
  if (result == CUDA_ERROR_OUT_OF_MEMORY && api.MemGetInfo(&free, &total) == CUDA_SUCCESS) {
    return absl::ResourceExhaustedError(absl::StrCat(refused.message(), "; ", free, " of ", total,
                                                     " bytes are free; ask for ",
                                                     "less, or end who uses the GPU (nvidia-smi)"));
  }
  return refused;
}

absl::Status CudaMemory::ImportHandle(int fd) {
  const CudaApi& api = device_->api();
  // The driver takes the descriptor's number in the place of a pointer.
  void* const number = reinterpret_cast<void*>(static_cast<uintptr_t>(fd));
  CUresult result =
      api.MemImportFromShareableHandle(&handle_, number, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  has_handle_ = result == CUDA_SUCCESS;
  if (!has_handle_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "descriptor ", fd, " is no handle of CUDA memory that ", Describe(device_->info()),
        " could import: ", api.ErrorName(result), "; pass what Region::ShareHandle() gave"));
  }
  CUmemAllocationProp properties = {};
  result = api.MemGetAllocationPropertiesFromHandle(&properties, handle_);
  if (result != CUDA_SUCCESS) {
    return api.ToStatus(result, What("cuMemGetAllocationPropertiesFromHandle"));
  }
  if (properties.location.id == device_->ordinal()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("descriptor ", fd, " is memory of GPU ", properties.location.id, ", not of ",
                   Describe(device_->info()), "; name that GPU in AllocateOptions::device"));
}

absl::Status CudaMemory::Map() {
  const CudaApi& api = device_->api();
  CUresult result = api.MemAddressReserve(&address_, mapped_bytes_, 0, 0, 0);
  if (result != CUDA_SUCCESS) {
    address_ = 0;
    return api.ToStatus(result, What("cuMemAddressReserve"));
  }
  result = api.MemMap(address_, mapped_bytes_, 0, handle_, 0);
  mapped_ = result == CUDA_SUCCESS;
  // After an import this is where a size that the handle does not hold is found.
  if (!mapped_) return api.ToStatus(result, What("cuMemMap"));
  const CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, device_->ordinal()},
                                  CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  result = api.MemSetAccess(address_, mapped_bytes_, &access, 1);
  return result == CUDA_SUCCESS ? absl::OkStatus() : api.ToStatus(result, What("cuMemSetAccess"));
}

void CudaMemory::ExportHandle() {
  if (!device_->info().file_handles) {
    local_because_ =
        absl::StrCat(Describe(device_->info()), " does not give file handles of its memory");
  }
  if (!local_because_.empty()) return;
  int fd = -1;
  const CUresult result = device_->api().MemExportToShareableHandle(
      &fd, handle_, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  if (result != CUDA_SUCCESS) {
    local_because_ =
        absl::StrCat("cuMemExportToShareableHandle: ", device_->api().ErrorName(result));
    return;
  }
  handle_fd_.Reset(fd);
  // No program that is executed shall hold GPU memory that it does not know of.
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// In the order that the driver asks for. What fails here fails because the device is lost or the
// process ends, and then there is nothing to give back.
CudaMemory::~CudaMemory() {
  const CudaApi& api = device_->api();
  const CudaDevice::Current current(*device_);
  if (mapped_) (void)api.MemUnmap(address_, mapped_bytes_);
  if (has_handle_) (void)api.MemRelease(handle_);
  if (address_ != 0) (void)api.MemAddressFree(address_, mapped_bytes_);
}

}  // namespace devmem
