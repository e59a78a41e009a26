// SPDX-License-Identifier: Apache-2.0
//
// The words of devmemctl's objects that change a NIC: `queue`, `rule`, `setup` and
// `restore`. See
// devmemctl_words.h.

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "provider/limits.h"
#include "tools/devmemctl_words.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

constexpr char kQueueFooter[] =
    R"(A binding lives as long as the process that made it: the kernel ties it to a netlink socket,
and has no other way to end it. `bind` stays in the foreground until a signal; with --background
another process holds the binding, and `unbind` ends that process. The NIC must be set up before
(`devmemctl setup`): header split on, RSS away from the queues.

Examples:
  devmemctl queue                     # every queue of every device that is up
  devmemctl -j queue show eth0        # whose memory: "dmabuf", "io-uring" or "xsk"
  devmemctl queue bind eth0 --queues 2,3 --bytes 64M --background
  devmemctl queue unbind 1
)";

constexpr char kRuleFooter[] =
    R"(Flow rules in the words of `ethtool -N`; what is left out is not compared. `add` prints the
location that the rule got, and `del` takes it.

Examples:
  devmemctl rule                      # the rules of every NIC
  devmemctl rule add eth0 tcp4 dst-ip 192.0.2.2 dst-port 5201 action 3
  devmemctl rule add eth0 tcp6 src-ip 2001:db8::1 dst-port 5201 action 3 loc 7
  devmemctl rule del eth0 7
)";

constexpr char kSetupFooter[] =
    R"(Sets receive queues apart for device memory: channels, header split, flow rules switched on,
RSS away from the queues. Each change is written to a journal first; `devmemctl restore` undoes
it. Leave queue 0 to everybody else. --dry-run changes nothing, and prints lines for a shell.

Examples:
  devmemctl setup eth0 --queues 3 --dry-run
  devmemctl setup eth0 --queues 2,3
)";

constexpr char kRestoreFooter[] =
    R"(Undoes what `devmemctl setup`, or a program of devmem that died, left behind. What a running
program uses, and what somebody changed since, is left alone and told, as is each journal that
cannot be read, with what to do. Exits with 0 only if nothing is left to undo.

Examples:
  devmemctl restore                   # every NIC of this network namespace
  devmemctl restore eth0
)";

constexpr uint64_t kQueueMax = UINT16_MAX;

// Rules are numbered by their place in the NIC's table.
constexpr uint64_t kLocationMax = UINT32_MAX - 16;  // Above are numbers with a meaning.

absl::Status SetDevice(const std::string& value, DevmemctlOptions* options) {
  options->device = value;
  return absl::OkStatus();
}

// Called for each word.
absl::Status AddRuleWord(const std::string& value, DevmemctlOptions* options) {
  absl::StrAppend(&options->rule, options->rule.empty() ? "" : " ", value);
  return absl::OkStatus();
}

absl::Status SetLocation(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseNumber(value, {"LOCATION", 0, kLocationMax, ""});
  if (parsed.ok()) options->location = static_cast<uint32_t>(*parsed);
  return parsed.status();
}

absl::Status SetQueues(const std::string& value, DevmemctlOptions* options) {
  for (const absl::string_view part : absl::StrSplit(value, ',')) {
    const auto parsed = ParseNumber(part, {"--queues", 0, kQueueMax, ""});
    if (!parsed.ok()) return parsed.status();
    options->queues.push_back(static_cast<uint32_t>(*parsed));
  }
  return absl::OkStatus();
}

absl::Status SetChannels(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseNumber(value, {"--channels", 1, kQueueMax, ""});
  if (parsed.ok()) options->channels = static_cast<uint32_t>(*parsed);
  return parsed.status();
}

absl::Status SetDryRun(const std::string&, DevmemctlOptions* options) {
  options->dry_run = true;
  return absl::OkStatus();
}

absl::Status SetProvider(const std::string& value, DevmemctlOptions* options) {
  options->provider = value;
  return absl::OkStatus();
}

absl::Status SetBytes(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseBytes(value, {"--bytes", kSmallPageBytes, kRegionBytesMax, "bytes"});
  if (parsed.ok()) options->region_bytes = *parsed;
  return parsed.status();
}

