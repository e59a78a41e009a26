// SPDX-License-Identifier: Apache-2.0
//
// How `devmemctl monitor` tells the kernel's notifications. Pure functions, any thread.

#pragma once

#include <cstdint>
#include <string>

#include "tools/json_object.h"
#include "uapi/netlink/netlink_event.h"

namespace devmem {

// On one line: "eth0 rings-ntf rx 1024 tcp-data-split 2".
std::string ToText(const NetlinkEvent& event);
JsonObject ToJson(const NetlinkEvent& event, uint64_t time_ns);

}  // namespace devmem
