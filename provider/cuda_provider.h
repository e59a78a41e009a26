// SPDX-License-Identifier: Apache-2.0
// The "cuda" provider: regions in the memory of NVIDIA GPUs, through the driver library that is
// loaded when somebody first asks. What was received there is read by the application's kernels, at
// CudaRegion::device_pointer(). Control thread only. CUDA driver API, virtual memory management.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/provider.h"

namespace devmem {

// Its regions are pinned (kPinned or kMayRevoke), out of the processor's reach and so staged, and
// have a file handle where GPU and driver give one. A size is a multiple of 4 KiB as elsewhere; the
// GPU gives memory in granules of 2 MiB, and the rest of the last one stays unused.
class CudaProvider final : public Provider {
 public:
  // `library`: the driver library to load; empty for the one of CudaApi::Load().
  explicit CudaProvider(std::string library = {}) : library_(std::move(library)) {}

  absl::string_view name() const override { return "cuda"; }
  absl::StatusOr<std::string> Probe() override;
  std::vector<ProviderDevice> Devices() override;
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override;

  // A region on the memory behind another region's handle (Region::ShareHandle()), as a rule one of
  // another process, with the bytes that are in it. The caller keeps `fd`. The size
  // must be that of the exporter's region: the handle does not tell it. Without a device in
  // `options` the one that the memory lies on is found. Errors: those of Allocate(), and
  // kInvalidArgument for a descriptor that is no such handle.
  absl::StatusOr<std::unique_ptr<Region>> ImportShared(int fd, const AllocateOptions& options);

 private:
  const std::string library_;
};

}  // namespace devmem
