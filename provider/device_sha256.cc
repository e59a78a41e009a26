// SPDX-License-Identifier: Apache-2.0
// See device_sha256.h. The list of devices that compute: a new kind adds its include and its line.
#include "provider/device_sha256.h"

#include "absl/strings/str_cat.h"
#include "provider/cuda_region.h"
#include "provider/cuda_sha256.h"
#include "provider/opencl_region.h"
#include "provider/opencl_sha256.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<DeviceSha256>> CreateDeviceSha256(const Region& region) {
  if (const CudaRegion* const cuda = CudaRegion::From(region)) return CudaSha256::Create(*cuda);
  if (const auto* opencl = dynamic_cast<const OpenClRegion*>(&region)) {
    return OpenClSha256::Create(*opencl);
  }
  return absl::UnimplementedError(absl::StrCat(
      region.Describe(), " is on no device that computes a hash; hash what a RegionView shows"));
}

}  // namespace devmem
