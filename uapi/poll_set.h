// SPDX-License-Identifier: Apache-2.0
//
// The one descriptor of a session. Inline: an epoll set of the queues' descriptors and a timer,
// readable when Drive() has something to do. Threaded: an eventfd that worker threads raise.

#pragma once

#include <atomic>
#include <span>

#include "absl/status/status.h"
#include "netmem/tcp/time.h"
#include "provider/unique_fd.h"

namespace devmem {

class PollSet {
 public:
  // `fds` that are -1 are left out; if all are, there is no set and fd() is -1.
  absl::Status Create(std::span<const int> fds);
  int fd() const { return epoll_.get(); }
  // Stops to watch a descriptor that was given to Create().
  void Remove(int fd);
  // When the set becomes readable without any descriptor: an absolute CLOCK_MONOTONIC time in ns.
  void SetDeadline(Nanos deadline);

 private:
  UniqueFd epoll_;
  UniqueFd timer_;
  Nanos armed_ = kNever;
};

// Raised by any thread, lowered by the one that looks.
class NewsFlag {
 public:
  absl::Status Create();
  int fd() const { return event_.get(); }
  void Raise();
  void Lower();
  bool raised() const { return raised_.load(std::memory_order_relaxed); }

 private:
  UniqueFd event_;
  std::atomic<bool> raised_{false};
};

}  // namespace devmem
