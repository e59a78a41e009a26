// SPDX-License-Identifier: Apache-2.0
// The timers of one worker: a hierarchical timing wheel (Varghese and Lauck, 1987) over dense ids,
// each with at most one deadline. The worker arms and cancels while it handles packets, and asks
// Expire() between batches. All on the worker's thread; arming and cancelling are O(1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "netmem/tcp/limits.h"
#include "netmem/tcp/time.h"
#include "provider/lazy_array.h"

namespace devmem {

// Time is cut into ticks of kClockTick (1 ms). A deadline is rounded up to a tick, so it never
// fires early, and fires less than one tick late if Expire() is called in time.
//
// Level 0 has a slot per tick of the current 64, level 1 a slot per 64 ticks of the current 64 *
// 64, and so on. A timer sits at the level of the highest group of 6 bits in which its tick differs
// from the current one; when time enters its slot it moves down, at most once per level.
//
//     tick   ...|level 2: 6 bits|level 1: 6 bits|level 0: 6 bits|
//     current       equal            equal           0x05
//     a timer       equal            equal           0x2a         -> level 0, slot 0x2a
//     a timer       equal            0x11            0x03         -> level 1, slot 0x11
//
// Invariants:
//   1. A timer in slot s of level l has s greater than the current tick's group l, and the same
//   groups
//      above. So the level and slot of a timer follow from its tick and the current one.
//   2. A timer whose tick is not after the current one is in the due list.
//   3. occupied_[l] has the bits of the slots that hold timers; levels_ those of levels that do.
class TimerWheel {
 public:
  // A wheel for ids 0 to capacity - 1, none armed. An id costs 16 bytes once it was armed, nothing
  // before.
  //
  // Errors: kInvalidArgument    `capacity` is 0 or more than kTimersMax.
  //         kResourceExhausted  the address space is used up.
  static absl::StatusOr<TimerWheel> Create(uint32_t capacity);

  // Sets the deadline of `id`, whether it had one or not. A deadline that has passed fires at the
  // next Expire(). kNever cancels.
  void Arm(uint32_t id, Nanos deadline);
  // Takes back the deadline, if there is one.
  void Cancel(uint32_t id);
  bool armed(uint32_t id) const { return timers_[id].tick_plus_one != 0; }

  // When Expire() should be called next: not after the earliest deadline rounded up to a tick, and
  // exactly that within the current 64 ms; else a lower bound. Calling Expire() then always makes
  // progress. kNever when no timer is armed.
  Nanos NextDeadline() const;

  // Writes ids whose deadline has come to `out`, earlier ticks first, and disarms them. Returns how
  // many; repeat until it returns 0. The caller may arm and cancel in between. `now` never goes
  // back.
  size_t Expire(Nanos now, std::span<uint32_t> out);

  uint32_t capacity() const { return static_cast<uint32_t>(timers_.size()); }
  uint32_t armed_count() const { return armed_count_; }

 private:
  static constexpr uint32_t kSlotBits = 6;
  static constexpr uint32_t kSlots = 1u << kSlotBits;
  static constexpr uint32_t kLevels = 11;  // 66 bits: any tick of 64 bits has its place.

  // Zero is a timer that is not armed. Links are an id plus one; 0 ends the list, and as `prev`
  // says that the timer is its list's head.
  struct Timer {
    uint64_t tick_plus_one;
    uint32_t next_plus_one;
    uint32_t prev_plus_one;
  };

  explicit TimerWheel(LazyArray<Timer> timers) : timers_(std::move(timers)) {}

  struct Place {
    bool due;
    uint32_t level;
    uint32_t slot;
  };
  Place PlaceOf(uint64_t tick) const;
  uint32_t& HeadOf(const Place& place);
  void Link(uint32_t id, uint64_t tick);
  void Unlink(uint32_t id);
  uint64_t FirstSlotStart(uint32_t level) const;
  // Enters the next occupied slot, if it begins by `now_tick`; its timers become due or move down.
  bool AdvanceTo(uint64_t now_tick);
  void TakeSlot(uint32_t level);

  LazyArray<Timer> timers_;
  uint64_t current_tick_ = 0;
  uint32_t armed_count_ = 0;
  uint32_t due_head_plus_one_ = 0;
  uint32_t levels_ = 0;
  std::array<uint64_t, kLevels> occupied_{};
  std::array<std::array<uint32_t, kSlots>, kLevels> heads_{};
};

}  // namespace devmem
