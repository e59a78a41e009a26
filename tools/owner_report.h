// SPDX-License-Identifier: Apache-2.0
//
// What `devmemctl stats` tells of sessions: who holds how many tokens and bytes, of how much, since
// when it grows or shrinks, and what was dropped. Pure functions of what sessions published; any
// thread.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/json_object.h"
#include "tools/netdev_report.h"
#include "uapi/netlink/netdev_types.h"
#include "uapi/stats_reader.h"

namespace devmem {

// One look at what is published.
struct OwnerSample {
  uint64_t time_ns = 0;  // Since boot.
  StatsListing listing;
};

// The figures of all records of a session together. Sums of what a hostile page says may wrap
// around; they are numbers all the same.
StatsFigures SumOf(const PublishedSession& session);

// Only sessions on that device of this network namespace; all of them when `device` is empty.
void KeepDevice(absl::string_view device, uint64_t net_namespace, StatsListing* listing);

// Which process bound the memory of a page pool, by the pool's id. Pools of devmem bindings say
// which; pools of io_uring are found by way of `queues`, of this network namespace.
std::map<uint64_t, pid_t> FindPoolOwners(const std::vector<PagePool>& pools,
                                         const std::vector<NetdevQueue>& queues,
                                         const std::vector<PublishedSession>& sessions,
                                         uint64_t net_namespace, const NameInterface& name);

// `before` is null for the first sample. With the heading; only that when there is no session.
TableRows OwnerRows(const OwnerSample* before, const OwnerSample& now);
// Adds `owners`, `owners_gone`, `tokens`, `held_bytes` and what was not read.
void AddOwners(const OwnerSample* before, const OwnerSample& now, JsonObject* json);

}  // namespace devmem
