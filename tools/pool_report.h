// SPDX-License-Identifier: Apache-2.0
//
// What `devmemctl stats` tells of page pools and queues: bytes in flight, pools that are only
// waiting for buffers which somebody holds, and when they will be empty at the rate of late. Pure
// functions of what was sampled, any thread.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/json_object.h"
#include "tools/netdev_report.h"
#include "uapi/netlink/netdev_types.h"

namespace devmem {

// One look at the kernel.
struct PoolSample {
  uint64_t time_ns = 0;  // Since boot.
  std::vector<PagePool> pools;
  std::vector<PagePoolStats> counters;  // Empty where the kernel keeps none.
  std::vector<QueueStats> queues;       // Of whole devices.
  // By a pool's id, the process that bound its memory, as far as somebody told.
  std::map<uint64_t, pid_t> owners;
};

// A pool that was taken out of use, and waits for buffers that somebody holds.
bool IsZombie(const PagePool& pool);

// Bytes in flight that come back each second, when there were so many before: negative when more
// are handed out. Seconds until none is in flight at that rate; nothing when they do not shrink.
double DrainBytesPerSecond(uint64_t before_bytes, uint64_t now_bytes, uint64_t nanos);
std::optional<double> SecondsToEmpty(uint64_t inflight_bytes, std::optional<double> drain);
// The cells that tell them.
std::string DrainText(const std::optional<double>& bytes_per_second);
std::string EmptyText(const std::optional<double>& seconds);

// Bytes that the pool gets back each second, from one sample to the next: negative when more are
// handed out. Nothing without an earlier sample of it.
std::optional<double> DrainBytesPerSecond(const PagePool& pool, const PoolSample& before,
                                          const PoolSample& now);

// Seconds until nothing is in flight at that rate; nothing when it does not shrink.
std::optional<double> SecondsToEmpty(const PagePool& pool, std::optional<double> drain);

// `before` is null for the first sample.
TableRows PoolStatsRows(const PoolSample* before, const PoolSample& now, const NameInterface& name);
// The counters that tell of a lack of buffers, for devices that keep one of them.
TableRows DropRows(const PoolSample& now, const NameInterface& name);
JsonObject StatsToJson(const PoolSample* before, const PoolSample& now, const NameInterface& name);

}  // namespace devmem
