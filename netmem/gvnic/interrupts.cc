// SPDX-License-Identifier: Apache-2.0
//
// Arming and firing of notification blocks. Runs on the thread of the device.

#include "netmem/gvnic/interrupts.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netmem/gvnic/limits.h"

namespace devmem {
namespace {

// Bits of an interrupt doorbell. The rest sets a rate, which this device does not limit.
constexpr uint32_t kEnable = 1;
constexpr uint32_t kClearPending = 2;

// An eventfd whose count would overflow has not been read for 2^64 interrupts: nothing is lost by
// not counting one more.
void Signal(int eventfd) {
  const uint64_t one = 1;
  while (::write(eventfd, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

}  // namespace

void Interrupts::SetVector(uint32_t vector, UniqueFd eventfd) {
  Vector& entry = vectors_[vector];
  entry.eventfd = std::move(eventfd);
  if (entry.waiting && entry.eventfd.valid()) {
    entry.waiting = false;
    Send(vector);
  }
}

void Interrupts::Raise(uint32_t block) {
  if (block >= block_count()) return CountBadDoorbell();
  if (!blocks_[block].enabled) {
    blocks_[block].pending = true;
    ++stats_.coalesced;
    return;
  }
  Fire(block);
}

void Interrupts::Doorbell(uint32_t block, uint32_t value) {
  Block& entry = blocks_[block];
  if ((value & kClearPending) != 0) entry.pending = false;
  if ((value & kEnable) == 0) return;
  entry.enabled = true;
  if (!std::exchange(entry.pending, false)) return;
  Fire(block);
}

void Interrupts::Fire(uint32_t block) {
  blocks_[block].enabled = false;
  if (faults_.drop != 0) {
    --faults_.drop;
    ++stats_.dropped;
    return;
  }
  if (faults_.delay != 0 && delayed_.size() < kDelayedInterruptsMax) {
    --faults_.delay;
    ++stats_.delayed;
    delayed_.push_back({clock_() + faults_.delay_ns, block});
    return;
  }
  Send(block);
}

void Interrupts::Send(uint32_t vector) {
  Vector& entry = vectors_[vector];
  if (!entry.eventfd.valid()) {
    entry.waiting = true;
    return;
  }
  ++stats_.sent;
  Signal(entry.eventfd.get());
}

void Interrupts::Reset() {
  std::fill(blocks_.begin(), blocks_.end(), Block());
  for (Vector& vector : vectors_) vector.waiting = false;
  delayed_.clear();
}

void Interrupts::Advance(Nanos now) {
  while (!delayed_.empty() && delayed_.front().due <= now) {
    const uint32_t vector = delayed_.front().vector;
    delayed_.pop_front();
    Send(vector);
  }
}

std::optional<Nanos> Interrupts::NextDue() const {
  if (delayed_.empty()) return std::nullopt;
  return delayed_.front().due;
}

}  // namespace devmem
