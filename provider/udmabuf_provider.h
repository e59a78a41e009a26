// SPDX-License-Identifier: Apache-2.0
// The "udmabuf" provider: regions of host memory whose handle is a dma-buf, so that importers in
// the kernel (a NIC's driver, a GPU's) take them, and whose bytes the processor reaches through the
// memfd below. Control thread only. The kernel's driver udmabuf.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/provider.h"
#include "provider/system_calls.h"

namespace devmem {

// Its regions are pinned, for the driver holds their pages as long as the dma-buf lives.
class UdmabufProvider final : public Provider {
 public:
  // `calls` outlives the provider and its regions.
  explicit UdmabufProvider(const SystemCalls& calls = SystemCalls::OfThisMachine())
      : calls_(calls) {}

  absl::string_view name() const override { return "udmabuf"; }
  absl::StatusOr<std::string> Probe() override;
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override;

 private:
  const SystemCalls& calls_;
};

}  // namespace devmem
