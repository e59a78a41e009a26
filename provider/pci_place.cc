// SPDX-License-Identifier: Apache-2.0
// See pci_place.h.
#include "provider/pci_place.h"

#include <algorithm>
#include <cstddef>

namespace devmem {
namespace {

// How many bridges each side climbs before both ways meet in one bridge; unset when they meet
// nowhere below a host bridge.
struct Climb {
  size_t from_a = 0;
  size_t from_b = 0;
};

std::optional<Climb> ClimbToCommonBridge(const PciPlace& a, const PciPlace& b) {
  for (size_t i = 0; i < a.bridges.size(); ++i) {
    for (size_t j = 0; j < b.bridges.size(); ++j) {
      if (a.bridges[i].id == b.bridges[j].id) return Climb{i, j};
    }
  }
  return std::nullopt;
}

// Whether both are known to be near the same memory. All nodes of a machine that has several is
// what it says of a device when firmware is silent.
bool OnOneNode(const PciPlace& a, const PciPlace& b, const MachineFacts& machine) {
  if (a.numa_nodes != b.numa_nodes) return false;
  return machine.numa_node_count == 1 || a.numa_nodes.size() < machine.numa_node_count;
}

}  // namespace

std::optional<uint32_t> NumaNodeOf(const PciPlace& place) {
  if (place.numa_nodes.size() != 1) return std::nullopt;
  return place.numa_nodes.front();
}

PciDistance DistanceBetween(const PciPlace& a, const PciPlace& b, const MachineFacts& machine) {
  if (a.address == b.address) return PciDistance::kPix;
  const std::optional<Climb> climb = ClimbToCommonBridge(a, b);
  // Behind one switch, each device has a downstream port of its own (or none, as functions of one
  // device) below the upstream port in which the ways meet. More bridges are more switches.
  if (climb.has_value()) {
    return std::max(climb->from_a, climb->from_b) <= 1 ? PciDistance::kPix : PciDistance::kPxb;
  }
  if (a.host_bridge.id == b.host_bridge.id) return PciDistance::kPhb;
  return OnOneNode(a, b, machine) ? PciDistance::kNode : PciDistance::kSys;
}

std::vector<PciBridge> BridgesBetween(const PciPlace& a, const PciPlace& b) {
  const Climb climb = ClimbToCommonBridge(a, b).value_or(Climb{a.bridges.size(), b.bridges.size()});
  std::vector<PciBridge> passed(a.bridges.begin(),
                                a.bridges.begin() + static_cast<ptrdiff_t>(climb.from_a));
  passed.insert(passed.end(), b.bridges.begin(),
                b.bridges.begin() + static_cast<ptrdiff_t>(climb.from_b));
  return passed;
}

}  // namespace devmem
