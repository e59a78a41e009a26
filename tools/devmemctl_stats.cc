// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl stats`: page pools with what they have in flight, once or until a signal.

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
#include "tools/pool_report.h"
#include "tools/signal_watch.h"
#include "uapi/abi/netdev.h"
#include "uapi/netlink/netdev_client.h"

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

absl::StatusOr<PoolSample> TakeSample(NetdevClient& client, std::optional<uint32_t> ifindex) {
  PoolSample sample;
  sample.time_ns = NanosSinceBoot();
  absl::StatusOr<std::vector<PagePool>> pools = client.PagePools(ifindex);
  if (!pools.ok()) return pools.status();
  sample.pools = *std::move(pools);
  if (client.family().Has(abi::NETDEV_CMD_PAGE_POOL_STATS_GET)) {
    const absl::Status taken = Take(client.PagePoolsStats(ifindex), &sample.counters);
    if (!taken.ok()) return taken;
  }
  const absl::Status taken = Take(client.Statistics(ifindex), &sample.queues);
  if (!taken.ok()) return taken;
  return sample;
}

std::string Picture(const DevmemctlOptions& options, const PoolSample* before,
                    const PoolSample& now) {
  if (options.json) return FormatJson(options, StatsToJson(before, now, InterfaceName));
  std::string text = now.pools.empty() ? "no page pools\n"
                                       : FormatTable(PoolStatsRows(before, now, InterfaceName));
  const TableRows drops = DropRows(now, InterfaceName);
  if (drops.size() > 1) absl::StrAppend(&text, "\n", FormatTable(drops));
  return text;
}

// Pictures at equal distances until a signal, or until there were as many as asked for.
CommandOutcome Watch(const DevmemctlOptions& options, NetdevClient& client,
                     std::optional<uint32_t> ifindex) {
  const absl::StatusOr<SignalWatch> signals = SignalWatch::Create();
  if (!signals.ok()) return Refuse(options, kCtlRefused, signals.status());
  const bool terminal = !options.json && isatty(STDOUT_FILENO) == 1;
  const uint64_t interval_ns = options.interval_ms * 1'000'000;
  uint64_t next_ns = NanosSinceBoot();
  std::optional<PoolSample> before;
  for (uint64_t taken = 0; options.count == 0 || taken < options.count; ++taken) {
    if (taken > 0) {
      next_ns += interval_ns;
      const uint64_t now_ns = NanosSinceBoot();
      const uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
      if (WaitForSignal(*signals, -1, static_cast<int64_t>(wait_ns)).has_value()) break;
    }
    absl::StatusOr<PoolSample> sample = TakeSample(client, ifindex);
    if (!sample.ok()) return Refuse(options, ExitCodeOf(sample.status()), sample.status());
    const std::string gap = taken > 0 && !options.json ? "\n" : "";
    const std::string picture = Picture(options, before ? &*before : nullptr, *sample);
    if (!WriteNow(absl::StrCat(terminal ? kClearScreen : gap, picture))) return OutputGone();
    before = *std::move(sample);
  }
  return {};
}

}  // namespace

CommandOutcome ShowStatistics(const DevmemctlOptions& options) {
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  const absl::StatusOr<std::unique_ptr<NetdevClient>> client = NetdevClient::Open();
  if (!client.ok()) return Refuse(options, ExitCodeOf(client.status()), client.status());
  if (options.watch) return Watch(options, **client, *ifindex);
  const absl::StatusOr<PoolSample> sample = TakeSample(**client, *ifindex);
  if (!sample.ok()) return Refuse(options, ExitCodeOf(sample.status()), sample.status());
  CommandOutcome outcome;
  outcome.output = Picture(options, nullptr, *sample);
  return outcome;
}

}  // namespace devmem
