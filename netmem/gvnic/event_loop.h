// SPDX-License-Identifier: Apache-2.0
//
// The loop that several virtual devices and their network share: waits for descriptors with epoll
// and for points in time with one timerfd. Everything of a process of gvnicd runs in it, so that
// nothing there needs a lock. One thread.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/nic/nanos.h"
#include "provider/unique_fd.h"

namespace devmem {

class EventLoop {
 public:
  using Callback = std::function<void(uint32_t epoll_events)>;

  // Something that acts at points in time: a wire with a delay, interrupts that are held back.
  struct Timed {
    std::function<std::optional<Nanos>()> next_due;  // When to act next; nothing: no need.
    std::function<void(Nanos now)> advance;          // Acts on all that is due.
  };

  // Errors: as epoll_create1(2) and timerfd_create(2) have them.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls `callback` whenever one of `epoll_events` holds, until Unwatch(). A descriptor is watched
  // once, belongs to the caller and is unwatched before it is closed.
  //
  // Errors: as epoll_ctl(2) has them.
  absl::Status Watch(int fd, uint32_t epoll_events, Callback callback);
  absl::Status Rewatch(int fd, uint32_t epoll_events);
  void Unwatch(int fd);

  // For good; what they call lives as long as the loop runs.
  void AddTimed(Timed timed) { timed_.push_back(std::move(timed)); }
  // Called after every round of callbacks: to deliver what the round has brought about.
  void AddAfterRound(std::function<void()> callback) {
    after_round_.push_back(std::move(callback));
  }

  // Waits for events and handles them, until Stop() is called by one of them.
  //
  // Errors: as epoll_wait(2) and timerfd_settime(2) have them.
  absl::Status Run();
  void Stop() { stopped_ = true; }

  // One round, which waits for at most `wait_ms`; -1: until something happens.
  absl::Status RunOnce(int wait_ms);

  static Nanos Now();  // CLOCK_MONOTONIC.

 private:
  EventLoop(UniqueFd epoll, UniqueFd timer) : epoll_(std::move(epoll)), timer_(std::move(timer)) {}

  absl::Status ArmTimer();
  void AdvanceTimed();
  void Dispatch(int fd, uint64_t generation, uint32_t epoll_events);

  // Callbacks are held by pointer, so that one which unwatches itself is not destroyed under way.
  struct Watched {
    uint32_t generation = 0;  // Tells a descriptor's number from its next use.
    std::shared_ptr<Callback> callback;
  };

  UniqueFd epoll_;
  UniqueFd timer_;
  std::map<int, Watched> watched_;
  std::vector<Timed> timed_;
  std::vector<std::function<void()>> after_round_;
  std::optional<Nanos> armed_;
  uint32_t next_generation_ = 1;
  bool stopped_ = false;
};

}  // namespace devmem
