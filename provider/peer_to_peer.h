// SPDX-License-Identifier: Apache-2.0
// What transfers between two PCI devices, without host memory in between, a platform allows. A pure
// function of the two places and of what /sys says about the way between them. Asked by Topology;
// any thread. The rules for root complexes are those of Linux's P2PDMA.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "provider/pci_distance.h"
#include "provider/pci_place.h"

namespace devmem {

enum class PeerToPeer {
  kYes,
  kNo,
  kPlatform,  // It depends on the platform, and nobody vouches for this one.
};

// "yes", "no" or "platform".
absl::string_view ToString(PeerToPeer verdict);

struct PeerToPeerAnswer {
  PeerToPeer verdict = PeerToPeer::kNo;
  std::string reason;              // One sentence for a person.
  std::vector<std::string> notes;  // What else was seen on the way: ACS, IOMMU.
};

// What was found out about the ports on the way. For another machine's topology: nothing.
struct PathFacts {
  std::vector<std::string> redirecting_ports;  // ACS sends peers' transfers to the host bridge.
  std::vector<std::string> unreadable_ports;
  std::vector<std::string> iommu_notes;
};

// `distance` is the one between the two, as DistanceBetween() says.
PeerToPeerAnswer DecidePeerToPeer(const PciPlace& a, const PciPlace& b, PciDistance distance,
                                  const MachineFacts& machine, const PathFacts& path);

}  // namespace devmem
