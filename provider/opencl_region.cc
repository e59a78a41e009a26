// SPDX-License-Identifier: Apache-2.0
// See opencl_region.h.
#include "provider/opencl_region.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/opencl_dma_engine.h"

namespace devmem {

OpenClOwned<ClMem> OpenClRegion::ShareBuffer() const {
  const OpenClApi& api = device_->api();
  const int32_t code = api.RetainMemObject(buffer_.get());
  DEVMEM_CHECK(code == kClSuccess, "OpenCL does not know a buffer that is owned");
  return OpenClOwned<ClMem>(buffer_.get(), api.ReleaseMemObject);
}

absl::StatusOr<Residence> OpenClRegion::FindResidence() const {
  return absl::UnimplementedError(absl::StrCat("OpenCL does not tell where the bytes of ",
                                               Describe(), " lie; they were allocated on ",
                                               DescribeOpenClDevice(device_->facts())));
}

absl::StatusOr<MappedMemory> OpenClRegion::Map(MapAccess /*access*/) const {
  return absl::FailedPreconditionError(absl::StrCat(
      Describe(), " cannot be mapped: it is memory of an OpenCL device; copy bytes back, or look ",
      "at them by a kernel on the device"));
}

absl::StatusOr<std::unique_ptr<DmaEngine>> OpenClRegion::CreateDmaEngine(
    DmaMapping& staging) const {
  return OpenClDmaEngine::Create(*this, staging);
}

}  // namespace devmem
