// SPDX-License-Identifier: Apache-2.0
// OpenClRegion: a buffer in the memory of an OpenCL device. The processor never maps it: a NIC's
// payload reaches it through OpenClDmaEngine, programs look at it through kernels (opencl_sha256.h)
// or by copies back. Made by the opencl provider on the control thread.
#pragma once

#include <memory>
#include <utility>

#include "provider/opencl_device.h"
#include "provider/region.h"

namespace devmem {

class OpenClRegion final : public Region {
 public:
  // `buffer` is one of the device's, of the region's size, zeroed.
  OpenClRegion(RegionTraits traits, std::shared_ptr<OpenClDevice> device, OpenClOwned<ClMem> buffer)
      : Region(std::move(traits)), device_(std::move(device)), buffer_(std::move(buffer)) {}

  const std::shared_ptr<OpenClDevice>& device() const { return device_; }

  // A further owner of the buffer, which so outlives the region.
  OpenClOwned<ClMem> ShareBuffer() const;

  absl::StatusOr<Residence> FindResidence() const override;

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override;
  absl::StatusOr<std::unique_ptr<DmaEngine>> CreateDmaEngine(DmaMapping& staging) const override;

  const std::shared_ptr<OpenClDevice> device_;
  const OpenClOwned<ClMem> buffer_;
};

}  // namespace devmem
