// SPDX-License-Identifier: Apache-2.0
//
// Notifications of the kernel's families `netdev` and `ethtool`, told by the names of their
// specifications (Documentation/netlink/specs/). Any bytes give a text. Pure functions, any thread.

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/json_object.h"
#include "tools/netdev_report.h"
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

NetlinkEvent DecodeEvent(absl::string_view family, const GenlMessage& message,
                         const NameInterface& name);

// On one line: "eth0 rings-ntf rx 1024 tcp-data-split 2".
std::string ToText(const NetlinkEvent& event);
JsonObject ToJson(const NetlinkEvent& event, uint64_t time_ns);

}  // namespace devmem
