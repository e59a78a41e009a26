// SPDX-License-Identifier: Apache-2.0
//
// Turns messages of the kernel's family `netdev` into values; for the client. Any
// bytes give a value: what is missing or too short is left out.

#pragma once

#include "uapi/netlink/attributes.h"
#include "uapi/netlink/netdev_types.h"

namespace devmem {

NetdevDevice DecodeDevice(const Attributes& attributes);
NetdevQueue DecodeQueue(const Attributes& attributes);
NetdevNapi DecodeNapi(const Attributes& attributes);
PagePool DecodePagePool(const Attributes& attributes);
PagePoolStats DecodePagePoolStats(const Attributes& attributes);
QueueStats DecodeQueueStats(const Attributes& attributes);

}  // namespace devmem
