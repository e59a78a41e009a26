// SPDX-License-Identifier: Apache-2.0
//
// See examine_nics.h: the part that netlink tells. What a device or an old kernel refuses to tell
// stays as it is in the facts: unknown.

#include "tools/doctor/examine_nics.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "tools/netdev_report.h"
#include "uapi/netlink/ethtool_client.h"
#include "uapi/netlink/ethtool_ioctl.h"
#include "uapi/netlink/link_info.h"
#include "uapi/netlink/netdev_client.h"

namespace devmem {
namespace {

std::vector<uint32_t> Numbers(const GenlFamily& family) {
  return {family.commands.begin(), family.commands.end()};
}

void AskEthtool(EthtoolClient& ethtool, NicFacts* nic) {
  const absl::StatusOr<RingsInfo> rings = ethtool.Rings(nic->name);
  if (rings.ok()) AddRings(*rings, nic);
  const absl::StatusOr<ChannelsInfo> channels = ethtool.Channels(nic->name);
  if (channels.ok()) AddChannels(*channels, nic);
  const absl::StatusOr<std::vector<FeatureState>> features = ethtool.Features(nic->name);
  if (features.ok()) AddFeatures(*features, nic);
  const absl::StatusOr<RssTable> table = ethtool.MainRssTable(nic->name);
  if (table.ok()) AddRss(*table, nic);
}

void AskIoctl(EthtoolIoctl& ethtool, NicFacts* nic) {
  const absl::StatusOr<DriverInfo> driver = ethtool.Driver(nic->name);
  if (driver.ok()) {
    // A bus's driver, virtio_net, and its network device may differ in name; /sys knows the former.
    if (nic->driver.empty()) nic->driver = driver->driver;
    nic->firmware = driver->firmware == "N/A" ? "" : driver->firmware;
  }
  const absl::StatusOr<std::vector<NtupleRule>> rules = ethtool.Rules(nic->name);
  if (rules.ok()) nic->rules = static_cast<uint32_t>(rules->size());
}

// A descriptor that is none is the last thing that a request to bind is checked for before the
// device is touched, so the refusal tells whether the device could.
void AskForBinding(NetdevClient& netdev, NicFacts* nic) {
  if (!nic->hardware || nic->rx_queues == 0) return;
  const std::array<uint32_t, 1> queue = {nic->rx_queues - 1};
  const absl::StatusOr<uint32_t> id = netdev.BindRx(nic->ifindex, -1, queue);
  const std::optional<NetlinkError> error = KernelErrorOf(id.status());
  if (error.has_value() && (error->error == EBADF || error->error == EOPNOTSUPP)) {
    nic->bind_errno = error->error;
  }
}

// Each source is asked where there is one.
struct Sources {
  std::unique_ptr<NetdevClient> netdev;
  std::unique_ptr<EthtoolClient> ethtool;
  std::unique_ptr<EthtoolIoctl> ioctl;
};

Sources OpenSources() {
  Sources sources;
  auto netdev = NetdevClient::Open();
  if (netdev.ok()) sources.netdev = *std::move(netdev);
  auto ethtool = EthtoolClient::Open();
  if (ethtool.ok()) sources.ethtool = *std::move(ethtool);
  auto ioctl = EthtoolIoctl::Open();
  if (ioctl.ok()) sources.ioctl = *std::move(ioctl);
  return sources;
}

}  // namespace

void AddRings(const RingsInfo& rings, NicFacts* nic) {
  switch (rings.tcp_data_split) {
    case DataSplit::kUnknown: nic->split = Switch::kAbsent; break;
    case DataSplit::kDisabled: nic->split = Switch::kOff; break;
    case DataSplit::kEnabled: nic->split = Switch::kOn; break;
  }
  nic->hds_threshold_bytes = rings.hds_thresh_bytes;
}

void AddChannels(const ChannelsInfo& channels, NicFacts* nic) {
  if (channels.rx_queue_count() > 0) nic->rx_queues = channels.rx_queue_count();
  nic->rx_queues_max = channels.combined_max > 0 ? channels.combined_max : channels.rx_max;
}

void AddFeatures(const std::vector<FeatureState>& features, NicFacts* nic) {
  for (const FeatureState& feature : features) {
    if (feature.name != "rx-ntuple-filter") continue;
    nic->ntuple = feature.active       ? Switch::kOn
                  : feature.changeable ? Switch::kOff
                                       : Switch::kAbsent;
  }
}

void AddRss(const RssTable& table, NicFacts* nic) {
  const std::set<uint32_t> queues(table.queues.begin(), table.queues.end());
  nic->rss_queues.assign(queues.begin(), queues.end());
}

void AddQueues(const std::vector<NetdevQueue>& queues, NicFacts* nic) {
  for (const NetdevQueue& queue : queues) {
    const std::string owner = MemoryOwner(queue);
    if (queue.ifindex != nic->ifindex || queue.type != QueueType::kRx) continue;
    if (!owner.empty()) nic->bound[queue.id] = owner;
    if (queue.lease.has_value()) nic->bound[queue.id] = "leased";
  }
}

void ExamineNics(const MachineFiles& files, Machine* machine) {
  machine->nics = ListNics(files);
  const Sources sources = OpenSources();
  std::vector<NetdevQueue> queues;
  if (sources.netdev != nullptr) {
    machine->netdev_commands = Numbers(sources.netdev->family());
    absl::StatusOr<std::vector<NetdevQueue>> all = sources.netdev->Queues();
    if (all.ok()) queues = *std::move(all);
  }
  if (sources.ethtool != nullptr) machine->ethtool_commands = Numbers(sources.ethtool->family());
  const absl::StatusOr<std::unique_ptr<LinkClient>> links = LinkClient::Open();
  for (NicFacts& nic : machine->nics) {
    if (sources.ethtool != nullptr) AskEthtool(*sources.ethtool, &nic);
    if (sources.ioctl != nullptr) AskIoctl(*sources.ioctl, &nic);
    AddQueues(queues, &nic);
    if (sources.netdev != nullptr) AskForBinding(*sources.netdev, &nic);
    if (!links.ok()) continue;
    const absl::StatusOr<LinkInfo> link = (*links)->Link(nic.ifindex);
    if (link.ok()) nic.xdp = link->xdp_attached;
  }
}

}  // namespace devmem
