// SPDX-License-Identifier: Apache-2.0
//
// The words of devmemctl's objects that only look: `doctor`, `netdev`, `napi`,
// `page-pool`, `stats` and `monitor`. See devmemctl_words.h.

#include <array>

#include "absl/status/statusor.h"
#include "tools/devmemctl_words.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

constexpr uint64_t kIntervalMsMax = 24 * 3600 * 1000;  // A day.

constexpr char kDoctorFooter[] =
    R"(One screen: the kernel and its options, io_uring, rights, memory, each NIC, and for each
backend usable, or what is missing and the command that fixes it. It changes nothing.

Examples:
  devmemctl doctor                    # everything
  devmemctl doctor kernel             # the same; exit 4 where the backend `kernel` cannot run
  devmemctl -j doctor                 # for programs
)";

constexpr char kNetdevFooter[] = R"(Examples:
  devmemctl netdev                    # what each device can do with XDP and AF_XDP
  devmemctl -j netdev show eth0
)";

constexpr char kNapiFooter[] = R"(Examples:
  devmemctl napi
  devmemctl -j napi show eth0
)";

constexpr char kPagePoolFooter[] =
    R"(A pool that is detached and still has buffers in flight belonged to a queue that was
restarted or unbound: somebody holds its buffers. See `devmemctl stats`, too.

Examples:
  devmemctl page-pool
  devmemctl -j page-pool show eth0
)";

constexpr char kStatsFooter[] =
    R"(First the sessions that publish what they hold, with tokens and bytes out and their share of
what is bound; "gone" is one that was killed. Then page pools with what they have in flight: buffers
in the NIC's ring, in sockets' queues and in users' hands. A zombie is a pool whose queue has left
it and whose buffers somebody still holds. CHANGE and EMPTY-IN need a picture before: --watch.
DEVMEM_STATS_DIR names another folder of sessions.

Examples:
  devmemctl stats
  devmemctl stats eth0 --watch --interval 500
  devmemctl -j stats --watch --count 10   # a document on each line
)";

constexpr char kMonitorFooter[] =
    R"(Events of the groups mgmt and page-pool of the netdev family, and of ethtool's group monitor,
one a line, until a signal. An event "lost" says that some could not be kept.

Examples:
  devmemctl monitor
  devmemctl -j monitor eth0 --count 1     # the next event of eth0, as JSON
)";

constexpr std::array<absl::string_view, 4> kBackends = {"stack", "copy", "kernel", "zcrx"};

absl::Status SetBackend(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseChoice(value, "BACKEND", kBackends);
  if (parsed.ok()) options->backend = value;
  return parsed.status();
}

absl::Status SetDevice(const std::string& value, DevmemctlOptions* options) {
  options->device = value;
  return absl::OkStatus();
}

absl::Status SetWatch(const std::string&, DevmemctlOptions* options) {
  options->watch = true;
  return absl::OkStatus();
}

absl::Status SetInterval(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseNumber(value, {"--interval", 0, kIntervalMsMax, "milliseconds"});
  if (parsed.ok()) options->interval_ms = *parsed;
  return parsed.status();
}

absl::Status SetCount(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseNumber(value, {"--count", 1, UINT32_MAX, "times"});
  if (parsed.ok()) options->count = *parsed;
  return parsed.status();
}

constexpr OptionWords kDoctorOptions[] = {
    {"BACKEND", "", "stack, copy, kernel or zcrx: exit 4 where it cannot run here", SetBackend}};
constexpr VerbWords kDoctorVerbs[] = {
    {"", "Say what this machine can do", DevmemctlCommand::kDoctor, kDoctorOptions}};

constexpr OptionWords kOneDevice[] = {{"DEVICE", "", "Only this device", SetDevice}};
constexpr VerbWords kNetdevVerbs[] = {
    {"show", "Print what devices can do", DevmemctlCommand::kNetdevShow, kOneDevice}};
constexpr VerbWords kNapiVerbs[] = {
    {"show", "Print NAPIs, and how they poll", DevmemctlCommand::kNapiShow, kOneDevice}};
constexpr VerbWords kPagePoolVerbs[] = {{"show", "Print page pools, and what they have in flight",
                                         DevmemctlCommand::kPagePoolShow, kOneDevice}};

constexpr OptionWords kStatsOptions[] = {
    {"DEVICE", "", "Only this device", SetDevice},
    {"--watch", "", "Go on until a signal, or until --count", SetWatch},
    {"--interval", "MS", "Between pictures, in milliseconds; 1000 if not given", SetInterval},
    {"--count", "N", "End after so many pictures", SetCount},
};
constexpr VerbWords kStatsVerbs[] = {{"", "Print sessions, and page pools, with what they hold",
                                      DevmemctlCommand::kStats, kStatsOptions}};

constexpr OptionWords kMonitorOptions[] = {
    {"DEVICE", "", "Only events of this device", SetDevice},
    {"--count", "N", "End after so many events", SetCount},
};
constexpr VerbWords kMonitorVerbs[] = {
    {"", "Print what the kernel announces", DevmemctlCommand::kMonitor, kMonitorOptions}};

constexpr ObjectWords kObjects[] = {
    {"doctor", "What this machine can do, and what is missing", kDoctorFooter, kDoctorVerbs},
    {"netdev", "Network devices, as the kernel's netdev family knows them", kNetdevFooter,
     kNetdevVerbs},
    {"napi", "What polls the queues", kNapiFooter, kNapiVerbs},
    {"page-pool", "Where buffers of receive queues come from", kPagePoolFooter, kPagePoolVerbs},
    {"stats", "Who holds how much, what is in flight, and who is short of buffers", kStatsFooter,
     kStatsVerbs},
    {"monitor", "What changes at NICs, as it happens", kMonitorFooter, kMonitorVerbs},
};

}  // namespace

std::span<const ObjectWords> LookObjects() { return kObjects; }

}  // namespace devmem
