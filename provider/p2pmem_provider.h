// SPDX-License-Identifier: Apache-2.0
// The "p2pmem" provider: regions in the memory of a PCI device that its driver offers to other
// devices, as NVMe drives do with their controller memory buffer. Control thread only. The kernel's
// documentation of PCI peer-to-peer DMA and of /sys/bus/pci/devices/.../p2pmem.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/provider.h"
#include "provider/system_calls.h"

namespace devmem {

// AllocateOptions::device is the PCI address, "0000:01:00.0"; empty is the first that there is. A
// region is pinned or may be revoked, and local to this process: each mapping of the device's file
// is memory of its own, so there is no handle and one mapping only, which one attachment or view
// uses at a time. System calls that pin pages for a device (O_DIRECT, registered buffers) fail on
// it with EREMOTEIO unless that device is a peer too.
class P2pmemProvider final : public Provider {
 public:
  // `calls` outlives the provider.
  explicit P2pmemProvider(const SystemCalls& calls = SystemCalls::OfThisMachine())
      : calls_(calls) {}

  absl::string_view name() const override { return "p2pmem"; }
  absl::StatusOr<std::string> Probe() override;
  std::vector<ProviderDevice> Devices() override;
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override;

 private:
  const SystemCalls& calls_;
};

}  // namespace devmem
