// SPDX-License-Identifier: Apache-2.0
// The "hugetlb" provider: regions of host memory in huge pages of 2 MiB or 1 GiB, which are never
// swapped and cost a device few address translations. The pages are the machine's own stock, that
// root makes. Control thread only. The kernel's admin guide on hugetlbpage.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/provider.h"
#include "provider/system_calls.h"

namespace devmem {

// Its regions are those of "memfd" in larger pages: pinned or revocable, sealed, with a handle when
// pinned. AllocateOptions::device chooses the size of a page: "2MiB", which is also meant by
// nothing, or "1GiB".
class HugetlbProvider final : public Provider {
 public:
  // `calls` outlives the provider and its regions.
  explicit HugetlbProvider(const SystemCalls& calls = SystemCalls::OfThisMachine())
      : calls_(calls) {}

  absl::string_view name() const override { return "hugetlb"; }
  // OK when there is a free page of either size.
  absl::StatusOr<std::string> Probe() override;
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override;

 private:
  const SystemCalls& calls_;
};

}  // namespace devmem
