// SPDX-License-Identifier: Apache-2.0
//
// Notifications of the kernel about devices, page pools and settings, decoded. Called by
// `devmemctl monitor`. One thread.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/genl_channel.h"
#include "uapi/netlink/netdev_types.h"

namespace devmem {

struct NetlinkEvent {
  std::string family;  // "netdev"
  std::string name;    // "dev-add-ntf", "page-pool-del-ntf", "rings-ntf"
  // Every attribute with its name, as text: numbers, strings, "a.b" for nests, hexadecimal bytes.
  std::vector<std::pair<std::string, std::string>> attributes;
  std::optional<NetdevDevice> device;  // Of netdev's dev-...-ntf.
  std::optional<PagePool> page_pool;   // Of netdev's page-pool-...-ntf.
};

class NetlinkMonitor {
 public:
  // A family and one of its groups: {"netdev", "mgmt"}, {"netdev", "page-pool"}, {"ethtool",
  // "monitor"}. Errors: kNotFound when the kernel has no such family or group.
  using Group = std::pair<std::string, std::string>;
  static absl::StatusOr<std::unique_ptr<NetlinkMonitor>> Open(const std::vector<Group>& groups,
                                                              absl::string_view netns_path = {});
  ~NetlinkMonitor();
  NetlinkMonitor(const NetlinkMonitor&) = delete;
  NetlinkMonitor& operator=(const NetlinkMonitor&) = delete;

  // Readable when Read() has something.
  int fd() const { return epoll_fd_; }
  // What is there, without waiting. Errors: kDataLoss  some were lost; going on is fine.
  absl::StatusOr<std::vector<NetlinkEvent>> Read();

 private:
  explicit NetlinkMonitor(int epoll_fd) : epoll_fd_(epoll_fd) {}

  const int epoll_fd_;
  std::vector<std::unique_ptr<GenlSocket>> sockets_;
};

// A message of a family as an event.
NetlinkEvent DecodeEvent(absl::string_view family, const GenlMessage& message);

}  // namespace devmem
