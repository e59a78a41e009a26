// SPDX-License-Identifier: Apache-2.0
// The wheel's lists are doubly linked through the timer array by index. Where a timer is follows
// from its tick and the current one (invariant 1), so no timer stores its slot.
#include "netmem/tcp/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

// The first tick that does not begin before `deadline`. Never earlier is what rounding up gives.
uint64_t TickAtOrAfter(Nanos deadline) {
  return deadline <= 0 ? 0 : static_cast<uint64_t>((deadline - 1) / kClockTick) + 1;
}

// The last tick that has begun at `now`.
uint64_t TickAt(Nanos now) { return now <= 0 ? 0 : static_cast<uint64_t>(now / kClockTick); }

}  // namespace

absl::StatusOr<TimerWheel> TimerWheel::Create(uint32_t capacity) {
  if (capacity == 0 || capacity > kTimersMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("timer wheel for ", capacity, " timers: choose from 1 to ", kTimersMax));
  }
  LazyArray<Timer> timers(capacity);
  if (!timers.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no address space for a timer wheel of ", capacity, " timers, ",
                     sizeof(Timer) * capacity, " bytes: lower the number of connections"));
  }
  return TimerWheel(std::move(timers));
}

TimerWheel::Place TimerWheel::PlaceOf(uint64_t tick) const {
  if (tick <= current_tick_) return {.due = true, .level = 0, .slot = 0};
  const uint32_t highest_bit = 63 - static_cast<uint32_t>(std::countl_zero(tick ^ current_tick_));
  const uint32_t level = highest_bit / kSlotBits;
  const uint64_t slot = (tick >> (level * kSlotBits)) % kSlots;
  return {.due = false, .level = level, .slot = static_cast<uint32_t>(slot)};
}

uint32_t& TimerWheel::HeadOf(const Place& place) {
  return place.due ? due_head_plus_one_ : heads_[place.level][place.slot];
}

void TimerWheel::Link(uint32_t id, uint64_t tick) {
  const Place place = PlaceOf(tick);
  uint32_t& head = HeadOf(place);
  timers_[id] = {.tick_plus_one = tick + 1, .next_plus_one = head, .prev_plus_one = 0};
  if (head != 0) timers_[head - 1].prev_plus_one = id + 1;
  head = id + 1;
  if (place.due) return;
  occupied_[place.level] |= uint64_t{1} << place.slot;
  levels_ |= 1u << place.level;
}

void TimerWheel::Unlink(uint32_t id) {
  Timer& timer = timers_[id];
  if (timer.next_plus_one != 0) {
    timers_[timer.next_plus_one - 1].prev_plus_one = timer.prev_plus_one;
  }
  if (timer.prev_plus_one != 0) {
    timers_[timer.prev_plus_one - 1].next_plus_one = timer.next_plus_one;
  } else {
    const Place place = PlaceOf(timer.tick_plus_one - 1);
    HeadOf(place) = timer.next_plus_one;
    if (timer.next_plus_one == 0 && !place.due) {
      occupied_[place.level] &= ~(uint64_t{1} << place.slot);
      if (occupied_[place.level] == 0) levels_ &= ~(1u << place.level);
    }
  }
  timer.tick_plus_one = 0;
}

void TimerWheel::Arm(uint32_t id, Nanos deadline) {
  if (deadline == kNever) return Cancel(id);
  const uint64_t tick = TickAtOrAfter(deadline);
  if (timers_[id].tick_plus_one == tick + 1) return;
  Cancel(id);
  Link(id, tick);
  ++armed_count_;
}

void TimerWheel::Cancel(uint32_t id) {
  if (!armed(id)) return;
  Unlink(id);
  --armed_count_;
}

uint64_t TimerWheel::FirstSlotStart(uint32_t level) const {
  const uint64_t slot = static_cast<uint64_t>(std::countr_zero(occupied_[level]));
  const uint32_t bits_above = (level + 1) * kSlotBits;
  const uint64_t above = bits_above >= 64 ? 0 : current_tick_ >> bits_above << bits_above;
  return above | slot << (level * kSlotBits);
}

Nanos TimerWheel::NextDeadline() const {
  uint64_t tick = current_tick_;
  if (due_head_plus_one_ == 0) {
    if (levels_ == 0) return kNever;
    // The lowest level that holds timers also holds the earliest: level l ends where the next slot
    // of level l + 1 begins.
    tick = FirstSlotStart(static_cast<uint32_t>(std::countr_zero(levels_)));
  }
  return static_cast<Nanos>(std::min(tick * uint64_t{kClockTick}, uint64_t{kNever - 1}));
}

bool TimerWheel::AdvanceTo(uint64_t now_tick) {
  if (levels_ != 0) {
    const uint32_t level = static_cast<uint32_t>(std::countr_zero(levels_));
    const uint64_t start = FirstSlotStart(level);
    if (start <= now_tick) {
      TakeSlot(level);
      return true;
    }
  }
  // No slot that holds timers begins by now, so every timer keeps its place (invariant 1).
  current_tick_ = std::max(current_tick_, now_tick);
  return false;
}

void TimerWheel::TakeSlot(uint32_t level) {
  const uint32_t slot = static_cast<uint32_t>(std::countr_zero(occupied_[level]));
  current_tick_ = FirstSlotStart(level);
  uint32_t id_plus_one = std::exchange(heads_[level][slot], 0);
  occupied_[level] &= occupied_[level] - 1;
  if (occupied_[level] == 0) levels_ &= ~(1u << level);
  while (id_plus_one != 0) {
    const uint32_t id = id_plus_one - 1;
    id_plus_one = timers_[id].next_plus_one;
    Link(id, timers_[id].tick_plus_one - 1);
  }
}

size_t TimerWheel::Expire(Nanos now, std::span<uint32_t> out) {
  const uint64_t now_tick = TickAt(now);
  size_t count = 0;
  while (count < out.size()) {
    if (due_head_plus_one_ == 0) {
      if (!AdvanceTo(now_tick)) break;
      continue;
    }
    const uint32_t id = due_head_plus_one_ - 1;
    Cancel(id);
    out[count++] = id;
  }
  return count;
}

}  // namespace devmem
