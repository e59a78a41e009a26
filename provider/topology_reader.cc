// SPDX-License-Identifier: Apache-2.0
// See topology_reader.h.
#include "provider/topology_reader.h"

#include <hwloc.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace devmem {
namespace {

struct DestroyTree {
  void operator()(hwloc_topology* tree) const { hwloc_topology_destroy(tree); }
};
using Tree = std::unique_ptr<hwloc_topology, DestroyTree>;
using PciFunction = hwloc_obj_attr_u::hwloc_pcidev_attr_s;

// PCI base classes.
constexpr unsigned kClassDisplay = 0x03;
constexpr unsigned kClassProcessor = 0x0b;
constexpr unsigned kClassAccelerator = 0x12;

// The names that a device's drivers and libraries give it, the most telling first: what people call
// a GPU is what they can allocate from.
constexpr std::array<absl::string_view, 7> kPreferredNames = {"cuda", "rsmi", "ze",     "opencl",
                                                              "nvml", "card", "renderD"};

size_t NameRank(absl::string_view name) {
  for (size_t i = 0; i < kPreferredNames.size(); ++i) {
    if (name.substr(0, kPreferredNames[i].size()) == kPreferredNames[i]) return i;
  }
  return kPreferredNames.size();
}

std::string Address(const PciFunction& pci) {
  return absl::StrFormat("%04x:%02x:%02x.%x", pci.domain, pci.bus, pci.dev, pci.func);
}

// A PCI bridge's own function; null for a host bridge and for anything else.
const PciFunction* BridgeFunction(const hwloc_obj* object) {
  if (object->type != HWLOC_OBJ_BRIDGE) return nullptr;
  if (object->attr->bridge.upstream_type != HWLOC_OBJ_BRIDGE_PCI) return nullptr;
  return &object->attr->bridge.upstream.pci;
}

const PciFunction* Function(const hwloc_obj* object) {
  return object->type == HWLOC_OBJ_PCI_DEVICE ? &object->attr->pcidev : BridgeFunction(object);
}

// The system's devices of a PCI function, those that hang from one another included.
void CollectSystemDevices(hwloc_obj* object, std::vector<hwloc_obj*>* out) {
  for (hwloc_obj* child = object->io_first_child; child != nullptr; child = child->next_sibling) {
    if (child->type != HWLOC_OBJ_OS_DEVICE) continue;
    out->push_back(child);
    CollectSystemDevices(child, out);
  }
}

bool IsMemoryDevice(const hwloc_obj* object) {
  const hwloc_obj_osdev_type_t type = object->attr->osdev.type;
  return type == HWLOC_OBJ_OSDEV_GPU || type == HWLOC_OBJ_OSDEV_COPROC;
}

bool IsNic(const hwloc_obj* object) { return object->attr->osdev.type == HWLOC_OBJ_OSDEV_NETWORK; }

std::string Model(hwloc_obj* object, const PciFunction& pci) {
  const char* const product = hwloc_obj_get_info_by_name(object, "PCIDevice");
  return product != nullptr ? product : absl::StrFormat("%04x:%04x", pci.vendor_id, pci.device_id);
}

// The devices of a function as one: it has one memory, under several names.
void NameAfter(const std::vector<hwloc_obj*>& system_devices, TopologyDevice* device) {
  std::vector<std::string> names;
  for (const hwloc_obj* const object : system_devices) {
    if (IsMemoryDevice(object) && object->name != nullptr) names.emplace_back(object->name);
  }
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return NameRank(a) < NameRank(b); });
  names.push_back(device->pci->address);
  device->name = names.front();
  device->aliases.assign(names.begin() + 1, names.end());
}

bool ByPciAddress(const TopologyDevice& a, const TopologyDevice& b) {
  if (a.pci.has_value() != b.pci.has_value()) return a.pci.has_value();
  return a.pci.has_value() && a.pci->address < b.pci->address;
}

}  // namespace

absl::StatusOr<Topology> TopologyReader::Read(const Source& source, const absl::Status& refused) {
  hwloc_topology* raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) {
    return absl::UnavailableError("hwloc cannot be initialised");
  }
  const Tree tree(raw);
  for (const hwloc_obj_type_t type :
       {HWLOC_OBJ_BRIDGE, HWLOC_OBJ_PCI_DEVICE, HWLOC_OBJ_OS_DEVICE}) {
    hwloc_topology_set_type_filter(raw, type, HWLOC_TYPE_FILTER_KEEP_ALL);
  }
  // The first two would talk to a display, and start OpenCL platforms, for names that are worth
  // neither; the third loses memory at each look (libpciaccess), and /sys tells the same.
  for (const char* const component : {"gl", "opencl", "pci"}) {
    hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, component);
  }
  absl::Status set = source(raw);
  if (!set.ok()) return set;
  if (hwloc_topology_load(raw) != 0) {
    return absl::Status(refused.code(),
                        absl::StrCat(refused.message(), ": hwloc says ", std::strerror(errno)));
  }
  return TopologyReader(raw).Build();
}

