// SPDX-License-Identifier: Apache-2.0
// TopologyReader: turns what hwloc found into the values of Topology. The one place that knows
// hwloc; called by Topology's makers, on their thread.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "provider/topology.h"

struct hwloc_topology;
struct hwloc_obj;

namespace devmem {

// One reader builds one topology.
class TopologyReader {
 public:
  // Tells hwloc where to look, before it does; OK, or what is wrong with the source.
  using Source = std::function<absl::Status(hwloc_topology*)>;

  // `refused` is the code and the beginning of the message when hwloc makes nothing of the source.
  static absl::StatusOr<Topology> Read(const Source& source, const absl::Status& refused);

 private:
  explicit TopologyReader(hwloc_topology* tree) : tree_(tree) {}

  Topology Build();
  void ReadMachine();
  void ReadPciDevices();
  void ReadPciDevice(hwloc_obj* object);
  void ReadDevicesWithoutPci();
  void ReadVirtualNics();
  void ReadNumaNodes();
  PciPlace PlaceOf(hwloc_obj* object) const;

  hwloc_topology* const tree_;
  Topology topology_;
};

}  // namespace devmem
