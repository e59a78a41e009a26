// SPDX-License-Identifier: Apache-2.0
//
// Everything that a NicSetup asks of the kernel about one NIC: the real kernel by netlink and
// ioctl, or a fake of a test. One thread at a time. Refusals come as ExplainRefusal() tells them.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/binding.h"
#include "uapi/netlink/ethtool_types.h"
#include "uapi/netlink/link_info.h"
#include "uapi/netlink/netdev_types.h"
#include "uapi/netlink/ntuple_rule.h"

namespace devmem {

class NicControl {
 public:
  virtual ~NicControl() = default;

  virtual absl::StatusOr<LinkInfo> Link() = 0;
  // Whether the interface carries, or does so within kCarrierMillisMax: a driver that made its
  // rings anew learns of its link a moment later. Blocks for that long at most.
  virtual bool AwaitCarrier() = 0;
  virtual absl::StatusOr<DriverInfo> Driver() = 0;
  virtual absl::StatusOr<std::vector<NetdevQueue>> Queues() = 0;

  virtual absl::StatusOr<RingsInfo> Rings() = 0;
  virtual absl::Status SetDataSplit(DataSplit split) = 0;
  virtual absl::Status SetHdsThresh(uint32_t bytes) = 0;

  virtual absl::StatusOr<ChannelsInfo> Channels() = 0;
  virtual absl::Status SetCombinedChannels(uint32_t count) = 0;
  virtual absl::Status SetRxChannels(uint32_t count) = 0;

  virtual absl::StatusOr<std::vector<FeatureState>> Features() = 0;
  virtual absl::Status SetFeature(absl::string_view name, bool on) = 0;

  // All contexts, the main table first.
  virtual absl::StatusOr<std::vector<RssTable>> RssTables() = 0;
  // Empty: the driver's default.
  virtual absl::Status SetRssTable(std::span<const uint32_t> queues) = 0;

  virtual absl::StatusOr<std::vector<NtupleRule>> Rules() = 0;
  virtual absl::StatusOr<devmem::RuleTable> RuleTable() = 0;
  // kNotFound when none is there.
  virtual absl::StatusOr<NtupleRule> Rule(uint32_t location) = 0;
  // At the rule's location, or without one where the driver chooses. Returns where it is.
  virtual absl::StatusOr<uint32_t> InsertRule(const NtupleRule& rule) = 0;
  virtual absl::Status DeleteRule(uint32_t location) = 0;

  virtual absl::StatusOr<std::unique_ptr<RxBinding>> BindRx(int dmabuf_fd,
                                                            std::span<const uint32_t> queues) = 0;
  virtual absl::StatusOr<std::unique_ptr<TxBinding>> BindTx(int dmabuf_fd) = 0;
};

// The running kernel's. Errors: kNotFound (no such device, no netdev family), kPermissionDenied
// (entering the namespace).
absl::StatusOr<std::unique_ptr<NicControl>> OpenNicControl(absl::string_view device,
                                                           absl::string_view netns_path);

}  // namespace devmem