Topology TopologyReader::Build() {
  if (hwloc_topology_is_thissystem(tree_) != 0) topology_.sysfs_.emplace();
  ReadMachine();
  ReadPciDevices();
  ReadDevicesWithoutPci();
  ReadVirtualNics();
  std::stable_sort(topology_.nics_.begin(), topology_.nics_.end(), ByPciAddress);
  std::stable_sort(topology_.memories_.begin(), topology_.memories_.end(), ByPciAddress);
  ReadNumaNodes();
  return std::move(topology_);
}

void TopologyReader::ReadMachine() {
  MachineFacts& machine = topology_.machine_;
  machine.numa_node_count =
      static_cast<uint32_t>(hwloc_get_nbobjs_by_type(tree_, HWLOC_OBJ_NUMANODE));
  // Without packages, hwloc notes the processor at the root.
  hwloc_obj* processor = hwloc_get_obj_by_type(tree_, HWLOC_OBJ_PACKAGE, 0);
  if (processor == nullptr) processor = hwloc_get_root_obj(tree_);
  const char* const vendor = hwloc_obj_get_info_by_name(processor, "CPUVendor");
  const char* const family = hwloc_obj_get_info_by_name(processor, "CPUFamilyNumber");
  if (vendor != nullptr) machine.cpu_vendor = vendor;
  if (family == nullptr || !absl::SimpleAtoi(family, &machine.cpu_family)) machine.cpu_family = 0;
}

