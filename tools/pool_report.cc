// SPDX-License-Identifier: Apache-2.0
//
// See pool_report.h.

#include "tools/pool_report.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace devmem {
namespace {

constexpr uint64_t kNanosPerSecond = 1'000'000'000;

// Counters of the kernel's in which memory that runs out shows first.
constexpr std::array<const char*, 5> kDropCounters = {
    "rx-packets", "rx-alloc-fail", "rx-hw-drops", "rx-hw-drop-overruns", "rx-hw-drop-ratelimits"};

const PagePool* Find(const std::vector<PagePool>& pools, uint64_t id) {
  const auto found =
      std::find_if(pools.begin(), pools.end(), [id](const PagePool& one) { return one.id == id; });
  return found == pools.end() ? nullptr : &*found;
}

std::optional<uint64_t> Counter(const NamedCounters& counters, absl::string_view name) {
  for (const auto& [key, value] : counters) {
    if (key == name) return value;
  }
  return std::nullopt;
}

uint64_t AgeSeconds(const PagePool& pool, const PoolSample& now) {
  const uint64_t at = pool.detached_at_seconds.value_or(0);
  const uint64_t seconds = now.time_ns / kNanosPerSecond;
  return seconds > at ? seconds - at : 0;
}

std::string StateText(const PagePool& pool, const PoolSample& now) {
  if (!pool.detached_at_seconds.has_value()) return "live";
  return absl::StrCat(IsZombie(pool) ? "zombie " : "detached ", AgeSeconds(pool, now), " s");
}

std::string OwnerText(const PagePool& pool, const PoolSample& now) {
  const auto found = now.owners.find(pool.id);
  return found == now.owners.end() ? "-" : absl::StrCat(found->second);
}

JsonObject CountersToJson(const NamedCounters& counters) {
  JsonObject json;
  for (const auto& [key, value] : counters) json.Number(key, value);
  return json;
}

JsonObject PoolToJson(const PagePool& pool, const PoolSample* before, const PoolSample& now,
                      const NameInterface& name) {
  JsonObject json = ToJson(pool, name);
  json.Bool("zombie", IsZombie(pool));
  const auto owner = now.owners.find(pool.id);
  if (owner != now.owners.end()) json.Number("owner_pid", static_cast<uint64_t>(owner->second));
  if (pool.detached_at_seconds.has_value()) json.Number("age_seconds", AgeSeconds(pool, now));
  if (before != nullptr) {
    const std::optional<double> drain = DrainBytesPerSecond(pool, *before, now);
    if (drain.has_value()) json.Fraction("drain_bytes_per_second", *drain);
    const std::optional<double> seconds = SecondsToEmpty(pool, drain);
    if (seconds.has_value()) json.Fraction("seconds_to_empty", *seconds);
  }
  for (const PagePoolStats& stats : now.counters) {
    if (stats.id == pool.id) json.Object("counters", CountersToJson(stats.counters));
  }
  return json;
}

}  // namespace

bool IsZombie(const PagePool& pool) {
  return pool.detached_at_seconds.has_value() && pool.inflight_buffers.value_or(0) > 0;
}

double DrainBytesPerSecond(uint64_t before_bytes, uint64_t now_bytes, uint64_t nanos) {
  const double bytes = static_cast<double>(before_bytes) - static_cast<double>(now_bytes);
  return bytes * kNanosPerSecond / static_cast<double>(nanos);
}

std::optional<double> SecondsToEmpty(uint64_t inflight_bytes, std::optional<double> drain) {
  if (inflight_bytes == 0) return 0;
  if (drain.value_or(0) <= 0) return std::nullopt;
  return static_cast<double>(inflight_bytes) / *drain;
}

std::string DrainText(const std::optional<double>& bytes_per_second) {
  if (!bytes_per_second.has_value()) return "-";
  return absl::StrFormat("%+.1f KiB/s", (0 - *bytes_per_second) / 1024);
}

std::string EmptyText(const std::optional<double>& seconds) {
  return seconds.has_value() ? absl::StrFormat("%.1f s", *seconds) : "-";
}

std::optional<double> DrainBytesPerSecond(const PagePool& pool, const PoolSample& before,
                                          const PoolSample& now) {
  const PagePool* const earlier = Find(before.pools, pool.id);
  if (earlier == nullptr || now.time_ns <= before.time_ns) return std::nullopt;
  return DrainBytesPerSecond(earlier->inflight_bytes.value_or(0), pool.inflight_bytes.value_or(0),
                             now.time_ns - before.time_ns);
}

std::optional<double> SecondsToEmpty(const PagePool& pool, std::optional<double> drain) {
  return SecondsToEmpty(pool.inflight_bytes.value_or(0), drain);
}

TableRows PoolStatsRows(const PoolSample* before, const PoolSample& now,
                        const NameInterface& name) {
  TableRows rows = {
      {"POOL", "DEVICE", "MEMORY", "OWNER", "STATE", "INFLIGHT", "BYTES", "CHANGE", "EMPTY-IN"}};
  for (const PagePool& pool : now.pools) {
    std::optional<double> drain;
    if (before != nullptr) drain = DrainBytesPerSecond(pool, *before, now);
    const std::string owner = MemoryOwner(pool);
    rows.push_back({absl::StrCat(pool.id), pool.ifindex.has_value() ? name(*pool.ifindex) : "gone",
                    owner.empty() ? "-" : owner, OwnerText(pool, now), StateText(pool, now),
                    absl::StrCat(pool.inflight_buffers.value_or(0)),
                    absl::StrCat(pool.inflight_bytes.value_or(0)), DrainText(drain),
                    EmptyText(SecondsToEmpty(pool, drain))});
  }
  return rows;
}

TableRows DropRows(const PoolSample& now, const NameInterface& name) {
  TableRows rows = {{"DEVICE", "RX-PACKETS", "ALLOC-FAIL", "HW-DROPS", "OVERRUNS", "RATELIMITS"}};
  for (const QueueStats& stats : now.queues) {
    std::vector<std::string> row = {name(stats.ifindex)};
    bool any = false;
    for (const char* const counter : kDropCounters) {
      const std::optional<uint64_t> value = Counter(stats.counters, counter);
      any = any || value.has_value();
      row.push_back(value.has_value() ? absl::StrCat(*value) : "-");
    }
    if (any) rows.push_back(std::move(row));
  }
  return rows;
}

JsonObject StatsToJson(const PoolSample* before, const PoolSample& now, const NameInterface& name) {
  std::vector<JsonObject> pools;
  uint64_t inflight_bytes = 0;
  uint64_t zombies = 0;
  for (const PagePool& pool : now.pools) {
    pools.push_back(PoolToJson(pool, before, now, name));
    inflight_bytes += pool.inflight_bytes.value_or(0);
    if (IsZombie(pool)) ++zombies;
  }
  std::vector<JsonObject> devices;
  for (const QueueStats& stats : now.queues) {
    JsonObject& device = devices.emplace_back();
    device.Text("ifname", name(stats.ifindex)).Number("ifindex", stats.ifindex);
    device.Object("counters", CountersToJson(stats.counters));
  }
  JsonObject json;
  json.Number("time_ns", now.time_ns).Number("inflight_bytes", inflight_bytes);
  json.Number("zombies", zombies).List("pools", std::move(pools));
  json.List("devices", std::move(devices));
  return json;
}

}  // namespace devmem
