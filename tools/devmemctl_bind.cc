// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl queue bind` and `unbind`: memory of a provider on receive queues, for as long as the
// process that bound it lives. The kernel ties a binding to the netlink socket that made it.

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/provider.h"
#include "provider/unique_fd.h"
#include "tools/devmemctl_commands.h"
#include "tools/devmemctl_device.h"
#include "tools/queue_holder.h"
#include "tools/signal_watch.h"
#include "uapi/netlink/nic_control.h"

namespace devmem {
namespace {

// Takes the outcome of binding to whoever waits for it; false when nobody does.
using Report = std::function<bool(const CommandOutcome&)>;

// What must stay for the binding to stay. The socket goes first, then the memory.
struct Bound {
  std::unique_ptr<Region> region;
  std::unique_ptr<RxBinding> binding;
};

absl::StatusOr<Bound> Bind(const DevmemctlOptions& options) {
  const absl::StatusOr<Provider*> provider = FindProvider(options.provider);
  if (!provider.ok()) return provider.status();
  Bound bound;
  AllocateOptions request;
  request.bytes = options.region_bytes;
  request.label = "devmemctl";
  absl::StatusOr<std::unique_ptr<Region>> region = AllocateRegion(**provider, request);
  if (!region.ok()) return region.status();
  bound.region = *std::move(region);
  const absl::StatusOr<UniqueFd> dmabuf = bound.region->ExportDmabuf(0, options.region_bytes);
  if (!dmabuf.ok()) return dmabuf.status();
  const absl::StatusOr<std::unique_ptr<NicControl>> nic = OpenNicControl(options.device, "");
  if (!nic.ok()) return nic.status();
  absl::StatusOr<std::unique_ptr<RxBinding>> binding =
      (*nic)->BindRx(dmabuf->get(), options.queues);
  if (!binding.ok()) return binding.status();
  bound.binding = *std::move(binding);
  return bound;
}

JsonObject ToJson(const QueueHolder& holder) {
  JsonObject json;
  json.Number("binding", holder.binding).Text("ifname", holder.device);
  json.Numbers("queues", holder.queues).Number("pid", static_cast<uint64_t>(holder.pid));
  json.Text("provider", holder.provider).Number("bytes", holder.bytes);
  return json;
}

CommandOutcome Tell(const DevmemctlOptions& options, const QueueHolder& holder) {
  CommandOutcome outcome;
  outcome.output =
      options.json
          ? FormatJson(options, ToJson(holder))
          : absl::StrCat("binding ", holder.binding, ": ", holder.device, " rx queues ",
                         absl::StrJoin(holder.queues, ","), ", ", holder.bytes, " bytes of ",
                         holder.provider, "\nIt lives as long as process ", holder.pid,
                         "; `devmemctl queue unbind ", holder.binding, "` ends both.\n");
  return outcome;
}

// Binds, reports, and holds the binding until a signal, or until the process that it is for ends.
void Hold(const DevmemctlOptions& options, const Report& report) {
  const absl::StatusOr<SignalWatch> signals = SignalWatch::Create();
  UniqueFd served;
  if (options.while_pid != 0) {
    served.Reset(static_cast<int>(syscall(SYS_pidfd_open, options.while_pid, 0)));
    if (!served.valid()) {
      report(Refuse(options, kCtlRefused,
                    absl::NotFoundError(
                        absl::StrCat("--while ", options.while_pid, ": ", std::strerror(errno)))));
      return;
    }
  }
  const absl::StatusOr<Bound> bound = Bind(options);
  if (!bound.ok() || !signals.ok()) {
    const absl::Status& status = bound.ok() ? signals.status() : bound.status();
    report(Refuse(options, ExitCodeOf(status), status));
    return;
  }
  QueueHolder holder{.binding = bound->binding->id(),
                     .pid = getpid(),
                     .device = options.device,
                     .queues = options.queues,
                     .provider = options.provider,
                     .bytes = options.region_bytes};
  const std::string folder = HolderFolder();
  const absl::Status written = WriteHolder(folder, holder);
  if (!written.ok()) {
    report(Refuse(options, kCtlRefused, written));
    return;
  }
  if (report(Tell(options, holder))) WaitForSignal(*signals, served.get(), -1);
  RemoveHolder(folder, holder.binding);
}

// An outcome on its way through a pipe: exit status and size of stdout on a line, then both texts.
void SendOutcome(int pipe, const CommandOutcome& outcome) {
  const std::string all = absl::StrCat(outcome.exit_code, " ", outcome.output.size(), "\n",
                                       outcome.output, outcome.error);
  size_t sent = 0;
  while (sent < all.size()) {
    const ssize_t bytes = write(pipe, all.data() + sent, all.size() - sent);
    if (bytes <= 0) return;
    sent += static_cast<size_t>(bytes);
  }
}

CommandOutcome ReceiveOutcome(int pipe) {
  std::string all;
  char piece[4096];
  for (ssize_t bytes = 0; (bytes = read(pipe, piece, sizeof piece)) > 0;) {
    all.append(piece, static_cast<size_t>(bytes));
  }
  CommandOutcome outcome;
  size_t output_bytes = 0;
  const size_t line_end = all.find('\n');
  const size_t space = all.find(' ');
  if (line_end == std::string::npos || space > line_end ||
      !absl::SimpleAtoi(all.substr(0, space), &outcome.exit_code) ||
      !absl::SimpleAtoi(all.substr(space + 1, line_end - space - 1), &output_bytes)) {
    outcome.exit_code = kCtlRefused;
    outcome.error = "devmemctl: the process that was to hold the binding ended early\n";
    return outcome;
  }
  outcome.output = all.substr(line_end + 1, output_bytes);
  outcome.error = all.substr(line_end + 1 + output_bytes);
  return outcome;
}

CommandOutcome HoldInBackground(const DevmemctlOptions& options) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return Refuse(options, kCtlRefused, absl::InternalError("no pipe can be had"));
  }
  UniqueFd reading(ends[0]), writing(ends[1]);
  const pid_t child = fork();
  if (child < 0) {
    return Refuse(options, kCtlRefused, absl::ResourceExhaustedError("no process can be had"));
  }
  if (child > 0) {
    writing.Reset();
    return ReceiveOutcome(reading.get());
  }
  reading.Reset();
  setsid();
  const UniqueFd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    dup2(nothing.get(), standard);
  }
  Hold(options, [&writing](const CommandOutcome& outcome) {
    SendOutcome(writing.get(), outcome);
    writing.Reset();
    return true;
  });
  _exit(0);
}

}  // namespace

CommandOutcome BindQueues(const DevmemctlOptions& asked) {
  DevmemctlOptions options = asked;
  if (options.provider.empty()) options.provider = "udmabuf";
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  if (options.background) return HoldInBackground(options);
  CommandOutcome last;
  Hold(options, [&last](const CommandOutcome& outcome) {
    if (outcome.exit_code != kCtlOk) {
      last = outcome;
      return false;
    }
    return WriteNow(outcome.output);
  });
  return last;
}

CommandOutcome UnbindQueues(const DevmemctlOptions& options) {
  const std::string folder = HolderFolder();
  const absl::StatusOr<QueueHolder> holder = ReadHolder(folder, options.binding);
  if (!holder.ok()) return Refuse(options, kCtlRefused, holder.status());
  const absl::Status ended = EndHolder(*holder);
  // One that went without cleaning up left its file.
  if (ended.ok() || absl::IsNotFound(ended)) RemoveHolder(folder, holder->binding);
  if (!ended.ok()) return Refuse(options, kCtlRefused, ended);
  CommandOutcome outcome;
  if (options.json) outcome.output = FormatJson(options, ToJson(*holder));
  return outcome;
}

}  // namespace devmem
