// SPDX-License-Identifier: Apache-2.0
//
// The system clock and ppoll(2).

#include "netmem/stack/clock.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <array>

namespace devmem {
namespace {

class SystemClock final : public Clock {
 public:
  Nanos Now() override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * kSecond + now.tv_nsec;
  }

  void Wait(std::span<const int> fds, Nanos until) override {
    constexpr size_t kFdsMax = 128;
    std::array<pollfd, kFdsMax> polled;
    const size_t count = std::min(fds.size(), kFdsMax);
    for (size_t i = 0; i < count; ++i) polled[i] = pollfd{fds[i], POLLIN, 0};
    timespec timeout{};
    if (until != kNever) {
      const Nanos left = std::max<Nanos>(until - Now(), 0);
      timeout = timespec{left / kSecond, left % kSecond};
    }
    // A signal ends the wait early, as the contract allows.
    (void)ppoll(polled.data(), count, until == kNever ? nullptr : &timeout, nullptr);
  }
};

}  // namespace

Clock& Clock::System() {
  static SystemClock clock;
  return clock;
}

}  // namespace devmem
