// SPDX-License-Identifier: Apache-2.0
// CudaRegion: a region in a GPU's memory. Made by the cuda provider; the application's kernels read
// what was received at device_pointer(), in the GPU's primary context, which the CUDA runtime uses
// too. The processor cannot map it, so payload is staged and copied by a CudaDmaEngine. Any thread,
// like every region. Documentation/providers.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "provider/region.h"

namespace devmem {

class CudaDevice;  // provider/cuda_device.h
class CudaMemory;  // provider/cuda_memory.h

class CudaRegion final : public Region {
 public:
  // `memory` has traits.size_bytes bytes. Once its device is lost, so is the region.
  CudaRegion(RegionTraits traits, std::shared_ptr<CudaMemory> memory);

  // `region` as what it is; null where it is not a cuda region.
  static const CudaRegion* From(const Region& region);

  // Where the region begins in the GPU's address space: a CUdeviceptr, for the application's
  // kernels and copies. Not an address for the processor. Good as long as the region; kernels that
  // use it have ended before the region goes.
  uint64_t device_pointer() const;

  // The GPU: its number in this process, and its place, "0000:65:00.0".
  int device_ordinal() const;
  const std::string& pci_address() const;

  const std::shared_ptr<CudaMemory>& memory() const { return memory_; }
  CudaDevice& device() const;

  // The driver's dma-buf of a range. kFailedPrecondition where driver or GPU cannot make one.
  absl::StatusOr<UniqueFd> ExportDmabuf(uint64_t offset, uint64_t bytes) const override;
  absl::StatusOr<Residence> FindResidence() const override;

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override;
  absl::StatusOr<std::unique_ptr<DmaEngine>> CreateDmaEngine(DmaMapping& staging) const override;

  const std::shared_ptr<CudaMemory> memory_;
};

}  // namespace devmem
