// SPDX-License-Identifier: Apache-2.0
//
// lossy_relay: carries frames between two network namespaces and treats TCP badly: drops,
// duplicates, reorders and corrupts, both ways, from a seed. lossy.py starts it between a kernel
// sender and a receiver: its left port is a TAP in the namespace it was started in, its right port
// is in the namespace of a process, either a TAP of its own (a kernel receives) or the kernel's
// side of somebody else's TAP (the stack receives). Prints one JSON object at SIGTERM. One thread.

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "netmem/tcp/time.h"
#include "provider/posix_error.h"
#include "provider/unique_fd.h"
#include "selftests/lossy/lossy_path.h"
#include "selftests/lossy/packet_port.h"
#include "tools/exit_codes.h"
#include "tools/json_object.h"
#include "tools/long_options.h"
#include "tools/parse_values.h"

namespace devmem::lossy {
namespace {

constexpr char kUsage[] = R"(usage: lossy_relay --left NAME --right NAME --right-pid PID
              [--right-kind tap|join] [--seed N] [--drop PERMILLE] [--duplicate PERMILLE]
              [--reorder PERMILLE] [--corrupt PERMILLE] [--delay-us N] [--reorder-us N]
              [--ready-fd FD]
Relays frames between the TAP --left, which it makes here, and --right in the network namespace of
process --right-pid: a TAP that it makes there, or a device that it joins from the kernel's side.
Defaults: tap, seed 1, 30, 10, 50 and 10 per mille each way, 250 us of delay, reordered frames up
to 1000 us later. --ready-fd: one byte is written there, and it is closed, when both are open.
)";

struct Options {
  std::string left;
  std::string right;
  uint64_t right_pid = 0;
  bool join_right = false;
  uint64_t seed = 1;
  ImpairmentConfig rates{.delay_ns = 250'000,
                         .loss = 0.03,
                         .duplication = 0.01,
                         .corruption = 0.01,
                         .reorder = 0.05,
                         .reorder_delay_ns = 1'000'000};
  int ready_fd = -1;
};

// The handlers of one kind of option each: what they fill outlives them.
auto Name(std::string* value) {
  return [value](const std::string& text) {
    *value = text;
    return absl::OkStatus();
  };
}

template <typename Value>
auto Number(absl::string_view option, uint64_t max, Value* value, Value scale) {
  return [=](const std::string& text) {
    const auto number = ParseNumber(text, {option, 0, max});
    if (number.ok()) *value = static_cast<Value>(*number) * scale;
    return number.status();
  };
}

absl::StatusOr<Options> ParseOptions(int argc, const char* const* argv) {
  Options options;
  ImpairmentConfig& rates = options.rates;
  const LongOptions handlers = {
      {"--left", Name(&options.left)},
      {"--right", Name(&options.right)},
      {"--right-pid", Number<uint64_t>("--right-pid", INT32_MAX, &options.right_pid, 1)},
      {"--right-kind",
       [&](const std::string& text) {
         static constexpr absl::string_view kKinds[] = {"tap", "join"};
         const auto kind = ParseChoice(text, "--right-kind", kKinds);
         if (kind.ok()) options.join_right = *kind == 1;
         return kind.status();
       }},
      {"--seed", Number<uint64_t>("--seed", UINT64_MAX, &options.seed, 1)},
      {"--drop", Number("--drop", 1000, &rates.loss, 1e-3)},
      {"--duplicate", Number("--duplicate", 1000, &rates.duplication, 1e-3)},
      {"--reorder", Number("--reorder", 1000, &rates.reorder, 1e-3)},
      {"--corrupt", Number("--corrupt", 1000, &rates.corruption, 1e-3)},
      {"--delay-us", Number("--delay-us", 1'000'000, &rates.delay_ns, kMicrosecond)},
      {"--reorder-us", Number("--reorder-us", 1'000'000, &rates.reorder_delay_ns, kMicrosecond)},
      {"--ready-fd", Number("--ready-fd", 1'000'000, &options.ready_fd, 1)},
  };
  absl::Status status = ParseLongOptions(argc, argv, handlers);
  if (status.ok()) status = Impairment::Check(rates);
  if (!status.ok()) return status;
  if (options.left.empty() || options.right.empty() || options.right_pid == 0) {
    return absl::InvalidArgumentError("--left, --right and --right-pid are needed");
  }
  return options;
}

absl::Status EnterNamespaceOf(uint64_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/ns/net");
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.valid() && ::setns(fd.get(), CLONE_NEWNET) == 0) return absl::OkStatus();
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("cannot enter the network namespace ", path));
}

Nanos Now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return Nanos{time.tv_sec} * kSecond + time.tv_nsec;
}