PciPlace TopologyReader::PlaceOf(hwloc_obj* object) const {
  PciPlace place;
  place.address = Address(object->attr->pcidev);
  hwloc_obj* above = object->parent;
  for (; above != nullptr && BridgeFunction(above) != nullptr; above = above->parent) {
    place.bridges.push_back({above->gp_index, Address(*BridgeFunction(above))});
  }
  if (above != nullptr && above->type == HWLOC_OBJ_BRIDGE) {
    place.host_bridge.id = above->gp_index;
    // As Linux does, take the first device of the root bus where it is at 00.0 or a root port.
    const hwloc_obj* const first = above->io_first_child;
    const PciFunction* const function = first == nullptr ? nullptr : Function(first);
    if (function != nullptr &&
        ((function->dev == 0 && function->func == 0) || BridgeFunction(first) != nullptr)) {
      place.host_bridge.vendor = function->vendor_id;
      place.host_bridge.device = function->device_id;
    }
  }
  hwloc_obj* const near = hwloc_get_non_io_ancestor_obj(tree_, object);
  if (near == nullptr) return place;
  for (hwloc_obj* node = nullptr;
       (node = hwloc_get_next_obj_by_type(tree_, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    if (hwloc_bitmap_isset(near->nodeset, node->os_index) != 0) {
      place.numa_nodes.push_back(node->os_index);
    }
  }
  const hwloc_obj* const package =
      near->type == HWLOC_OBJ_PACKAGE
          ? near
          : hwloc_get_ancestor_obj_by_type(tree_, HWLOC_OBJ_PACKAGE, near);
  if (package != nullptr) place.package = package->os_index;
  return place;
}

void TopologyReader::ReadPciDevices() {
  hwloc_obj* object = nullptr;
  while ((object = hwloc_get_next_pcidev(tree_, object)) != nullptr) ReadPciDevice(object);
}

void TopologyReader::ReadPciDevice(hwloc_obj* object) {
  const PciFunction& pci = object->attr->pcidev;
  TopologyDevice device;
  device.pci = PlaceOf(object);
  device.numa_node = NumaNodeOf(*device.pci);
  device.model = Model(object, pci);
  device.link_gigabytes_per_second = static_cast<double>(pci.linkspeed);

  std::vector<hwloc_obj*> system_devices;
  CollectSystemDevices(object, &system_devices);
  for (const hwloc_obj* const found : system_devices) {
    if (!IsNic(found) || found->name == nullptr) continue;
    TopologyDevice nic = device;
    nic.kind = TopologyKind::kNic;
    nic.name = found->name;
    nic.aliases = {device.pci->address};
    topology_.nics_.push_back(std::move(nic));
  }

  const unsigned base_class = pci.class_id >> 8;
  const bool named = std::any_of(system_devices.begin(), system_devices.end(), IsMemoryDevice);
  if (base_class == kClassDisplay) {
    device.kind = TopologyKind::kGpu;
  } else if (base_class == kClassAccelerator || base_class == kClassProcessor || named) {
    device.kind = TopologyKind::kCoprocessor;
  } else if (topology_.sysfs_.has_value() && topology_.sysfs_->HasP2pMemory(device.pci->address)) {
    device.kind = TopologyKind::kP2pMemory;
  } else {
    return;
  }
  NameAfter(system_devices, &device);
  topology_.memories_.push_back(std::move(device));
}

void TopologyReader::ReadDevicesWithoutPci() {
  hwloc_obj* object = nullptr;
  while ((object = hwloc_get_next_osdev(tree_, object)) != nullptr) {
    const hwloc_obj* above = object->parent;
    while (above->type == HWLOC_OBJ_OS_DEVICE) above = above->parent;
    if (above->type == HWLOC_OBJ_PCI_DEVICE || object->name == nullptr) continue;
    TopologyDevice device;
    device.name = object->name;
    if (IsNic(object)) {
      topology_.nics_.push_back(std::move(device));
    } else if (IsMemoryDevice(object)) {
      device.kind = object->attr->osdev.type == HWLOC_OBJ_OSDEV_GPU ? TopologyKind::kGpu
                                                                    : TopologyKind::kCoprocessor;
      topology_.memories_.push_back(std::move(device));
    }
  }
}

void TopologyReader::ReadVirtualNics() {
  if (!topology_.sysfs_.has_value()) return;
  for (const std::string& name : topology_.sysfs_->VirtualNics()) {
    if (topology_.FindNic(name) != nullptr) continue;
    TopologyDevice nic;
    nic.name = name;
    topology_.nics_.push_back(std::move(nic));
  }
}

void TopologyReader::ReadNumaNodes() {
  hwloc_obj* node = nullptr;
  while ((node = hwloc_get_next_obj_by_type(tree_, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
    TopologyDevice memory;
    memory.kind = TopologyKind::kHostMemory;
    memory.name = absl::StrCat("node", node->os_index);
    memory.numa_node = node->os_index;
    memory.host_bytes = node->attr->numanode.local_memory;
    topology_.memories_.push_back(std::move(memory));
  }
}

absl::StatusOr<Topology> Topology::Create() {
  const auto nothing_to_set = [](hwloc_topology*) { return absl::OkStatus(); };
  return TopologyReader::Read(nothing_to_set,
                              absl::UnavailableError("this machine's topology cannot be read"));
}

absl::StatusOr<Topology> Topology::FromXml(const std::string& path) {
  const std::string refused = absl::StrCat("\"", path, "\" cannot be read as a topology in XML");
  const auto set = [&path, &refused](hwloc_topology* tree) -> absl::Status {
    if (hwloc_topology_set_xml(tree, path.c_str()) == 0) return absl::OkStatus();
    const int err = errno;
    const std::string message = absl::StrCat(refused, ": ", std::strerror(err));
    if (err == ENOENT) return absl::NotFoundError(message);
    if (err == EACCES || err == EPERM) return absl::PermissionDeniedError(message);
    return absl::InvalidArgumentError(
        absl::StrCat(message, "; write one with `lstopo --whole-io FILE.xml`"));
  };
  return TopologyReader::Read(set, absl::InvalidArgumentError(refused));
}

absl::StatusOr<Topology> Topology::FromXmlText(const std::string& text) {
  const auto set = [&text](hwloc_topology* tree) -> absl::Status {
    // hwloc counts the end of the text.
    const int bytes = static_cast<int>(text.size()) + 1;
    if (hwloc_topology_set_xmlbuffer(tree, text.c_str(), bytes) == 0) return absl::OkStatus();
    return absl::InvalidArgumentError("this text is no topology in XML");
  };
  return TopologyReader::Read(set, absl::InvalidArgumentError("this text is no topology in XML"));
}

absl::StatusOr<Topology> Topology::FromSynthetic(const std::string& description) {
  const absl::Status refused = absl::InvalidArgumentError(
      absl::StrCat("\"", description, "\" is no synthetic topology: write one like \"package:2 ",
                   "[numa] core:8 pu:2\""));
  const auto set = [&](hwloc_topology* tree) -> absl::Status {
    const int error = hwloc_topology_set_synthetic(tree, description.c_str());
    return error == 0 ? absl::OkStatus() : refused;
  };
  return TopologyReader::Read(set, refused);
}

}  // namespace devmem
