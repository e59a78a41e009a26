// SPDX-License-Identifier: Apache-2.0
//
// SignalWatch: the signals that end a command which waits, as a descriptor to poll: SIGINT,
// SIGTERM and SIGHUP are blocked while it lives (signalfd(2)). One thread, the one that made it.

#pragma once

#include <signal.h>

#include <optional>

#include "absl/status/statusor.h"
#include "provider/unique_fd.h"

namespace devmem {

class SignalWatch {
 public:
  // Errors: kInternal when the kernel gives no descriptor.
  static absl::StatusOr<SignalWatch> Create();
  SignalWatch(SignalWatch&& other) noexcept;
  SignalWatch& operator=(SignalWatch&&) = delete;
  // Signals count again as before.
  ~SignalWatch();

  int fd() const { return fd_.get(); }
  // The signal that came, without waiting.
  std::optional<int> Caught() const;

 private:
  SignalWatch(UniqueFd fd, const sigset_t& before);

  UniqueFd fd_;
  sigset_t before_;
};

// Waits until the watch or one of `others` (-1 for none) is readable, or `timeout_ns` are over; a
// negative one is for ever. Returns the signal when it was one. 0 ns only looks.
std::optional<int> WaitForSignal(const SignalWatch& watch, int other, int64_t timeout_ns);

}  // namespace devmem
