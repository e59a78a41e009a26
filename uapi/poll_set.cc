// SPDX-License-Identifier: Apache-2.0
//
// epoll, timerfd and eventfd.

#include "uapi/poll_set.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "provider/posix_error.h"

namespace devmem {

absl::Status PollSet::Create(std::span<const int> fds) {
  bool any = false;
  for (const int fd : fds) any |= fd >= 0;
  if (!any) return absl::OkStatus();
  epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return ErrnoToStatus(errno, "epoll_create1 for the session's descriptor");
  timer_ = UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_.valid()) return ErrnoToStatus(errno, "timerfd_create for the session's timers");
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) != 0) {
    return ErrnoToStatus(errno, "adding the timer to the session's descriptor");
  }
  for (const int fd : fds) {
    if (fd >= 0 && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return ErrnoToStatus(errno, "adding a queue to the session's descriptor");
    }
  }
  return absl::OkStatus();
}

void PollSet::Remove(int fd) {
  if (!epoll_.valid()) return;
  epoll_event ignored{};
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &ignored);
}

void PollSet::SetDeadline(Nanos deadline) {
  if (!timer_.valid() || deadline == armed_) return;
  armed_ = deadline;
  itimerspec when{};
  if (deadline != kNever) {
    // 0 would disarm it.
    const Nanos at = deadline > 0 ? deadline : 1;
    when.it_value.tv_sec = at / kSecond;
    when.it_value.tv_nsec = at % kSecond;
  }
  // Setting it also takes back an expiry that nobody read.
  (void)timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

absl::Status NewsFlag::Create() {
  event_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_.valid()) return ErrnoToStatus(errno, "eventfd for the session's descriptor");
  return absl::OkStatus();
}

void NewsFlag::Raise() {
  // One system call per look of the reader, not per frag.
  if (raised_.exchange(true, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  (void)!write(event_.get(), &one, sizeof(one));
}

void NewsFlag::Lower() {
  uint64_t count = 0;
  (void)!read(event_.get(), &count, sizeof(count));
  // Before the look at the rings: news that comes from now on raises it again. An exchange, so that
  // what was filled before a Raise() that found the flag up is seen.
  (void)raised_.exchange(false, std::memory_order_acq_rel);
}

}  // namespace devmem
