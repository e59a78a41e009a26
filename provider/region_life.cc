// SPDX-License-Identifier: Apache-2.0
// See region_life.h.
#include "provider/region_life.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/patience.h"
#include "provider/posix_error.h"

namespace devmem {

absl::Status RegionLife::status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return StatusLocked();
}

absl::Status RegionLife::StatusLocked() const {
  switch (phase_.load(std::memory_order_relaxed)) {
    case RegionPhase::kLive: return absl::OkStatus();
    case RegionPhase::kRemoving:
      return absl::FailedPreconditionError(
          absl::StrCat(description_, " is being removed by its exporter: ", reason_));
    case RegionPhase::kRevoked: break;
  }
  return absl::AbortedError(absl::StrCat(description_, " was revoked by its exporter: ", reason_,
                                         "; its bytes are out of reach and its tokens are dead"));
}

absl::StatusOr<int> RegionLife::event_fd() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!event_.valid()) {
    const bool changed = phase_.load(std::memory_order_relaxed) != RegionPhase::kLive;
    event_.Reset(::eventfd(changed ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event_.valid()) {
      const int err = errno;
      return ErrnoToStatus(err, absl::StrCat("eventfd for the events of ", description_));
    }
  }
  return event_.get();
}

absl::Status RegionLife::Join(RegionUser* user) {
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::Status usable = StatusLocked();
  if (usable.ok()) users_.push_back(user);
  return usable;
}

void RegionLife::Leave(RegionUser* user) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find(users_.begin(), users_.end(), user);
  DEVMEM_CHECK(found != users_.end(), "a region is left by a user who is not there");
  users_.erase(found);
  if (CountLocked() == 0) left_.notify_all();
}

size_t RegionLife::user_count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return CountLocked();
}

size_t RegionLife::CountLocked() const {
  return static_cast<size_t>(
      std::count_if(users_.begin(), users_.end(),
                    [](const RegionUser* user) { return user->holds_up_removal(); }));
}

void RegionLife::BeginRemoval(const std::string& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!live()) return;
  reason_ = reason;
  phase_.store(RegionPhase::kRemoving, std::memory_order_release);
  AnnounceLocked();
}

void RegionLife::Revoke(const std::string& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (phase() == RegionPhase::kRevoked) return;
  for (RegionUser* const user : users_) user->TakeAway();
  reason_ = reason;
  phase_.store(RegionPhase::kRevoked, std::memory_order_release);
  AnnounceLocked();
}

bool RegionLife::WaitForUsers(std::chrono::nanoseconds patience) {
  std::unique_lock<std::mutex> lock(mutex_);
  return left_.wait_for(lock, BoundedPatience(patience), [this] { return CountLocked() == 0; });
}

void RegionLife::HoldWithMemory(std::shared_ptr<const void> held) {
  const std::lock_guard<std::mutex> lock(mutex_);
  held_.push_back(std::move(held));
}

void RegionLife::ForEachUser(const std::function<void(RegionUser&)>& visit) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (RegionUser* const user : users_) visit(*user);
}

bool RegionLife::TryPin() {
  if (!live()) return false;
  uint64_t word = pins_and_movers_.load(std::memory_order_relaxed);
  do {
    if (word >= kOneMover || PinsOf(word) == UINT32_MAX) return false;
  } while (!pins_and_movers_.compare_exchange_weak(word, word + 1, std::memory_order_acquire,
                                                   std::memory_order_relaxed));
  return true;
}

void RegionLife::Unpin() {
  const uint64_t before = pins_and_movers_.fetch_sub(1, std::memory_order_release);
  DEVMEM_CHECK(PinsOf(before) != 0, "a region is unpinned that nobody pins");
  if (PinsOf(before) != 1 || before < kOneMover) return;
  // Under the lock, so that a mover is either before its look at the count or asleep.
  const std::lock_guard<std::mutex> lock(mutex_);
  unpinned_.notify_all();
}

bool RegionLife::BeginMove(std::chrono::nanoseconds patience) {
  const uint64_t before = pins_and_movers_.fetch_add(kOneMover, std::memory_order_acquire);
  if (PinsOf(before) == 0) return true;
  const auto unpinned = [this] {
    return PinsOf(pins_and_movers_.load(std::memory_order_acquire)) == 0;
  };
  if (patience > std::chrono::nanoseconds::zero()) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (unpinned_.wait_for(lock, BoundedPatience(patience), unpinned)) return true;
  }
  EndMove();
  return false;
}

void RegionLife::EndMove() {
  const uint64_t before = pins_and_movers_.fetch_sub(kOneMover, std::memory_order_release);
  DEVMEM_CHECK(before >= kOneMover, "a move ends that did not begin");
}

void RegionLife::AnnounceLocked() {
  // An eventfd's counter can only be full when it is readable already.
  const uint64_t one = 1;
  if (event_.valid()) (void)!::write(event_.get(), &one, sizeof(one));
  for (RegionUser* const user : users_) user->Notify();
}

}  // namespace devmem
