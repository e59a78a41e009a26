// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl topo`: the matrix of nvidia-smi for every NIC and every memory of a machine, and which
// of them may talk without host memory in between.

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "provider/topology.h"
#include "tools/devmemctl_commands.h"

namespace devmem {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr char kLegend[] = R"(
Distances, from near to far:
  X     itself
  PIX   at most one PCIe bridge between them: behind one switch
  PXB   several PCIe bridges, but no host bridge
  PHB   a PCIe host bridge, the processor as a rule; host memory of the device's own NUMA node
  NODE  several host bridges of one NUMA node
  SYS   the link between NUMA nodes
  -     none: software is no PCI device
)";

absl::StatusOr<Topology> Load(const DevmemctlOptions& options) {
  if (!options.xml_path.empty()) return Topology::FromXml(options.xml_path);
  if (!options.synthetic.empty()) return Topology::FromSynthetic(options.synthetic);
  return Topology::Create();
}

std::vector<const TopologyDevice*> AllDevices(const Topology& topology) {
  std::vector<const TopologyDevice*> devices;
  for (const TopologyDevice& device : topology.memories()) devices.push_back(&device);
  for (const TopologyDevice& device : topology.nics()) devices.push_back(&device);
  return devices;
}

// Those that have a place on PCI, and so could be peers. Host memory and software have none.
std::vector<const TopologyDevice*> OnPci(std::span<const TopologyDevice> all) {
  std::vector<const TopologyDevice*> devices;
  for (const TopologyDevice& device : all) {
    if (device.pci.has_value()) devices.push_back(&device);
  }
  return devices;
}

std::string Word(const DistanceAnswer& answer) {
  return answer.distance.has_value() ? std::string(ToString(*answer.distance)) : "-";
}

std::string LinkText(const TopologyDevice& device) {
  if (device.link_gigabytes_per_second == 0) return "-";
  return absl::StrFormat("%.1f GB/s", device.link_gigabytes_per_second);
}

std::string MatrixText(const Topology& topology) {
  const std::vector<const TopologyDevice*> devices = AllDevices(topology);
  Rows rows(1, {""});
  for (const TopologyDevice* const column : devices) rows[0].push_back(column->name);
  for (const char* const title : {"KIND", "NUMA", "PCI", "LINK", "MODEL"}) {
    rows[0].emplace_back(title);
  }
  for (const TopologyDevice* const row : devices) {
    std::vector<std::string> cells = {row->name};
    for (const TopologyDevice* const column : devices) {
      cells.push_back(Word(topology.Distance(*row, *column)));
    }
    cells.emplace_back(ToString(row->kind));
    cells.push_back(row->numa_node.has_value() ? absl::StrCat(*row->numa_node) : "-");
    cells.push_back(row->pci.has_value() ? row->pci->address : "-");
    cells.push_back(LinkText(*row));
    cells.push_back(row->model);
    rows.push_back(std::move(cells));
  }
  return FormatTable(rows);
}

// The verdicts as a matrix, then each reason once with the pairs that it is about.
std::string PeersText(const Topology& topology) {
  const std::vector<const TopologyDevice*> peers = OnPci(topology.memories());
  const std::vector<const TopologyDevice*> nics = OnPci(topology.nics());
  if (peers.empty() || nics.empty()) return "";
  Rows rows(1, {""});
  for (const TopologyDevice* const peer : peers) rows[0].push_back(peer->name);
  std::map<std::string, std::vector<std::string>> pairs_by_reason;
  for (const TopologyDevice* const nic : nics) {
    std::vector<std::string> cells = {nic->name};
    for (const TopologyDevice* const peer : peers) {
      const PeerToPeerAnswer answer = topology.FindPeerToPeer(*nic, *peer);
      cells.emplace_back(ToString(answer.verdict));
      std::vector<std::string> remarks = answer.notes;
      remarks.insert(remarks.begin(), answer.reason);
      const std::string reason =
          absl::StrCat(ToString(answer.verdict), ": ", absl::StrJoin(remarks, "; "));
      pairs_by_reason[reason].push_back(absl::StrCat(nic->name, "/", peer->name));
    }
    rows.push_back(std::move(cells));
  }
  std::string text =
      absl::StrCat("\nPeer to peer, without host memory in between:\n", FormatTable(rows));
  for (const auto& [reason, pairs] : pairs_by_reason) {
    absl::StrAppend(&text, absl::StrJoin(pairs, " "), "\n    ", reason, "\n");
  }
  return text;
}

JsonObject DeviceToJson(const TopologyDevice& device) {
  JsonObject json;
  json.Text("name", device.name).Text("kind", ToString(device.kind));
  if (!device.aliases.empty()) json.Texts("aliases", device.aliases);
  if (device.pci.has_value()) json.Text("pci", device.pci->address);
  if (!device.model.empty()) json.Text("model", device.model);
  if (device.numa_node.has_value()) {
    json.Number("numa_node", *device.numa_node);
  } else {
    json.Null("numa_node");
  }
  if (device.link_gigabytes_per_second > 0) {
    json.Fraction("link_gigabytes_per_second", device.link_gigabytes_per_second);
  }
  if (device.kind == TopologyKind::kHostMemory) json.Number("bytes", device.host_bytes);
  return json;
}

JsonObject PairToJson(const Topology& topology, const TopologyDevice& a, const TopologyDevice& b) {
  const DistanceAnswer distance = topology.Distance(a, b);
  const PeerToPeerAnswer peers = topology.FindPeerToPeer(a, b);
  JsonObject json;
  json.Text("a", a.name).Text("b", b.name);
  if (distance.distance.has_value()) {
    json.Text("distance", ToString(*distance.distance));
  } else {
    json.Null("distance").Text("why", distance.why);
  }
  json.Text("peer_to_peer", ToString(peers.verdict)).Text("reason", peers.reason);
  if (!peers.notes.empty()) json.Texts("notes", peers.notes);
  return json;
}

// Each pair once: distances are the same both ways.
JsonObject ToJson(const Topology& topology) {
  const std::vector<const TopologyDevice*> devices = AllDevices(topology);
  std::vector<JsonObject> listed;
  std::vector<JsonObject> pairs;
  for (size_t i = 0; i < devices.size(); ++i) {
    listed.push_back(DeviceToJson(*devices[i]));
    for (size_t j = i + 1; j < devices.size(); ++j) {
      pairs.push_back(PairToJson(topology, *devices[i], *devices[j]));
    }
  }
  JsonObject json;
  json.Bool("this_machine", topology.is_this_machine());
  json.List("devices", std::move(listed)).List("pairs", std::move(pairs));
  return json;
}

}  // namespace

CommandOutcome ShowTopology(const DevmemctlOptions& options) {
  const absl::StatusOr<Topology> topology = Load(options);
  if (!topology.ok()) return Refuse(options, kCtlRefused, topology.status());
  CommandOutcome outcome;
  outcome.output = options.json
                       ? FormatJson(options, ToJson(*topology))
                       : absl::StrCat(MatrixText(*topology), PeersText(*topology), kLegend);
  return outcome;
}

}  // namespace devmem