class Relay {
 public:
  Relay(const Options& options, PacketPort left, PacketPort right)
      : left_(std::move(left)),
        right_(std::move(right)),
        rightward_(options.rates, options.seed, 0),
        leftward_(options.rates, options.seed, 1) {}

  // Until `stop_fd` is readable.
  void Run(int stop_fd) {
    std::array<pollfd, 3> polled{pollfd{left_.fd(), POLLIN, 0}, pollfd{right_.fd(), POLLIN, 0},
                                 pollfd{stop_fd, POLLIN, 0}};
    while (polled[2].revents == 0) {
      Carry(left_, rightward_, right_);
      Carry(right_, leftward_, left_);
      const std::optional<timespec> timeout = TimeToNextFrame();
      ::ppoll(polled.data(), polled.size(), timeout.has_value() ? &*timeout : nullptr, nullptr);
    }
  }

  JsonObject Report() const {
    JsonObject json;
    json.Object("to_receiver", CountsOf(rightward_, left_, right_));
    json.Object("to_sender", CountsOf(leftward_, right_, left_));
    return json;
  }

 private:
  static void Carry(PacketPort& from, LossyPath& path, PacketPort& to) {
    const Nanos now = Now();
    for (Frame frame; from.Receive(frame);) path.Enter(std::move(frame), now);
    while (const std::optional<Frame> frame = path.Leave(now)) to.Send(*frame);
  }

  std::optional<timespec> TimeToNextFrame() const {
    const std::optional<Nanos> left = leftward_.next_due();
    const std::optional<Nanos> right = rightward_.next_due();
    if (!left.has_value() && !right.has_value()) return std::nullopt;
    const Nanos due = std::min(left.value_or(INT64_MAX), right.value_or(INT64_MAX));
    const Nanos wait = std::max<Nanos>(0, due - Now());
    return timespec{.tv_sec = wait / kSecond, .tv_nsec = wait % kSecond};
  }

  static JsonObject CountsOf(const LossyPath& path, const PacketPort& from, const PacketPort& to) {
    const PathCounts& counts = path.counts();
    JsonObject json;
    json.Number("frames", counts.frames).Number("dropped", counts.dropped);
    json.Number("duplicated", counts.duplicated).Number("reordered", counts.reordered);
    json.Number("corrupted", counts.corrupted);
    json.Number("refused", from.refused()).Number("unsent", to.unsent());
    json.Number("away", to.away()).Number("syns", counts.syns);
    json.Number("neighbours", counts.neighbours).Number("others", counts.others);
    return json;
  }

  PacketPort left_;
  PacketPort right_;
  LossyPath rightward_;
  LossyPath leftward_;
};

absl::StatusOr<UniqueFd> BlockAndWatchSigterm() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (fd.valid()) return fd;
  const int err = errno;
  return ErrnoToStatus(err, "cannot watch for SIGTERM");
}

absl::StatusOr<JsonObject> RelayUntilSigterm(const Options& options) {
  const auto stop = BlockAndWatchSigterm();
  if (!stop.ok()) return stop.status();
  auto left = PacketPort::MakeTap(options.left);
  if (!left.ok()) return left.status();
  const absl::Status entered = EnterNamespaceOf(options.right_pid);
  if (!entered.ok()) return entered;
  auto right = options.join_right ? PacketPort::JoinDevice(options.right)
                                  : PacketPort::MakeTap(options.right);
  if (!right.ok()) return right.status();
  if (options.ready_fd >= 0) {
    (void)!::write(options.ready_fd, "\n", 1);
    ::close(options.ready_fd);
  }
  Relay relay(options, *std::move(left), *std::move(right));
  relay.Run(stop->get());
  return relay.Report();
}

int Main(int argc, const char* const* argv) {
  if (argc == 2 && std::string(argv[1]) == "--help") {
    std::fputs(kUsage, stdout);
    return kExitOk;
  }
  const absl::StatusOr<Options> options = ParseOptions(argc, argv);
  if (!options.ok()) {
    std::fprintf(stderr, "lossy_relay: %s\nTry lossy_relay --help\n",
                 std::string(options.status().message()).c_str());
    return kExitUsage;
  }
  const absl::StatusOr<JsonObject> report = RelayUntilSigterm(*options);
  if (!report.ok()) {
    std::fprintf(stderr, "lossy_relay: %s\n", std::string(report.status().message()).c_str());
    return kExitFailed;
  }
  std::printf("%s\n", report->ToString().c_str());
  return kExitOk;
}

}  // namespace
}  // namespace devmem::lossy

int main(int argc, char** argv) { return devmem::lossy::Main(argc, argv); }
