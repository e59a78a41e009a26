// SPDX-License-Identifier: Apache-2.0
//
// The words of devmemctl's objects that only look: `doctor`, `netdev`, `queue`, `napi`,
// `page-pool`, `stats` and `monitor`. See devmemctl_words.h.

#include <array>

#include "absl/status/statusor.h"
#include "tools/devmemctl_words.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

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

constexpr char kQueueFooter[] = R"(Examples:
  devmemctl queue                     # every queue of every device that is up
  devmemctl -j queue show eth0        # MEMORY is "devmem" with the binding's id, "io_uring" or "xsk"
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

constexpr OptionWords kDoctorOptions[] = {
    {"BACKEND", "", "stack, copy, kernel or zcrx: exit 4 where it cannot run here", SetBackend}};
constexpr VerbWords kDoctorVerbs[] = {
    {"", "Say what this machine can do", DevmemctlCommand::kDoctor, kDoctorOptions}};

constexpr OptionWords kOneDevice[] = {{"DEVICE", "", "Only this device", SetDevice}};
constexpr VerbWords kNetdevVerbs[] = {
    {"show", "Print what devices can do", DevmemctlCommand::kNetdevShow, kOneDevice}};
constexpr VerbWords kQueueVerbs[] = {
    {"show", "Print queues, and whose memory they fill", DevmemctlCommand::kQueueShow, kOneDevice}};
constexpr VerbWords kNapiVerbs[] = {
    {"show", "Print NAPIs, and how they poll", DevmemctlCommand::kNapiShow, kOneDevice}};
constexpr VerbWords kPagePoolVerbs[] = {{"show", "Print page pools, and what they have in flight",
                                         DevmemctlCommand::kPagePoolShow, kOneDevice}};

constexpr ObjectWords kObjects[] = {
    {"doctor", "What this machine can do, and what is missing", kDoctorFooter, kDoctorVerbs},
    {"netdev", "Network devices, as the kernel's netdev family knows them", kNetdevFooter,
     kNetdevVerbs},
    {"queue", "Queues of network devices", kQueueFooter, kQueueVerbs},
    {"napi", "What polls the queues", kNapiFooter, kNapiVerbs},
    {"page-pool", "Where buffers of receive queues come from", kPagePoolFooter, kPagePoolVerbs},
};

}  // namespace

std::span<const ObjectWords> LookObjects() { return kObjects; }

}  // namespace devmem
