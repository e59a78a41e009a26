// SPDX-License-Identifier: Apache-2.0
//
// Notifications of the kernel's families `netdev` and `ethtool`, with the names of their
// specifications (Documentation/netlink/specs/). Any bytes give an event. Called by `devmemctl
// monitor` with what GenlSocket::Notifications() brings. Pure functions, any thread.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "uapi/netlink/genl_channel.h"

namespace devmem {

struct NetlinkEvent {
  std::string family;
  std::string event;     // "page-pool-add-ntf"
  uint32_t ifindex = 0;  // 0: the event names no device.
  std::string ifname;    // Empty: likewise, or one without a name here.
  // In the kernel's order; a nest's are "io-uring.rx-buf-len", a feature's "active.rx-gro".
  std::vector<std::pair<std::string, std::string>> attributes;
};

// `name` tells the name of an interface of which the message has the number alone.
NetlinkEvent DecodeEvent(absl::string_view family, const GenlMessage& message,
                         const std::function<std::string(uint32_t ifindex)>& name);

}  // namespace devmem
