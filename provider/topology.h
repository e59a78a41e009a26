// SPDX-License-Identifier: Apache-2.0
// Topology: the NICs and the memory of a machine, how far each is from the other, and whether the
// platform lets them talk without host memory in between. Read once with hwloc, from this machine
// or from a description of another one; afterwards a plain value, and any thread may ask it. See
// Documentation/providers.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/pci_distance.h"
#include "provider/pci_place.h"
#include "provider/pci_sysfs.h"
#include "provider/peer_to_peer.h"

namespace devmem {

enum class TopologyKind {
  kNic,
  kGpu,
  kCoprocessor,  // An accelerator that is no GPU.
  kP2pMemory,    // A device that publishes memory for its peers: an NVMe drive's, as a rule.
  kHostMemory,   // The memory of one NUMA node.
};

// "nic", "gpu", "coprocessor", "p2pmem" or "host".
absl::string_view ToString(TopologyKind kind);

struct TopologyDevice {
  std::string name;                  // "eth0", "cuda0", "node1"; unique in its machine.
  std::vector<std::string> aliases;  // Its other names: "card0", "0000:17:00.0".
  TopologyKind kind = TopologyKind::kNic;
  std::string model;                     // As far as it is known: "10de:2335", a product's name.
  std::optional<PciPlace> pci;           // Unset for software, and for what is on no PCI bus.
  std::optional<uint32_t> numa_node;     // Unset where nobody knows.
  double link_gigabytes_per_second = 0;  // Of its PCI link, one way; 0 where unknown.
  uint64_t host_bytes = 0;               // Of a NUMA node.

  // Empty without a place on PCI.
  absl::string_view pci_address() const {
    return pci.has_value() ? absl::string_view(pci->address) : absl::string_view();
  }
};

// A distance, or why there is none.
struct DistanceAnswer {
  std::optional<PciDistance> distance;
  std::string why;
};

class Topology {
 public:
  // This machine. Errors: kUnavailable where hwloc cannot read it.
  static absl::StatusOr<Topology> Create();

  // A machine that hwloc described in XML (`lstopo --whole-io file.xml`). Errors: kNotFound or
  // kPermissionDenied for a file that cannot be read, kInvalidArgument for one that is no topology.
  static absl::StatusOr<Topology> FromXml(const std::string& path);
  static absl::StatusOr<Topology> FromXmlText(const std::string& text);

  // A machine in hwloc's short notation, like "package:2 [numa] core:8 pu:2". It has no PCI
  // devices. kInvalidArgument for what is none.
  static absl::StatusOr<Topology> FromSynthetic(const std::string& description);

  // In the order of the PCI addresses, software last.
  std::span<const TopologyDevice> nics() const { return nics_; }
  // Devices in the order of the PCI addresses, then the NUMA nodes.
  std::span<const TopologyDevice> memories() const { return memories_; }

  // By its name or one of its aliases; nullptr when there is none.
  const TopologyDevice* FindNic(absl::string_view name) const;
  const TopologyDevice* FindMemory(absl::string_view name) const;

  // Symmetric. Host memory is PHB from a device of its NUMA node: the way leads through the host
  // bridge, and ends there.
  DistanceAnswer Distance(const TopologyDevice& a, const TopologyDevice& b) const;

  // Whether a transfer between the two may leave host memory out.
  PeerToPeerAnswer FindPeerToPeer(const TopologyDevice& a, const TopologyDevice& b) const;

  const MachineFacts& machine() const { return machine_; }
  // Whether this is the machine that we run on, so that /sys tells about it.
  bool is_this_machine() const { return sysfs_.has_value(); }

 private:
  friend class TopologyReader;
  Topology() = default;

  DistanceAnswer DistanceToHost(const TopologyDevice& device, const TopologyDevice& host) const;

  std::vector<TopologyDevice> nics_;
  std::vector<TopologyDevice> memories_;
  MachineFacts machine_;
  std::optional<PciSysfs> sysfs_;
};

}  // namespace devmem
