// SPDX-License-Identifier: Apache-2.0
//
// See signal_watch.h.

#include "tools/signal_watch.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {

absl::StatusOr<SignalWatch> SignalWatch::Create() {
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&wanted, number);
  pthread_sigmask(SIG_BLOCK, &wanted, &before);
  UniqueFd fd(signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
  if (fd.valid()) return SignalWatch(std::move(fd), before);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return absl::InternalError(absl::StrCat("signals cannot be watched: ", std::strerror(error)));
}

SignalWatch::SignalWatch(UniqueFd fd, const sigset_t& before)
    : fd_(std::move(fd)), before_(before) {}

SignalWatch::SignalWatch(SignalWatch&& other) noexcept
    : fd_(std::move(other.fd_)), before_(other.before_) {}

SignalWatch::~SignalWatch() {
  if (fd_.valid()) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> SignalWatch::Caught() const {
  signalfd_siginfo info = {};
  if (read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

std::optional<int> WaitForSignal(const SignalWatch& watch, int other, int64_t timeout_ns) {
  pollfd waiting[2] = {{watch.fd(), POLLIN, 0}, {other, POLLIN, 0}};
  const timespec timeout = {timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  ppoll(waiting, 2, timeout_ns < 0 ? nullptr : &timeout, nullptr);
  return watch.Caught();
}

}  // namespace devmem
