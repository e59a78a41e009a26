// SPDX-License-Identifier: Apache-2.0
//
// What rtnetlink tells about network interfaces: names, state, MTU, XDP. Follows rtnetlink(7) and
// the kernel's Documentation/netlink/specs/rt-link.yaml. Read only; one thread at a time.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/netlink_transport.h"

namespace devmem {

struct LinkInfo {
  uint32_t ifindex = 0;
  std::string name = {};
  bool up = false;       // Administratively.
  bool carrier = false;  // By the driver's word, which may be ahead of the operational state.
  bool loopback = false;
  uint32_t mtu_bytes = 0;
  std::string kind = {};        // "veth", "netkit"; empty for a physical device.
  std::string bus = {};         // "pci"; empty for a device without a parent.
  std::string bus_device = {};  // "0000:00:04.0"
  bool xdp_attached = false;
  std::optional<uint32_t> xdp_program_id = {};
  std::optional<uint32_t> rx_queues_max = {};  // As it was made; ethtool tells how many are in use.
  std::optional<uint32_t> tx_queues_max = {};
};

class LinkClient {
 public:
  static absl::StatusOr<std::unique_ptr<LinkClient>> Open(absl::string_view netns_path = {});
  explicit LinkClient(std::unique_ptr<NetlinkTransport> transport);

  absl::StatusOr<std::vector<LinkInfo>> Links();
  // Errors: kNotFound  no such interface in this namespace; the message lists those that are.
  absl::StatusOr<LinkInfo> Link(absl::string_view name);
  absl::StatusOr<LinkInfo> Link(uint32_t ifindex);

 private:
  const std::unique_ptr<NetlinkTransport> transport_;
};

}  // namespace devmem
