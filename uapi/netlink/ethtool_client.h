// SPDX-License-Identifier: Apache-2.0
//
// The kernel's netlink family `ethtool`: rings with header split, channels, features, RSS tables
// (the kernel's Documentation/networking/ethtool-netlink.rst). Called by NicSetup and devmemctl;
// one thread at a time.
//
// Errors of every call: a refusal of the kernel as ExplainRefusal() tells it, or the transport's.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/ethtool_types.h"
#include "uapi/netlink/genl_channel.h"
#include "uapi/netlink/refusal.h"

namespace devmem {

class EthtoolClient {
 public:
  static absl::StatusOr<std::unique_ptr<EthtoolClient>> Open(absl::string_view netns_path = {});
  explicit EthtoolClient(std::unique_ptr<GenlChannel> channel);

  const GenlFamily& family() const { return channel_->family(); }

  absl::StatusOr<RingsInfo> Rings(absl::string_view device);
  // Always sent, also when the driver reports the state as it should be: bindings test what was
  // set.
  absl::Status SetDataSplit(absl::string_view device, DataSplit split);
  absl::Status SetHdsThresh(absl::string_view device, uint32_t bytes);

  absl::StatusOr<ChannelsInfo> Channels(absl::string_view device);
  absl::Status SetCombinedChannels(absl::string_view device, uint32_t count);
  // For NICs whose rx and tx channels are counted apart.
  absl::Status SetRxChannels(absl::string_view device, uint32_t count);

  // By name, in the kernel's order.
  absl::StatusOr<std::vector<FeatureState>> Features(absl::string_view device);
  // kFailedPrecondition when the kernel takes the wish and the driver does not follow.
  absl::Status SetFeature(absl::string_view device, absl::string_view name, bool on);

  // The tables of all contexts, the main one first. Old kernels tell of the main one alone.
  absl::StatusOr<std::vector<RssTable>> RssTables(absl::string_view device);
  absl::StatusOr<RssTable> MainRssTable(absl::string_view device);
  // Whether this kernel takes RSS tables by netlink (6.17 and later); else by ioctl.
  bool CanSetRss() const;
  // Empty: the driver's default. Any length that divides the table's will do.
  absl::Status SetMainRssTable(absl::string_view device, std::span<const uint32_t> queues);

 private:
  absl::StatusOr<std::vector<GenlMessage>> Ask(absl::string_view device, NetlinkRequest request,
                                               KernelOperation operation);

  std::unique_ptr<GenlChannel> channel_;
};

RingsInfo DecodeRings(const Attributes& attributes);
ChannelsInfo DecodeChannels(const Attributes& attributes);
RssTable DecodeRss(const Attributes& attributes);

}  // namespace devmem
