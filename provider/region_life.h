// SPDX-License-Identifier: Apache-2.0
// RegionLife: whether a region is still there, who uses it, and how they learn that it goes. One is
// shared by a Region and everything that was made from it (attachments, views, user mappings), so
// that each may go first. Any thread. Documentation/memory.md.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/unique_fd.h"

namespace devmem {

enum class RegionPhase {
  kLive,
  kRemoving,  // No further use begins; what is in use drains.
  kRevoked,   // Nobody has access any more.
};

// Where a part of a region lies now: a file of this process, or nowhere that can be mapped.
struct RegionPlace {
  uint64_t offset = 0;  // In the region; a multiple of its page size.
  uint64_t bytes = 0;
  int fd = -1;
  uint64_t fd_offset = 0;
  bool resident = false;  // False: evicted. It may be looked at there, but no NIC may write it.
};

// Somebody who can reach a region's bytes. Called under the life's lock, on the thread that revokes
// or moves; implementations take no lock that is held while they call into the life.
class RegionUser {
 public:
  virtual ~RegionUser() = default;

  // Access ends, for good: when this returns, nothing that the user does reaches the region.
  // Bounded in time, whatever the user is doing.
  virtual void TakeAway() = 0;

  // The range is about to change its place: when this returns, no write of the user reaches the old
  // one. Until PutBack() the bytes at the old place do not change, and may be read.
  virtual void Withdraw(uint64_t offset, uint64_t bytes) = 0;

  // The range lies here now. OK, or why the place cannot be mapped; then the user was taken away.
  virtual absl::Status PutBack(const RegionPlace& place) = 0;

  // Whether the user writes the region. Those that only look are put back first: else a byte could
  // be handed out that was written to the new place while its reader still looks at the old one.
  virtual bool writes() const { return true; }

  // Whether a removal waits for this user to leave by itself. A look at the bytes does not count.
  virtual bool holds_up_removal() const { return true; }

  // The region is being removed, or was revoked: a note to somebody who waits, as a rule one
  // write to an eventfd. Does not block.
  virtual void Notify() {}
};

// Invariants:
//   1. The phase only goes forward.
//   2. Once Revoke() has returned, no user has access, and no further one is added.
//   3. The event descriptor is readable from the first change of the phase on, for good.
//   4. Between BeginMove() that returned true and EndMove() there is no pin.
class RegionLife {
 public:
  // `description` names the region in messages: Region::Describe().
  explicit RegionLife(std::string description) : description_(std::move(description)) {}

  RegionPhase phase() const { return phase_.load(std::memory_order_acquire); }
  bool live() const { return phase() == RegionPhase::kLive; }

  // OK while live. kFailedPrecondition while it is being removed, kAborted once it was revoked; the
  // message names the region and the exporter's reason.
  absl::Status status() const;

  // A descriptor that poll(2) finds readable once the region is being removed or was revoked; made
  // at the first call, borrowed. kResourceExhausted when the process has no descriptor left.
  absl::StatusOr<int> event_fd();

  // Takes a user in, who must Leave() before it goes. Refused with status() unless live.
  absl::Status Join(RegionUser* user);
  void Leave(RegionUser* user);
  // Those that hold up a removal.
  size_t user_count() const;

  // No further user is taken in; those that are there are told. Nothing when not live.
  void BeginRemoval(const std::string& reason);

  // Takes access from every user, then marks and tells. Returns when nobody has access any more.
  // Revoking again is harmless; the first reason stays.
  void Revoke(const std::string& reason);

  // Waits until no user holds up a removal; false when `patience` ran out first.
  bool WaitForUsers(std::chrono::nanoseconds patience);

  // Held by whoever changes where the bytes lie, from the first Withdraw() to the last PutBack(),
  // and by whoever maps them and joins: a user either is told of a move or finds it made. Taken
  // before every other lock of the region.
  [[nodiscard]] std::unique_lock<std::mutex> LockPlaces() {
    return std::unique_lock<std::mutex>(places_mutex_);
  }

  // Keeps something until the last of the region, its attachments and its views has gone: what must
  // not be given back before the memory, such as its charge to a quota.
  void HoldWithMemory(std::shared_ptr<const void> held);

  // The same for a NIC's thread, which waits for nobody: owns nothing while somebody else has them.
  [[nodiscard]] std::unique_lock<std::mutex> TryLockPlaces() {
    return std::unique_lock<std::mutex>(places_mutex_, std::try_to_lock);
  }

  // Calls `visit` for each user under the life's lock, so that none comes or goes meanwhile.
  void ForEachUser(const std::function<void(RegionUser&)>& visit);

  // --- Short-term pins: somebody relies on where the bytes lie, for the time of one operation ---

  // Takes a pin, to be given back with Unpin(): until then nothing of the region changes its place.
  // False where the region is not live, and while a move waits or is on its way. A pin does not
  // hold up a revoke: who holds one may lose access, but never finds other bytes. No lock.
  bool TryPin();
  void Unpin();
  uint32_t pin_count() const { return PinsOf(pins_and_movers_.load(std::memory_order_relaxed)); }

  // Before the exporter withdraws a range, on its own thread and under no lock that a pin's holder
  // could want: from now on no further pin is taken, and those that are there have `patience` to
  // go. True: nothing is pinned until EndMove(). False: somebody still pins; nothing has changed
  // and pins may be taken again. Moves may overlap.
  bool BeginMove(std::chrono::nanoseconds patience);
  void EndMove();

 private:
  // One word for both counts, so that a pin and a move cannot miss each other.
  static constexpr uint64_t kOneMover = uint64_t{1} << 32;
  static constexpr uint32_t PinsOf(uint64_t word) { return static_cast<uint32_t>(word); }

  absl::Status StatusLocked() const;
  size_t CountLocked() const;
  void AnnounceLocked();

  const std::string description_;
  // Written under mutex_, after the users lost access where it becomes kRevoked; read without.
  std::atomic<RegionPhase> phase_{RegionPhase::kLive};

  // Pins in the low half, movers in the high half. The release of Unpin() pairs with the acquire of
  // BeginMove(), that of EndMove() with the acquire of TryPin(): who relied on the old place is
  // through with it before the move, and who pins afterwards sees the new one.
  std::atomic<uint64_t> pins_and_movers_{0};

  std::mutex places_mutex_;
  mutable std::mutex mutex_;  // Guards the rest.
  std::condition_variable left_;
  std::condition_variable unpinned_;
  std::string reason_;
  UniqueFd event_;
  std::vector<RegionUser*> users_;
  // Last, so that it goes first: what is held may still be told of a revoke while it goes.
  std::vector<std::shared_ptr<const void>> held_;
};

}  // namespace devmem
