// SPDX-License-Identifier: Apache-2.0
// See topology.h. The answers; what they are made from is read in topology_reader.cc.
#include "provider/topology.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

const TopologyDevice* Find(std::span<const TopologyDevice> devices, absl::string_view name) {
  for (const TopologyDevice& device : devices) {
    if (device.name == name) return &device;
    const auto& aliases = device.aliases;
    if (std::find(aliases.begin(), aliases.end(), name) != aliases.end()) return &device;
  }
  return nullptr;
}

bool IsHost(const TopologyDevice& device) { return device.kind == TopologyKind::kHostMemory; }

// One of the two has no place on PCI.
std::string NoPlace(const TopologyDevice& a, const TopologyDevice& b) {
  const TopologyDevice& without = a.pci.has_value() ? b : a;
  return absl::StrCat(without.name, " is no PCI device: it has no distance");
}

// What /sys says about the bridges between two devices and the IOMMU before them.
PathFacts AskSysfs(const PciSysfs& sysfs, const PciPlace& a, const PciPlace& b) {
  PathFacts facts;
  for (const PciBridge& bridge : BridgesBetween(a, b)) {
    const AcsState state = sysfs.Acs(bridge.address);
    if (state == AcsState::kRedirected) facts.redirecting_ports.push_back(bridge.address);
    if (state == AcsState::kUnknown) facts.unreadable_ports.push_back(bridge.address);
  }
  for (const PciPlace* place : {&a, &b}) {
    const std::optional<std::string> type = sysfs.IommuType(place->address);
    if (type.has_value() && *type != "identity") {
      facts.iommu_notes.push_back(absl::StrCat("an IOMMU translates for ", place->address, " (",
                                               *type, "): its transfers may be led through it"));
    }
  }
  return facts;
}

}  // namespace

absl::string_view ToString(TopologyKind kind) {
  switch (kind) {
    case TopologyKind::kNic: return "nic";
    case TopologyKind::kGpu: return "gpu";
    case TopologyKind::kCoprocessor: return "coprocessor";
    case TopologyKind::kP2pMemory: return "p2pmem";
    case TopologyKind::kHostMemory: return "host";
  }
  std::abort();
}

const TopologyDevice* Topology::FindNic(absl::string_view name) const { return Find(nics_, name); }

const TopologyDevice* Topology::FindMemory(absl::string_view name) const {
  return Find(memories_, name);
}

DistanceAnswer Topology::DistanceToHost(const TopologyDevice& device,
                                        const TopologyDevice& host) const {
  if (IsHost(device)) return {PciDistance::kSys, "memory of two NUMA nodes"};
  if (!device.pci.has_value()) return {std::nullopt, NoPlace(device, host)};
  if (!device.numa_node.has_value()) {
    return {std::nullopt, absl::StrCat("nobody knows the NUMA node of ", device.name)};
  }
  if (device.numa_node == host.numa_node) {
    return {PciDistance::kPhb, "the memory of the device's own NUMA node"};
  }
  return {PciDistance::kSys, "the memory of another NUMA node"};
}

DistanceAnswer Topology::Distance(const TopologyDevice& a, const TopologyDevice& b) const {
  if (a.kind == b.kind && a.name == b.name) return {PciDistance::kSelf, "one and the same"};
  if (IsHost(b)) return DistanceToHost(a, b);
  if (IsHost(a)) return DistanceToHost(b, a);
  if (!a.pci.has_value() || !b.pci.has_value()) return {std::nullopt, NoPlace(a, b)};
  return {DistanceBetween(*a.pci, *b.pci, machine_),
          absl::StrCat("from ", a.pci->address, " to ", b.pci->address)};
}

PeerToPeerAnswer Topology::FindPeerToPeer(const TopologyDevice& a, const TopologyDevice& b) const {
  if (IsHost(a) || IsHost(b)) {
    return {PeerToPeer::kYes, "host memory needs no peer: every device may reach it", {}};
  }
  const DistanceAnswer answer = Distance(a, b);
  if (!answer.distance.has_value()) return {PeerToPeer::kNo, answer.why, {}};
  const PathFacts path = sysfs_.has_value() && answer.distance != PciDistance::kSelf
                             ? AskSysfs(*sysfs_, *a.pci, *b.pci)
                             : PathFacts();
  if (answer.distance == PciDistance::kSelf && !a.pci.has_value()) {
    return {PeerToPeer::kYes, "the memory is the device's own", {}};
  }
  return DecidePeerToPeer(*a.pci, *b.pci, *answer.distance, machine_, path);
}

}  // namespace devmem
