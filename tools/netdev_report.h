// SPDX-License-Identifier: Apache-2.0
//
// What the kernel's family `netdev` told, in the kernel's own words: as rows of a table, and as
// JSON with the names and values of its specification (Documentation/netlink/specs/netdev.yaml).
// Pure functions, any thread.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/json_object.h"
#include "uapi/netlink/netdev_types.h"

namespace devmem {

// The name of an interface index: its number where it has none in this namespace.
using NameInterface = std::function<std::string(uint32_t ifindex)>;
std::string InterfaceName(uint32_t ifindex);

using TableRows = std::vector<std::vector<std::string>>;

// Each with its heading.
TableRows DeviceRows(const std::vector<NetdevDevice>& devices, const NameInterface& name);
TableRows QueueRows(const std::vector<NetdevQueue>& queues, const NameInterface& name);
TableRows NapiRows(const std::vector<NetdevNapi>& napis, const NameInterface& name);
// `now_seconds` is the time since boot, for ages.
TableRows PagePoolRows(const std::vector<PagePool>& pools, const NameInterface& name,
                       uint64_t now_seconds);

// With the interface's name as `ifname` in front of what the kernel says.
JsonObject ToJson(const NetdevDevice& device, const NameInterface& name);
JsonObject ToJson(const NetdevQueue& queue, const NameInterface& name);
JsonObject ToJson(const NetdevNapi& napi, const NameInterface& name);
JsonObject ToJson(const PagePool& pool, const NameInterface& name);

// Who fills a queue or owns a pool: "devmem 3", "io_uring", "xsk"; "" for the kernel's own memory.
std::string MemoryOwner(const NetdevQueue& queue);
std::string MemoryOwner(const PagePool& pool);

}  // namespace devmem
