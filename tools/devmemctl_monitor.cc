// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl monitor`: what the kernel announces about devices, page pools and settings of NICs,
// one event a line, until a signal.

#include <poll.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tools/boot_time.h"
#include "tools/devmemctl_commands.h"
#include "tools/devmemctl_device.h"
#include "tools/event_report.h"
#include "tools/netdev_report.h"
#include "tools/signal_watch.h"
#include "uapi/netlink/genl_channel.h"

namespace devmem {
namespace {

using Sockets = std::vector<std::unique_ptr<GenlSocket>>;

struct Group {
  absl::string_view family;
  absl::string_view name;
};
constexpr Group kGroups[] = {{"netdev", "mgmt"}, {"netdev", "page-pool"}, {"ethtool", "monitor"}};

// A socket for each group that this kernel has. Errors: the last one, when it has none.
absl::StatusOr<Sockets> Subscribe() {
  Sockets sockets;
  absl::Status last = absl::OkStatus();
  for (const Group& group : kGroups) {
    absl::StatusOr<std::unique_ptr<GenlSocket>> socket = GenlSocket::Open(group.family);
    last = socket.ok() ? (*socket)->Subscribe(group.name) : socket.status();
    if (last.ok()) sockets.push_back(*std::move(socket));
  }
  if (sockets.empty()) return last;
  return sockets;
}

class Monitor {
 public:
  Monitor(const DevmemctlOptions& options, std::optional<uint32_t> ifindex, Sockets sockets)
      : options_(options), ifindex_(ifindex), sockets_(std::move(sockets)) {}

  CommandOutcome Run(const SignalWatch& signals) {
    std::vector<pollfd> waiting = {{signals.fd(), POLLIN, 0}};
    for (const auto& socket : sockets_) waiting.push_back({socket->fd(), POLLIN, 0});
    while (!ended_) {
      poll(waiting.data(), waiting.size(), -1);
      if (signals.Caught().has_value()) break;
      for (size_t i = 0; i < sockets_.size() && !ended_; ++i) {
        if (waiting[i + 1].revents != 0) Drain(*sockets_[i]);
      }
    }
    return std::move(outcome_);
  }

 private:
  void Drain(GenlSocket& socket) {
    const absl::StatusOr<std::vector<GenlMessage>> messages = socket.Notifications();
    if (absl::IsDataLoss(messages.status())) {
      // Whoever reads must know that the picture has a hole.
      NetlinkEvent lost;
      lost.family = socket.family().name;
      lost.event = "lost";
      Print(lost);
    } else if (!messages.ok()) {
      End(Refuse(options_, kCtlRefused, messages.status()));
    }
    if (!messages.ok()) return;
    for (const GenlMessage& message : *messages) {
      const NetlinkEvent event = DecodeEvent(socket.family().name, message, InterfaceName);
      if (ifindex_.has_value() && event.ifindex != *ifindex_) continue;
      Print(event);
      if (ended_) return;
    }
  }

  void Print(const NetlinkEvent& event) {
    const std::string line = options_.json ? FormatJson(options_, ToJson(event, NanosSinceBoot()))
                                           : absl::StrCat(ToText(event), "\n");
    if (!WriteNow(line)) End(OutputGone());
    if (++printed_ == options_.count) ended_ = true;
  }

  void End(CommandOutcome outcome) {
    outcome_ = std::move(outcome);
    ended_ = true;
  }

  const DevmemctlOptions& options_;
  const std::optional<uint32_t> ifindex_;
  const Sockets sockets_;
  CommandOutcome outcome_;
  uint64_t printed_ = 0;
  bool ended_ = false;
};

}  // namespace

CommandOutcome MonitorEvents(const DevmemctlOptions& options) {
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  const absl::StatusOr<SignalWatch> signals = SignalWatch::Create();
  if (!signals.ok()) return Refuse(options, kCtlRefused, signals.status());
  absl::StatusOr<Sockets> sockets = Subscribe();
  if (!sockets.ok()) return Refuse(options, ExitCodeOf(sockets.status()), sockets.status());
  return Monitor(options, *ifindex, *std::move(sockets)).Run(*signals);
}

}  // namespace devmem
