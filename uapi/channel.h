// SPDX-License-Identifier: Apache-2.0
//
// Between the thread that runs a connection's worker and the thread that uses the connection: frags
// one way, frags to release the other way, each in a ring with one producer and one consumer, and a
// counter of news to wait on. The lock is taken only by somebody who sleeps and by whoever wakes
// them.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "netmem/frag.h"
#include "netmem/spsc_ring.h"
#include "netmem/stack/clock.h"
#include "netmem/tcp/tcp_state.h"
#include "netmem/wire/seq_num.h"
#include "uapi/stack_connection.h"

namespace devmem {

inline constexpr uint32_t kChannelFrags = 1024;
inline constexpr uint32_t kChannelReturns = 4096;

class Channel {
 public:
  explicit Channel(const ConnectionHandle& handle) : handle_(handle) {}

  const ConnectionHandle& handle() const { return handle_; }

  SpscRing<Frag> received{kChannelFrags};    // The worker fills it.
  SpscRing<Frag> returned{kChannelReturns};  // The application fills it.

  // Set by the application: frags are wanted. While it is clear the worker leaves the stream alone,
  // so that Read() can take bytes from it. Relaxed is enough: the rings order what they carry.
  std::atomic<bool> pull{false};
  // Set by the worker: it had more than fitted; whoever makes room wakes it.
  std::atomic<bool> stalled{false};
  // Set by the worker with release, after the last frag was pushed: the stream ended.
  std::atomic<bool> ended{false};

  // Set by the worker: bytes wait, and all tokens of the queue are held.
  std::atomic<bool> lacks_tokens{false};

  // What the worker last saw, to tell news; its thread only. These only go forward, so that news
  // between two looks of the worker cannot cancel out.
  TcpState seen_state = TcpState::kClosed;
  SeqNum seen_snd_una;
  SeqNum seen_rcv_nxt;

  uint64_t news() const { return news_.load(std::memory_order_seq_cst); }
  // Worker. Sequentially consistent with Wait(): either the sleeper sees the new count, or this
  // sees that somebody sleeps.
  void Announce() {
    news_.fetch_add(1, std::memory_order_seq_cst);
    if (!waiting_.load(std::memory_order_seq_cst)) return;
    std::lock_guard<std::mutex> lock(mutex_);
    changed_.notify_all();
  }
  // Application. Returns when news() differs from `seen`, at the deadline, or after an hour.
  void Wait(uint64_t seen, Nanos deadline, Clock& clock) {
    std::unique_lock<std::mutex> lock(mutex_);
    waiting_.store(true, std::memory_order_seq_cst);
    const auto differs = [&] { return news() != seen; };
    if (deadline == kNever) {
      changed_.wait(lock, differs);
    } else {
      const Nanos left = std::min(deadline - clock.Now(), 3600 * kSecond);
      changed_.wait_for(lock, std::chrono::nanoseconds(left), differs);
    }
    waiting_.store(false, std::memory_order_seq_cst);
  }

 private:
  const ConnectionHandle handle_;
  std::atomic<uint64_t> news_{0};
  std::atomic<bool> waiting_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace devmem
