// SPDX-License-Identifier: Apache-2.0
// See cuda_region.h.
#include "provider/cuda_region.h"

#include <fcntl.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/allocate_checks.h"
#include "provider/cuda_device.h"
#include "provider/cuda_dma_engine.h"
#include "provider/cuda_memory.h"

namespace devmem {

CudaRegion::CudaRegion(RegionTraits traits, std::shared_ptr<CudaMemory> memory)
    : Region(std::move(traits)), memory_(std::move(memory)) {
  memory_->device().Watch(life());
}

const CudaRegion* CudaRegion::From(const Region& region) {
  return dynamic_cast<const CudaRegion*>(&region);
}

uint64_t CudaRegion::device_pointer() const { return memory_->address(); }

CudaDevice& CudaRegion::device() const { return memory_->device(); }

int CudaRegion::device_ordinal() const { return device().ordinal(); }

const std::string& CudaRegion::pci_address() const { return device().info().pci_address; }

absl::StatusOr<UniqueFd> CudaRegion::ExportDmabuf(uint64_t offset, uint64_t bytes) const {
  absl::Status usable = status();
  if (usable.ok()) {
    usable = CheckRange(absl::StrCat("a dma-buf of ", Describe()), offset, bytes, size_bytes(),
                        page_bytes());
  }
  if (!usable.ok()) return usable;
  const CudaApi& api = device().api();
  const std::string refused = absl::StrCat(Describe(), " cannot be exported as a dma-buf: ");
  if (api.MemGetHandleForAddressRange == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(refused, "the driver is older than CUDA 11.7; install a newer one"));
  }
  if (!device().info().dmabuf) {
    return absl::FailedPreconditionError(absl::StrCat(
        refused, devmem::Describe(device().info()), " or its driver does not support it; it needs ",
        "NVIDIA's open kernel modules and a kernel with dma-buf"));
  }
  const CudaDevice::Current current(device());
  int fd = -1;
  CUresult result = current.result();
  if (result == CUDA_SUCCESS) {
    result = api.MemGetHandleForAddressRange(&fd, memory_->address() + offset, bytes,
                                             CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
  }
  if (result == CUDA_ERROR_NOT_SUPPORTED) {
    return absl::FailedPreconditionError(
        absl::StrCat(refused, "cuMemGetHandleForAddressRange: ", api.ErrorName(result)));
  }
  if (result != CUDA_SUCCESS) {
    return api.ToStatus(result, absl::StrCat(refused, "cuMemGetHandleForAddressRange"));
  }
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return UniqueFd(fd);
}

absl::StatusOr<Residence> CudaRegion::FindResidence() const {
  const CudaApi& api = device().api();
  const CudaDevice::Current current(device());
  CUmemorytype type = CU_MEMORYTYPE_HOST;
  int ordinal = device_ordinal();
  CUresult result = current.result();
  if (result == CUDA_SUCCESS) {
    result = api.PointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory_->address());
  }
  if (result == CUDA_SUCCESS) {
    result =
        api.PointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, memory_->address());
  }
  if (result != CUDA_SUCCESS) {
    return api.ToStatus(result, absl::StrCat("asking where the bytes of ", Describe(), " lie"));
  }
  // Memory of this kind is pinned as a whole, so its first byte speaks for all.
  if (type == CU_MEMORYTYPE_DEVICE && ordinal == device_ordinal()) {
    return Residence{.device_bytes = size_bytes(),
                     .where = absl::StrCat("memory of ", devmem::Describe(device().info()))};
  }
  const std::string where =
      type == CU_MEMORYTYPE_DEVICE ? absl::StrCat("memory of GPU ", ordinal) : "host memory";
  return Residence{.host_bytes = size_bytes(), .where = where};
}

absl::StatusOr<MappedMemory> CudaRegion::Map(MapAccess /*access*/) const {
  return absl::FailedPreconditionError(
      absl::StrCat(Describe(), " cannot be mapped by the processor: it lies in the memory of ",
                   devmem::Describe(device().info()), "; read it there, at device_pointer()"));
}

absl::StatusOr<std::unique_ptr<DmaEngine>> CudaRegion::CreateDmaEngine(DmaMapping& staging) const {
  return CudaDmaEngine::Create(memory_, life(), staging);
}

}  // namespace devmem
