// SPDX-License-Identifier: Apache-2.0
//
// NicControl on the running kernel. A refused binding is looked into before it is reported: the
// device's state tells apart what one errno stands for.

#include <poll.h>

#include <algorithm>
#include <utility>

#include "uapi/abi/netdev.h"
#include "uapi/netlink/ethtool_client.h"
#include "uapi/netlink/ethtool_ioctl.h"
#include "uapi/netlink/limits.h"
#include "uapi/netlink/netdev_client.h"
#include "uapi/netlink/nic_control.h"

namespace devmem {
namespace {

// rtnetlink tells of a link that comes back, and of a thousand other things; asking is simpler.
constexpr int kAskAgainMillis = 10;

class KernelNicControl final : public NicControl {
 public:
  KernelNicControl(absl::string_view device, absl::string_view netns_path)
      : device_(device), netns_path_(netns_path) {}

  absl::Status Open() {
    absl::StatusOr<std::unique_ptr<LinkClient>> links = LinkClient::Open(netns_path_);
    if (!links.ok()) return links.status();
    links_ = *std::move(links);
    const absl::StatusOr<LinkInfo> link = links_->Link(device_);
    if (!link.ok()) return link.status();
    ifindex_ = link->ifindex;
    absl::StatusOr<std::unique_ptr<NetdevClient>> netdev = NetdevClient::Open(netns_path_);
    if (!netdev.ok()) return netdev.status();
    netdev_ = *std::move(netdev);
    absl::StatusOr<std::unique_ptr<EthtoolClient>> ethtool = EthtoolClient::Open(netns_path_);
    if (!ethtool.ok()) return ethtool.status();
    ethtool_ = *std::move(ethtool);
    absl::StatusOr<std::unique_ptr<EthtoolIoctl>> ioctl = EthtoolIoctl::Open(netns_path_);
    if (!ioctl.ok()) return ioctl.status();
    ioctl_ = *std::move(ioctl);
    return absl::OkStatus();
  }

  absl::StatusOr<LinkInfo> Link() override { return links_->Link(ifindex_); }
  bool AwaitCarrier() override {
    for (int waited = 0;; waited += kAskAgainMillis) {
      const absl::StatusOr<LinkInfo> link = Link();
      if (!link.ok()) return false;
      if (link->carrier) return true;
      if (waited >= kCarrierMillisMax) return false;
      (void)::poll(nullptr, 0, kAskAgainMillis);
    }
  }
  absl::StatusOr<DriverInfo> Driver() override { return ioctl_->Driver(device_); }
  absl::StatusOr<std::vector<NetdevQueue>> Queues() override { return netdev_->Queues(ifindex_); }

  absl::StatusOr<RingsInfo> Rings() override { return ethtool_->Rings(device_); }
  absl::Status SetDataSplit(DataSplit split) override {
    return WithContext(KernelOperation::kRingsSet, ethtool_->SetDataSplit(device_, split), {});
  }
  absl::Status SetHdsThresh(uint32_t bytes) override {
    return WithContext(KernelOperation::kRingsSet, ethtool_->SetHdsThresh(device_, bytes), {});
  }

  absl::StatusOr<ChannelsInfo> Channels() override { return ethtool_->Channels(device_); }
  absl::Status SetCombinedChannels(uint32_t count) override {
    return WithContext(KernelOperation::kChannelsSet, ethtool_->SetCombinedChannels(device_, count),
                       {});
  }
  absl::Status SetRxChannels(uint32_t count) override {
    return WithContext(KernelOperation::kChannelsSet, ethtool_->SetRxChannels(device_, count), {});
  }

  absl::StatusOr<std::vector<FeatureState>> Features() override {
    return ethtool_->Features(device_);
  }
  absl::Status SetFeature(absl::string_view name, bool on) override {
    return WithContext(KernelOperation::kFeaturesSet, ethtool_->SetFeature(device_, name, on), {});
  }

  absl::StatusOr<std::vector<RssTable>> RssTables() override {
    absl::StatusOr<std::vector<RssTable>> tables = ethtool_->RssTables(device_);
    if (tables.ok() && !tables->empty() && !tables->front().queues.empty()) return tables;
    const absl::StatusOr<std::vector<uint32_t>> main = ioctl_->RssTable(device_);
    if (!main.ok()) return main.status();
    devmem::RssTable table;
    table.queues = *main;
    return std::vector<devmem::RssTable>{table};
  }
  absl::Status SetRssTable(std::span<const uint32_t> queues) override {
    const absl::Status set = ethtool_->CanSetRss() ? ethtool_->SetMainRssTable(device_, queues)
                                                   : ioctl_->SetRssTable(device_, queues);
    return WithContext(KernelOperation::kRssSet, set, {});
  }

