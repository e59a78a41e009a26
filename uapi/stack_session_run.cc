// SPDX-License-Identifier: Apache-2.0
//
// Running the workers of a session of the stack backend, waiting for them, and what comes back to
// them.

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "uapi/stack_session.h"

namespace devmem {
namespace {

// An inline session looks at the other queues after this many turns of the one it waits for: often
// enough for a ping, seldom enough not to be seen in a transfer.
constexpr uint32_t kTurnsBetweenLooks = 16;

}  // namespace

size_t StackSession::ReleaseAny(std::span<const Frag> frags, uint32_t worker) {
  size_t refused = 0;
  while (!frags.empty()) {
    uint32_t owner = worker;
    if (!stack_->worker(worker).Owns(frags.front().token)) {
      for (uint32_t other = 0; other < stack_->worker_count(); ++other) {
        if (stack_->worker(other).Owns(frags.front().token)) owner = other;
      }
    }
    // The run of frags that go to the same table; those of nobody go to `worker`, which counts
    // them.
    const uint16_t lane = TokenTable::LaneOf(frags.front().token);
    size_t run = 1;
    while (run < frags.size() && TokenTable::LaneOf(frags[run].token) == lane) ++run;
    OnWorker(owner, [&] {
      refused += stack_->worker(owner).Release(frags.first(run), Now());
      PublishHeld(stack_->worker(owner));
    });
    frags = frags.subspan(run);
  }
  return refused;
}

uint32_t StackSession::RunAll(Nanos now) {
  uint32_t frames = 0;
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) frames += stack_->worker(i).Run(now);
  return frames;
}

Nanos StackSession::NextDeadline(Nanos now) const {
  Nanos next = kNever;
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) {
    next = std::min(next, stack_->worker(i).NextDeadline());
  }
  // A fence wakes nobody, nor does a region that drains: look again in a millisecond.
  const bool draining = draining_.load(std::memory_order_relaxed);
  return fences_.empty() && !draining ? next : std::min(next, now + kMillisecond);
}

bool StackSession::Turn(uint32_t worker, Nanos deadline) {
  const Nanos now = Now();
  // What ended may be what the caller waits for.
  if (LookAfterRegions(now)) return true;
  uint32_t frames = stack_->worker(worker).Run(now);
  if (frames == 0 || ++turn_ % kTurnsBetweenLooks == 0) {
    for (uint32_t other = 0; other < stack_->worker_count(); ++other) {
      if (other != worker) frames += stack_->worker(other).Run(now);
    }
    const size_t signaled =
        fences_.Poll([&](std::span<const Frag> frags) { (void)ReleaseAny(frags, worker); });
    PublishBetweenTurns(frames != 0);
    if (signaled != 0) return true;
  }
  if (frames != 0) return true;
  if (deadline <= now) return false;
  Wait(deadline);
  return true;
}

uint32_t StackSession::Drive() {
  if (threaded()) {
    news_.Lower();
    LookAfterRegions(Now());
    return 0;
  }
  const Nanos now = Now();
  LookAfterRegions(now);
  (void)fences_.Poll([&](std::span<const Frag> frags) { (void)ReleaseAny(frags, 0); });
  const uint32_t frames = RunAll(now);
  PublishBetweenTurns(frames != 0);
  ForgetGoneQueues();
  poll_set_.SetDeadline(frames != 0 ? now : NextDeadline(now));
  return frames;
}

void StackSession::Wait(Nanos deadline) {
  if (threaded()) {
    const std::array<int, 1> news = {news_.fd()};
    clock_->Wait(news, deadline);
    news_.Lower();
    return;
  }
  ForgetGoneQueues();
  std::span<const int> fds = fds_;
  // The descriptor of a queue whose frames wait for memory is readable all the time.
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) {
    if (stack_->worker(i).waits_for_memory()) fds = fds.last(1);
  }
  clock_->Wait(fds, std::min(deadline, NextDeadline(Now())));
}

absl::Status StackSession::DeviceStatus() const {
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) {
    if (!stack_->worker(i).gone()) continue;
    return absl::UnavailableError(absl::StrCat(
        "the network device ", info_.device,
        " was deleted while the session used it, so nothing can arrive or leave any more; take "
        "what has arrived, and open a new session"));
  }
  return absl::OkStatus();
}

// A descriptor of a deleted device is in error for ever: to wait for it would be no wait at all.
void StackSession::ForgetGoneQueues() {
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) {
    if (fds_[i] < 0 || !stack_->worker(i).gone()) continue;
    poll_set_.Remove(fds_[i]);
    fds_[i] = -1;
  }
}

}  // namespace devmem
