// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl stats`: page pools with what they have in flight, and the sessions that hold tokens,
// once or until a signal.

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tools/boot_time.h"
#include "tools/devmemctl_commands.h"
#include "tools/devmemctl_device.h"
#include "tools/owner_report.h"
#include "tools/pool_report.h"
#include "tools/queue_holder.h"
#include "tools/signal_watch.h"
#include "uapi/abi/netdev.h"
#include "uapi/netlink/netdev_client.h"
#include "uapi/stats_owner.h"

namespace devmem {
namespace {

// What the terminal's screen becomes before the next picture of it.
constexpr char kClearScreen[] = "\033[H\033[J";

// What `status` refuses because the kernel does not keep it is left out, not an error.
template <typename Value>
absl::Status Take(absl::StatusOr<std::vector<Value>> values, std::vector<Value>* into) {
  if (values.ok()) *into = *std::move(values);
  if (ExitCodeOf(values.status()) == kCtlUnsupported) return absl::OkStatus();
  return values.status();
}

// What is looked at.
struct Subject {
  std::string device;  // Empty: all.
  std::optional<uint32_t> ifindex;
  uint64_t net_namespace = 0;
  // Null where the kernel tells nothing of its pools; then `no_pools` says why.
  std::unique_ptr<NetdevClient> client;
  std::string no_pools;
};

struct Sample {
  PoolSample pools;
  OwnerSample owners;
};

absl::Status FillPools(NetdevClient& client, std::optional<uint32_t> ifindex, PoolSample& sample) {
  absl::StatusOr<std::vector<PagePool>> pools = client.PagePools(ifindex);
  if (!pools.ok()) return pools.status();
  sample.pools = *std::move(pools);
  if (client.family().Has(abi::NETDEV_CMD_PAGE_POOL_STATS_GET)) {
    const absl::Status taken = Take(client.PagePoolsStats(ifindex), &sample.counters);
    if (!taken.ok()) return taken;
  }
  return Take(client.Statistics(ifindex), &sample.queues);
}

// Sessions say it themselves; for the rest, `queue bind` keeps a list.
absl::Status FillPoolOwners(const Subject& subject, Sample& sample) {
  const std::vector<PagePool>& pools = sample.pools.pools;
  std::vector<NetdevQueue> queues;
  const bool any_ring =
      std::any_of(pools.begin(), pools.end(), [](const PagePool& pool) { return pool.io_uring; });
  if (any_ring) {
    const absl::Status taken = Take(subject.client->Queues(subject.ifindex), &queues);
    if (!taken.ok()) return taken;
  }
  sample.pools.owners = FindPoolOwners(pools, queues, sample.owners.listing.sessions,
                                       subject.net_namespace, InterfaceName);
  for (const QueueHolder& holder : ListHolders(HolderFolder())) {
    if (StartTicks(holder.pid) != holder.start_ticks) continue;
    for (const PagePool& pool : pools) {
      if (pool.dmabuf == holder.binding) sample.pools.owners[pool.id] = holder.pid;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Sample> TakeSample(const Subject& subject) {
  Sample sample;
  sample.pools.time_ns = sample.owners.time_ns = NanosSinceBoot();
  sample.owners.listing = ListSessions();
  if (subject.client != nullptr) {
    absl::Status taken = FillPools(*subject.client, subject.ifindex, sample.pools);
    if (taken.ok()) taken = FillPoolOwners(subject, sample);
    if (!taken.ok()) return taken;
  }
  KeepDevice(subject.device, subject.net_namespace, &sample.owners.listing);
  return sample;
}

std::string JsonPicture(const DevmemctlOptions& options, const Subject& subject,
                        const Sample* before, const Sample& now) {
  JsonObject json =
      StatsToJson(before != nullptr ? &before->pools : nullptr, now.pools, InterfaceName);
  if (!subject.no_pools.empty()) json.Text("no_pools", subject.no_pools);
  AddOwners(before != nullptr ? &before->owners : nullptr, now.owners, &json);
  return FormatJson(options, json);
}

std::string Picture(const DevmemctlOptions& options, const Subject& subject, const Sample* before,
                    const Sample& now) {
  if (options.json) return JsonPicture(options, subject, before, now);
  const TableRows owners = OwnerRows(before != nullptr ? &before->owners : nullptr, now.owners);
  std::string text = owners.size() > 1 ? FormatTable(owners) : "no sessions\n";
  for (const std::string& reason : now.owners.listing.passed_over) {
    absl::StrAppend(&text, "passed over ", reason, "\n");
  }
  if (!now.owners.listing.complete) {
    absl::StrAppend(&text, "not every file was looked at: there are more than ", kStatsFilesMax,
                    " in one folder\n");
  }
  absl::StrAppend(&text, "\n");
  if (!subject.no_pools.empty()) {
    absl::StrAppend(&text, "no page pools: ", subject.no_pools, "\n");
  } else if (now.pools.pools.empty()) {
    absl::StrAppend(&text, "no page pools\n");
  } else {
    const PoolSample* const earlier = before != nullptr ? &before->pools : nullptr;
    absl::StrAppend(&text, FormatTable(PoolStatsRows(earlier, now.pools, InterfaceName)));
  }
  const TableRows drops = DropRows(now.pools, InterfaceName);
  if (drops.size() > 1) absl::StrAppend(&text, "\n", FormatTable(drops));
  return text;
}

// Pictures at equal distances until a signal, or until there were as many as asked for.
CommandOutcome Watch(const DevmemctlOptions& options, const Subject& subject) {
  const absl::StatusOr<SignalWatch> signals = SignalWatch::Create();
  if (!signals.ok()) return Refuse(options, kCtlRefused, signals.status());
  const bool terminal = !options.json && isatty(STDOUT_FILENO) == 1;
  const uint64_t interval_ns = options.interval_ms * 1'000'000;
  uint64_t next_ns = NanosSinceBoot();
  std::optional<Sample> before;
  for (uint64_t taken = 0; options.count == 0 || taken < options.count; ++taken) {
    if (taken > 0) {
      next_ns += interval_ns;
      const uint64_t now_ns = NanosSinceBoot();
      const uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
      if (WaitForSignal(*signals, -1, static_cast<int64_t>(wait_ns)).has_value()) break;
    }
    absl::StatusOr<Sample> sample = TakeSample(subject);
    if (!sample.ok()) return Refuse(options, ExitCodeOf(sample.status()), sample.status());
    const std::string gap = taken > 0 && !options.json ? "\n" : "";
    const std::string picture = Picture(options, subject, before ? &*before : nullptr, *sample);
    if (!WriteNow(absl::StrCat(terminal ? kClearScreen : gap, picture))) return OutputGone();
    before = *std::move(sample);
  }
  return {};
}

}  // namespace

CommandOutcome ShowStatistics(const DevmemctlOptions& options) {
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  Subject subject{.device = options.device,
                  .ifindex = *ifindex,
                  .net_namespace = NamespaceInode("net"),
                  .client = nullptr,
                  .no_pools = ""};
  absl::StatusOr<std::unique_ptr<NetdevClient>> client = NetdevClient::Open();
  if (client.ok()) {
    subject.client = *std::move(client);
  } else if (ExitCodeOf(client.status()) == kCtlUnsupported) {
    // Sessions publish on any kernel.
    subject.no_pools = std::string(client.status().message());
  } else {
    return Refuse(options, ExitCodeOf(client.status()), client.status());
  }
  if (options.watch) return Watch(options, subject);
  const absl::StatusOr<Sample> sample = TakeSample(subject);
  if (!sample.ok()) return Refuse(options, ExitCodeOf(sample.status()), sample.status());
  CommandOutcome outcome;
  outcome.output = Picture(options, subject, nullptr, *sample);
  return outcome;
}

}  // namespace devmem