absl::Status SetBackground(const std::string&, DevmemctlOptions* options) {
  options->background = true;
  return absl::OkStatus();
}

absl::Status SetWhile(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseNumber(value, {"--while", 1, INT32_MAX, ""});
  if (parsed.ok()) options->while_pid = static_cast<int32_t>(*parsed);
  return parsed.status();
}

absl::Status SetBinding(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseNumber(value, {"BINDING", 1, UINT32_MAX, ""});
  if (parsed.ok()) options->binding = static_cast<uint32_t>(*parsed);
  return parsed.status();
}

constexpr OptionWords kShowOptions[] = {{"DEVICE", "", "Only this device", SetDevice}};
constexpr OptionWords kBindOptions[] = {
    {"DEVICE", "", "The NIC", SetDevice, true},
    {"--queues", "N,N...", "Its receive queues", SetQueues, true},
    {"--provider", "NAME", "Whose memory; it must be a dma-buf; udmabuf if not given", SetProvider},
    {"--bytes", "BYTES", "Size of the memory; 16M if not given", SetBytes},
    {"--background", "", "Return once it stands; another process holds it", SetBackground},
    {"--while", "PID", "End when this process ends", SetWhile},
};
constexpr OptionWords kUnbindOptions[] = {
    {"BINDING", "", "As `queue bind` and `queue show` print it", SetBinding, true}};
constexpr VerbWords kQueueVerbs[] = {
    {"show", "Print queues, and whose memory they fill", DevmemctlCommand::kQueueShow,
     kShowOptions},
    {"bind", "Bind memory to receive queues, and hold it there", DevmemctlCommand::kQueueBind,
     kBindOptions},
    {"unbind", "End a binding that `bind` holds", DevmemctlCommand::kQueueUnbind, kUnbindOptions},
};

constexpr OptionWords kListOptions[] = {{"DEVICE", "", "Only this device", SetDevice}};
constexpr OptionWords kAddOptions[] = {
    {"DEVICE", "", "The NIC", SetDevice, true},
    {"RULE...", "",
     "tcp4|tcp6|udp4|udp6 [src-ip A] [dst-ip A] [src-port N] [dst-port N] action QUEUE",
     AddRuleWord, true},
};
constexpr OptionWords kDeleteOptions[] = {
    {"DEVICE", "", "The NIC", SetDevice, true},
    {"LOCATION", "", "As `devmemctl rule list` prints it", SetLocation, true},
};
constexpr VerbWords kRuleVerbs[] = {
    {"list", "Print flow rules", DevmemctlCommand::kRuleList, kListOptions},
    {"add", "Steer a flow to a queue", DevmemctlCommand::kRuleAdd, kAddOptions},
    {"del", "Take a rule away", DevmemctlCommand::kRuleDelete, kDeleteOptions},
};

constexpr OptionWords kSetupOptions[] = {
    {"DEVICE", "", "The NIC", SetDevice, true},
    {"--queues", "N,N...", "The receive queues that memory will be bound to", SetQueues, true},
    {"--channels", "N", "Combined channels that the NIC is to have; as it has if not given",
     SetChannels},
    {"--dry-run", "", "Only print what would be done", SetDryRun},
};
constexpr VerbWords kSetupVerbs[] = {
    {"", "Make a NIC ready for device memory", DevmemctlCommand::kSetup, kSetupOptions}};
constexpr VerbWords kRestoreVerbs[] = {
    {"", "Put NICs back as they were", DevmemctlCommand::kRestore, kListOptions}};

constexpr ObjectWords kObjects[] = {
    {"queue", "Queues of network devices, and memory bound to them", kQueueFooter, kQueueVerbs},
    {"rule", "Flow rules of NICs: which packets go to which queue", kRuleFooter, kRuleVerbs},
    {"setup", "A NIC made ready for device memory", kSetupFooter, kSetupVerbs},
    {"restore", "A NIC put back as it was", kRestoreFooter, kRestoreVerbs},
};

}  // namespace

std::span<const ObjectWords> ChangeObjects() { return kObjects; }

}  // namespace devmem
