// SPDX-License-Identifier: Apache-2.0
// Insertion and deletion of the connection table; both happen once per connection.
#include "netmem/tcp/connection_table.h"

#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace devmem {

absl::StatusOr<ConnectionTable> ConnectionTable::Create(uint32_t connections_max, uint64_t seed) {
  if (connections_max == 0 || connections_max > kConnectionsMax) {
    return absl::InvalidArgumentError(absl::StrCat("connection table for ", connections_max,
                                                   " connections: choose from 1 to ",
                                                   kConnectionsMax));
  }
  LazyArray<Entry> entries(std::bit_ceil(size_t{connections_max} * 2));
  if (!entries.ok()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no address space for a connection table of ", connections_max, " connections, ",
        entries.size() * sizeof(Entry), " bytes: lower the number of connections"));
  }
  return ConnectionTable(std::move(entries), connections_max, seed);
}

bool ConnectionTable::Insert(uint64_t hash, uint32_t index) {
  if (size_ == connections_max_) return false;
  size_t slot = Home(hash);
  while (entries_[slot].index_plus_one != 0) slot = (slot + 1) & mask_;
  entries_[slot] = Entry{index + 1, static_cast<uint32_t>(hash)};
  ++size_;
  return true;
}

bool ConnectionTable::Erase(uint64_t hash, uint32_t index) {
  size_t hole = Home(hash);
  while (entries_[hole].index_plus_one != index + 1) {
    if (entries_[hole].index_plus_one == 0) return false;
    hole = (hole + 1) & mask_;
  }
  // An entry behind the hole may move into it if that does not put it before its home slot.
  for (size_t slot = (hole + 1) & mask_; entries_[slot].index_plus_one != 0;
       slot = (slot + 1) & mask_) {
    const size_t distance_from_home = (slot - Home(entries_[slot].tag)) & mask_;
    if (distance_from_home < ((slot - hole) & mask_)) continue;
    entries_[hole] = entries_[slot];
    hole = slot;
  }
  entries_[hole] = Entry{};
  --size_;
  return true;
}

}  // namespace devmem