  absl::StatusOr<std::vector<NtupleRule>> Rules() override { return ioctl_->Rules(device_); }
  absl::StatusOr<devmem::RuleTable> RuleTable() override { return ioctl_->Table(device_); }
  absl::StatusOr<NtupleRule> Rule(uint32_t location) override {
    return ioctl_->Rule(device_, location);
  }
  absl::StatusOr<uint32_t> InsertRule(const NtupleRule& rule) override {
    const uint32_t queues[] = {rule.queue};
    const absl::StatusOr<uint32_t> location = ioctl_->InsertRule(device_, rule);
    if (location.ok()) return location;
    return WithContext(KernelOperation::kRuleInsert, location.status(), queues);
  }
  absl::Status DeleteRule(uint32_t location) override {
    return WithContext(KernelOperation::kRuleDelete, ioctl_->DeleteRule(device_, location), {});
  }

  absl::StatusOr<std::unique_ptr<RxBinding>> BindRx(int dmabuf_fd,
                                                    std::span<const uint32_t> queues) override {
    // Every binding has a socket of its own, or it could not end alone.
    absl::StatusOr<std::unique_ptr<NetdevClient>> client = NetdevClient::Open(netns_path_);
    if (!client.ok()) return client.status();
    const absl::StatusOr<uint32_t> id = (*client)->BindRx(ifindex_, dmabuf_fd, queues);
    if (!id.ok()) return WithContext(KernelOperation::kBindRx, id.status(), queues);
    return std::make_unique<RxBinding>(*id, std::vector<uint32_t>(queues.begin(), queues.end()),
                                       (*client)->TakeChannel());
  }

  absl::StatusOr<std::unique_ptr<TxBinding>> BindTx(int dmabuf_fd) override {
    absl::StatusOr<std::unique_ptr<NetdevClient>> client = NetdevClient::Open(netns_path_);
    if (!client.ok()) return client.status();
    const absl::StatusOr<uint32_t> id = (*client)->BindTx(ifindex_, dmabuf_fd);
    if (!id.ok()) return WithContext(KernelOperation::kBindTx, id.status(), {});
    return std::make_unique<TxBinding>(*id, (*client)->TakeChannel());
  }

 private:
  // The refusal again, explained with what the device looks like now.
  absl::Status WithContext(KernelOperation operation, const absl::Status& refused,
                           std::span<const uint32_t> queues) {
    const std::optional<NetlinkError> error = KernelErrorOf(refused);
    if (refused.ok() || !error) return refused;
    return ExplainRefusal(operation, *error, ReadContext(operation, queues));
  }

  RefusalContext ReadContext(KernelOperation operation, std::span<const uint32_t> queues) {
    RefusalContext context;
    context.device = device_;
    context.queues.assign(queues.begin(), queues.end());
    context.initial_user_namespace = InInitialUserNamespace();
    if (operation == KernelOperation::kBindRx) {
      context.command_known = netdev_->family().Has(abi::NETDEV_CMD_BIND_RX);
    } else if (operation == KernelOperation::kBindTx) {
      context.command_known = netdev_->family().Has(abi::NETDEV_CMD_BIND_TX);
    }
    if (const absl::StatusOr<DriverInfo> driver = Driver(); driver.ok()) {
      context.driver = driver->driver;
    }
    if (const absl::StatusOr<LinkInfo> link = Link(); link.ok()) {
      context.up = link->up;
      context.xdp_attached = link->xdp_attached;
    }
    if (const absl::StatusOr<RingsInfo> rings = Rings(); rings.ok()) {
      context.split_enabled = rings->tcp_data_split == DataSplit::kEnabled;
      context.hds_thresh = rings->hds_thresh_bytes;
    }
    ReadQueues(queues, context);
    return context;
  }

  void ReadQueues(std::span<const uint32_t> queues, RefusalContext& context) {
    const absl::StatusOr<std::vector<NetdevQueue>> all = Queues();
    if (!all.ok()) return;
    context.queue_bound = false;
    context.queue_af_xdp = false;
    uint32_t rx_queues = 0;
    for (const NetdevQueue& queue : *all) {
      if (queue.type != QueueType::kRx) continue;
      ++rx_queues;
      if (std::count(queues.begin(), queues.end(), queue.id) == 0) continue;
      context.queue_bound = *context.queue_bound || queue.provider();
      context.queue_af_xdp = *context.queue_af_xdp || queue.af_xdp;
    }
    context.rx_queue_count = rx_queues;
  }

  const std::string device_;
  const std::string netns_path_;
  uint32_t ifindex_ = 0;
  std::unique_ptr<LinkClient> links_;
  std::unique_ptr<NetdevClient> netdev_;
  std::unique_ptr<EthtoolClient> ethtool_;
  std::unique_ptr<EthtoolIoctl> ioctl_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<NicControl>> OpenNicControl(absl::string_view device,
                                                           absl::string_view netns_path) {
  auto control = std::make_unique<KernelNicControl>(device, netns_path);
  const absl::Status opened = control->Open();
  if (!opened.ok()) return opened;
  return control;
}

}  // namespace devmem
