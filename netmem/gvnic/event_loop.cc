// SPDX-License-Identifier: Apache-2.0
//
// epoll, a timerfd and a list of callbacks. One thread.

#include "netmem/gvnic/event_loop.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr int kEventsPerRound = 64;
constexpr Nanos kNanosPerSecond = 1'000'000'000;

uint64_t DataOf(int fd, uint32_t generation) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, "making an epoll descriptor");
  }
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!timer.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, "making a timer descriptor");
  }
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(timer)));
  // Waking up is all that the timer is for; RunOnce() looks at what is due by itself.
  const absl::Status watched =
      loop->Watch(loop->timer_.get(), EPOLLIN, [raw = loop.get()](uint32_t) {
        uint64_t expirations;
        (void)!::read(raw->timer_.get(), &expirations, sizeof(expirations));
        raw->armed_.reset();
      });
  if (!watched.ok()) return watched;
  return loop;
}

Nanos EventLoop::Now() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<Nanos>(now.tv_sec) * kNanosPerSecond + static_cast<Nanos>(now.tv_nsec);
}

absl::Status EventLoop::Watch(int fd, uint32_t epoll_events, Callback callback) {
  const uint32_t generation = next_generation_++;
  epoll_event event{.events = epoll_events, .data = {.u64 = DataOf(fd, generation)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("watching descriptor ", fd));
  }
  watched_[fd] = {generation, std::make_shared<Callback>(std::move(callback))};
  return absl::OkStatus();
}

absl::Status EventLoop::Rewatch(int fd, uint32_t epoll_events) {
  const auto watched = watched_.find(fd);
  if (watched == watched_.end()) {
    return absl::NotFoundError(absl::StrCat("descriptor ", fd, " is not watched"));
  }
  epoll_event event{.events = epoll_events,
                    .data = {.u64 = DataOf(fd, watched->second.generation)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return absl::OkStatus();
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("watching descriptor ", fd, " for other events"));
}

void EventLoop::Unwatch(int fd) {
  if (watched_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

absl::Status EventLoop::Run() {
  stopped_ = false;
  while (!stopped_) {
    const absl::Status done = RunOnce(-1);
    if (!done.ok()) return done;
  }
  return absl::OkStatus();
}

absl::Status EventLoop::RunOnce(int wait_ms) {
  const absl::Status armed = ArmTimer();
  if (!armed.ok()) return armed;
  std::array<epoll_event, kEventsPerRound> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerRound, wait_ms);
  if (count < 0) {
    const int err = errno;
    if (err != EINTR) return ErrnoToStatus(err, "waiting for events");
  }
  // Once before, so that callbacks act at the time of this round, and once behind for what they
  // made due.
  AdvanceTimed();
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    Dispatch(static_cast<int>(event.data.u64 & UINT32_MAX), event.data.u64 >> 32, event.events);
  }
  AdvanceTimed();
  for (const auto& callback : after_round_) callback();
  return absl::OkStatus();
}

void EventLoop::AdvanceTimed() {
  if (timed_.empty()) return;
  const Nanos now = Now();
  for (const Timed& timed : timed_) timed.advance(now);
}

// A callback of this round may have unwatched the descriptor, and another may have taken its
// number.
void EventLoop::Dispatch(int fd, uint64_t generation, uint32_t epoll_events) {
  const auto watched = watched_.find(fd);
  if (watched == watched_.end() || watched->second.generation != generation) return;
  const std::shared_ptr<Callback> callback = watched->second.callback;
  (*callback)(epoll_events);
}

absl::Status EventLoop::ArmTimer() {
  std::optional<Nanos> due;
  for (const Timed& timed : timed_) {
    const std::optional<Nanos> next = timed.next_due();
    if (next && (!due || *next < *due)) due = next;
  }
  if (!due || due == armed_) return absl::OkStatus();
  // A time of zero would disarm the timer instead of ending its wait at once.
  const Nanos at = std::max<Nanos>(*due, 1);
  itimerspec timer{};
  timer.it_value.tv_sec = static_cast<time_t>(at / kNanosPerSecond);
  timer.it_value.tv_nsec = static_cast<long>(at % kNanosPerSecond);
  if (::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &timer, nullptr) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, "setting a timer");
  }
  armed_ = due;
  return absl::OkStatus();
}

}  // namespace devmem
