// SPDX-License-Identifier: Apache-2.0
// Choosing memory for a NIC: `--provider auto`. The nearest GPU whose memory can be had, by its
// distance on PCI; host memory where there is none. Every choice comes with a sentence that says
// why, and what was passed over. Control thread; Documentation/providers.md.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/pci_distance.h"
#include "provider/provider.h"
#include "provider/region.h"
#include "provider/topology.h"

namespace devmem {

// The name under which users ask for a choice in place of a provider.
inline constexpr absl::string_view kAutoProvider = "auto";

// A GPU whose memory a NIC could be given.
struct ProviderCandidate {
  Provider* provider = nullptr;  // Lives as long as the program, as the providers do.
  ProviderDevice device;
  std::optional<PciDistance> distance;  // From the NIC; unset where either is on no PCI bus.
};

struct ProviderRanking {
  std::vector<ProviderCandidate> candidates;  // The nearest first.
  // What cannot be used, with the reason: "cuda: libcuda.so.1 is not there".
  std::vector<std::string> unusable;
  // How the candidates are ordered, for a person.
  std::string order;
};

// Asks the providers of GPU memory among `providers` for their devices and ranks these: by
// distance, those without one last, then in the order cuda, opencl, then in the provider's own. A
// processor in the role of a device is no candidate. `nic` need not be known to `topology`.
ProviderRanking RankProviders(const Topology& topology, absl::string_view nic,
                              std::span<Provider* const> providers);

struct ChosenRegion {
  std::unique_ptr<Region> region;
  std::string why;  // One sentence.
};

// A region of the nearest candidate that gives one, else of the provider "memfd", which must be
// among `providers`. Errors: memfd's own; a request that is wrong is refused by all.
// `options.device` is not used.
absl::StatusOr<ChosenRegion> AllocateNearest(const AllocateOptions& options, absl::string_view nic,
                                             const Topology& topology,
                                             std::span<Provider* const> providers);

// The same on this machine, of all providers.
absl::StatusOr<ChosenRegion> AllocateNearest(const AllocateOptions& options, absl::string_view nic);

}  // namespace devmem
