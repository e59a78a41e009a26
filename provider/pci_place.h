// SPDX-License-Identifier: Apache-2.0
// PciPlace: where a device hangs in a machine's PCI tree, and how far two such places are apart.
// Plain values that the topology reader fills in and Topology asks; any thread. The words are those
// of nvidia-smi's topology matrix (pci_distance.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "provider/pci_distance.h"

namespace devmem {

// One PCI-to-PCI bridge: a root port, or a port of a switch.
struct PciBridge {
  uint64_t id = 0;      // Unique among the bridges of a machine.
  std::string address;  // "0000:16:02.0"
};

// Where a root bus leaves the processor.
struct PciHostBridge {
  uint64_t id = 0;
  // Of the first device on the root bus, by which Linux recognises root complexes; 0 where there is
  // none at its place.
  uint16_t vendor = 0;
  uint16_t device = 0;
};

struct PciPlace {
  std::string address;             // "0000:17:00.0"; one function of one device.
  std::vector<PciBridge> bridges;  // From the device upwards, without the host bridge.
  PciHostBridge host_bridge;
  // The NUMA nodes that the host bridge is near to. All of the machine's, where firmware does not
  // say.
  std::vector<uint32_t> numa_nodes;
  std::optional<uint32_t> package;  // The processor package, where it is known.
};

// What the answers need to know of the machine as a whole.
struct MachineFacts {
  uint32_t numa_node_count = 1;
  std::string cpu_vendor;  // As cpuid says it: "GenuineIntel", "AuthenticAMD".
  uint32_t cpu_family = 0;
};

// The NUMA node of a place, where there is exactly one that it can be.
std::optional<uint32_t> NumaNodeOf(const PciPlace& place);

// How far two functions are apart. Never kSelf: that is for one and the same device. A place whose
// NUMA node nobody knows counts as far.
PciDistance DistanceBetween(const PciPlace& a, const PciPlace& b, const MachineFacts& machine);

// The bridges that a transfer between the two passes on its way up and down again, without the one
// where both ways meet; up to the host bridges, where they do not meet before.
std::vector<PciBridge> BridgesBetween(const PciPlace& a, const PciPlace& b);

}  // namespace devmem
