// SPDX-License-Identifier: Apache-2.0
//
// The part of ethtool that still travels by ioctl: driver information, flow rules, and the RSS
// table on kernels before 6.17. Follows linux/ethtool.h and ethtool(8). Called by NicSetup and
// devmemctl; one thread at a time.
//
// Errors of every call: a refusal of the kernel as ExplainRefusal() tells it.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/ethtool_types.h"
#include "uapi/netlink/ntuple_rule.h"
#include "uapi/netlink/refusal.h"

namespace devmem {

class EthtoolIoctl {
 public:
  static absl::StatusOr<std::unique_ptr<EthtoolIoctl>> Open(absl::string_view netns_path = {});
  // A datagram socket of the namespace; taken over.
  explicit EthtoolIoctl(int socket_fd) : socket_fd_(socket_fd) {}
  ~EthtoolIoctl();
  EthtoolIoctl(const EthtoolIoctl&) = delete;
  EthtoolIoctl& operator=(const EthtoolIoctl&) = delete;

  absl::StatusOr<DriverInfo> Driver(absl::string_view device);

  // The NIC's rules by location, everyone's.
  absl::StatusOr<std::vector<NtupleRule>> Rules(absl::string_view device);
  absl::StatusOr<NtupleRule> Rule(absl::string_view device, uint32_t location);
  absl::StatusOr<RuleTable> Table(absl::string_view device);
  // At the rule's location; without one, where the driver chooses, or else at the highest free one.
  // Returns the location.
  absl::StatusOr<uint32_t> InsertRule(absl::string_view device, const NtupleRule& rule);
  absl::Status DeleteRule(absl::string_view device, uint32_t location);

  absl::StatusOr<std::vector<uint32_t>> RssTable(absl::string_view device);
  // Empty: the driver's default; else exactly as many entries as the table has.
  absl::Status SetRssTable(absl::string_view device, std::span<const uint32_t> queues);

 private:
  // The errno, or 0.
  int Call(absl::string_view device, void* command) const;
  // RX_CLS_LOC_ANY where the driver chooses.
  absl::StatusOr<uint32_t> FreeLocation(absl::string_view device);

  const int socket_fd_;
};

}  // namespace devmem
