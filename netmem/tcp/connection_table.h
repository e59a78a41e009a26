// SPDX-License-Identifier: Apache-2.0
// TCP's own lookup: from the hash of a segment's 4-tuple to the index of its connection. A flat
// open-addressing table, one per worker and used on its thread alone. (Which rx queue a flow goes
// to is not decided here but by the NIC's flow rules.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "netmem/tcp/limits.h"
#include "netmem/wire/flow_key.h"
#include "provider/lazy_array.h"

namespace devmem {

// Linear probing over entries of 8 bytes, so that one cache line holds eight of them and a lookup
// looks at one line as a rule. An entry has 32 bits of the hash and no key: the key is in the
// connection, whose first line the caller needs anyway and compares. At most half of the slots are
// in use. Deletion closes the gap by moving later entries back: no tombstones, so the table does
// not age.
//
// Invariant: between the home slot of an entry (its hash modulo the slots) and the entry itself no
// slot is empty.
class ConnectionTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // A table for up to `connections_max` entries. `seed` is random and secret: without it a peer
  // could choose ports that all meet in one slot. Memory is touched as it is used: 16 to 32 bytes
  // of address space per connection.
  //
  // Errors: kInvalidArgument    `connections_max` is 0 or more than kConnectionsMax.
  //         kResourceExhausted  the address space is used up.
  static absl::StatusOr<ConnectionTable> Create(uint32_t connections_max, uint64_t seed);

  // The hash to pass to the functions below, so that it is taken once per segment.
  uint64_t Hash(const FlowKey& flow) const { return HashFlow(flow, seed_); }

  // Fetches the line where a lookup of `hash` begins; call it for a whole batch before its lookups.
  void Prefetch(uint64_t hash) const { __builtin_prefetch(&entries_[Home(hash)]); }

  // An index stored under `hash` that `same(index)` accepts, by a look at the key in the
  // connection; kNone when there is none. Two keys may share all 32 bits, so more than one may be
  // offered.
  template <typename Same>
  uint32_t Find(uint64_t hash, Same same) const {
    const uint32_t tag = static_cast<uint32_t>(hash);
    for (size_t slot = Home(hash);; slot = (slot + 1) & mask_) {
      const Entry entry = entries_[slot];
      if (entry.index_plus_one == 0) return kNone;
      if (entry.tag == tag && same(entry.index_plus_one - 1)) return entry.index_plus_one - 1;
    }
  }
  // The first index stored under `hash`, which is the right one but for one lookup in 2^32: enough
  // to fetch the connection's lines ahead.
  uint32_t Guess(uint64_t hash) const {
    return Find(hash, [](uint32_t) { return true; });
  }

  // Stores `index` (below UINT32_MAX), which is not in the table, under `hash`. False, and nothing
  // changed, when the table holds connections_max() entries.
  bool Insert(uint64_t hash, uint32_t index);

  // Removes the entry of `index`. Returns false when there is none.
  bool Erase(uint64_t hash, uint32_t index);

  uint32_t size() const { return size_; }
  uint32_t connections_max() const { return connections_max_; }

 private:
  // Zero memory is an empty slot.
  struct Entry {
    uint32_t index_plus_one;
    uint32_t tag;  // The low half of the hash; it also tells the home slot.
  };
  static_assert(sizeof(Entry) == 8);

  ConnectionTable(LazyArray<Entry> entries, uint32_t connections_max, uint64_t seed)
      : entries_(std::move(entries)),
        mask_(entries_.size() - 1),
        seed_(seed),
        connections_max_(connections_max) {}

  size_t Home(uint64_t hash) const { return static_cast<uint32_t>(hash) & mask_; }

  LazyArray<Entry> entries_;
  size_t mask_;
  uint64_t seed_;
  uint32_t size_ = 0;
  uint32_t connections_max_;
};

}  // namespace devmem
