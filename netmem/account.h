// SPDX-License-Identifier: Apache-2.0
//
// The account of one page pool: how many net_iovs are in each state. Every net_iov is in exactly
// one, so the states add up to the total whenever the owning worker is between two calls. What a
// leak, a double return or a lost reference does shows here first, so every fixture's tear-down
// checks it.

#pragma once

#include <cstdint>
#include <string>

namespace devmem {

struct Account {
  uint64_t total = 0;
  uint64_t free = 0;         // In a slab that can be posted.
  uint64_t returning = 0;    // Unreferenced, waiting for the rest of its slab.
  uint64_t open = 0;         // Posted, or under the packing cursor.
  uint64_t used = 0;         // Referenced by queued pieces or by frags that the user holds.
  uint64_t staged = 0;       // Taken; their bytes are on the way there through host memory.
  uint64_t quarantined = 0;  // Taken out of use after a revoke.

  uint64_t sum() const { return free + returning + open + used + staged + quarantined; }
  bool balanced() const { return sum() == total; }
  // Balanced, and nobody holds anything.
  bool idle() const { return balanced() && used == 0 && staged == 0 && quarantined == 0; }

  friend bool operator==(const Account&, const Account&) = default;

  // The account of two pools together.
  Account& operator+=(const Account& other) {
    total += other.total;
    free += other.free;
    returning += other.returning;
    open += other.open;
    used += other.used;
    staged += other.staged;
    quarantined += other.quarantined;
    return *this;
  }

  std::string ToString() const;
};

}  // namespace devmem
