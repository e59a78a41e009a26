// SPDX-License-Identifier: Apache-2.0
// The "memfd" provider: regions that are sealed anonymous files of host memory, of small or huge
// pages. The default, for every machine, and what tests use for device memory. Control thread only.
// memfd_create(2), fcntl(2) on file seals.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/provider.h"
#include "provider/system_calls.h"

namespace devmem {

// Its regions are pinned or may be revoked. Pinned ones have a file handle that can be passed on.
// All are sealed against shrinking, growing and further seals: no holder of the handle can pull
// pages from under a NIC.
class MemfdProvider final : public Provider {
 public:
  // `calls` outlives the provider and its regions.
  explicit MemfdProvider(const SystemCalls& calls = SystemCalls::OfThisMachine()) : calls_(calls) {}

  absl::string_view name() const override { return "memfd"; }
  absl::StatusOr<std::string> Probe() override;
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override;

 private:
  const SystemCalls& calls_;
};

}  // namespace devmem
