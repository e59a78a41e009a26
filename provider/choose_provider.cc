// SPDX-License-Identifier: Apache-2.0
// See choose_provider.h.
#include "provider/choose_provider.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace devmem {
namespace {

// The providers of GPU memory; at one distance the first is preferred, because a vendor's own
// interface moves bytes at least as fast.
constexpr std::array<absl::string_view, 2> kGpuProviders = {"cuda", "opencl"};
constexpr absl::string_view kHostProvider = "memfd";

Provider* FindByName(std::span<Provider* const> providers, absl::string_view name) {
  for (Provider* const provider : providers) {
    if (provider->name() == name) return provider;
  }
  return nullptr;
}

// "cuda 0 (NVIDIA H200)".
std::string Name(const ProviderCandidate& candidate) {
  const std::string& description = candidate.device.description;
  return absl::StrCat(candidate.provider->name(), " ", candidate.device.name,
                      description.empty() ? "" : absl::StrCat(" (", description, ")"));
}

std::string NameAndDistance(const ProviderCandidate& candidate) {
  return absl::StrCat(
      Name(candidate), ": ",
      candidate.distance.has_value() ? ToString(*candidate.distance) : "at no known distance");
}

std::optional<PciDistance> DistanceOf(const Topology& topology, const TopologyDevice* nic,
                                      const ProviderDevice& device) {
  const TopologyDevice* const memory =
      device.pci_address.empty() ? nullptr : topology.FindMemory(device.pci_address);
  if (nic == nullptr || memory == nullptr) return std::nullopt;
  return topology.Distance(*nic, *memory).distance;
}

bool Nearer(const ProviderCandidate& a, const ProviderCandidate& b) {
  if (a.distance.has_value() != b.distance.has_value()) return a.distance.has_value();
  return a.distance.has_value() && *a.distance < *b.distance;
}

void AddDevices(const Topology& topology, const TopologyDevice* nic, Provider* provider,
                ProviderRanking* ranking) {
  const absl::StatusOr<std::string> probed = provider->Probe();
  if (!probed.ok()) {
    ranking->unusable.push_back(absl::StrCat(provider->name(), ": ", probed.status().message()));
    return;
  }
  for (ProviderDevice& device : provider->Devices()) {
    if (device.device_class == DeviceClass::kGpu) {
      const std::optional<PciDistance> distance = DistanceOf(topology, nic, device);
      ranking->candidates.push_back({provider, std::move(device), distance});
      continue;
    }
    ranking->unusable.push_back(
        absl::StrCat(provider->name(), " ", device.name, ": ",
                     device.device_class == DeviceClass::kProcessor
                         ? "it is the processor, whose memory the host has anyway"
                         : "it is no GPU"));
  }
}

std::string OrderFor(absl::string_view name, const TopologyDevice* nic) {
  if (nic == nullptr) return absl::StrCat("this machine does not know the NIC ", name);
  if (!nic->pci.has_value()) return absl::StrCat(name, " is software, and near to nothing");
  return absl::StrCat("the distance from ", name, " decides");
}

std::string PassedOver(const std::vector<std::string>& passed) {
  return passed.empty() ? "" : absl::StrCat("; passed over: ", absl::StrJoin(passed, "; "));
}

std::string WhyThis(const ProviderRanking& ranking, const ProviderCandidate& chosen,
                    const std::vector<std::string>& passed) {
  return absl::StrCat(NameAndDistance(chosen),
                      chosen.distance.has_value() ? ", the nearest GPU that gives memory ("
                                                  : ", the first GPU that gives memory (",
                      ranking.order, ")", PassedOver(passed));
}

std::string WhyHost(const std::vector<std::string>& passed) {
  return absl::StrCat(kHostProvider, ": no GPU's memory can be had here", PassedOver(passed));
}

}  // namespace

ProviderRanking RankProviders(const Topology& topology, absl::string_view nic,
                              std::span<Provider* const> providers) {
  const TopologyDevice* const device = topology.FindNic(nic);
  ProviderRanking ranking;
  ranking.order = OrderFor(nic, device);
  for (const absl::string_view name : kGpuProviders) {
    Provider* const provider = FindByName(providers, name);
    if (provider != nullptr) AddDevices(topology, device, provider, &ranking);
  }
  std::stable_sort(ranking.candidates.begin(), ranking.candidates.end(), Nearer);
  return ranking;
}

absl::StatusOr<ChosenRegion> AllocateNearest(const AllocateOptions& options, absl::string_view nic,
                                             const Topology& topology,
                                             std::span<Provider* const> providers) {
  const ProviderRanking ranking = RankProviders(topology, nic, providers);
  std::vector<std::string> passed;
  AllocateOptions request = options;
  for (size_t i = 0; i < ranking.candidates.size(); ++i) {
    const ProviderCandidate& candidate = ranking.candidates[i];
    request.device = candidate.device.name;
    absl::StatusOr<std::unique_ptr<Region>> region = AllocateRegion(*candidate.provider, request);
    if (!region.ok()) {
      passed.push_back(absl::StrCat(Name(candidate), ": ", region.status().message()));
      continue;
    }
    for (size_t j = i + 1; j < ranking.candidates.size(); ++j) {
      passed.push_back(NameAndDistance(ranking.candidates[j]));
    }
    passed.insert(passed.end(), ranking.unusable.begin(), ranking.unusable.end());
    return ChosenRegion{*std::move(region), WhyThis(ranking, candidate, passed)};
  }
  passed.insert(passed.end(), ranking.unusable.begin(), ranking.unusable.end());
  Provider* const host = FindByName(providers, kHostProvider);
  if (host == nullptr) {
    return absl::NotFoundError(absl::StrCat("the provider ", kHostProvider, " is missing"));
  }
  request.device.clear();
  absl::StatusOr<std::unique_ptr<Region>> region = AllocateRegion(*host, request);
  if (!region.ok()) return region.status();
  return ChosenRegion{*std::move(region), WhyHost(passed)};
}

absl::StatusOr<ChosenRegion> AllocateNearest(const AllocateOptions& options,
                                             absl::string_view nic) {
  const absl::StatusOr<Topology> topology = Topology::Create();
  if (!topology.ok()) return topology.status();
  return AllocateNearest(options, nic, *topology, AllProviders());
}

}  // namespace devmem
