// SPDX-License-Identifier: Apache-2.0
// TCP's own lookup: from the 4-tuple of a segment to the index of its connection. A flat open-
// addressing table, one per worker and used on its thread alone; a lookup costs one cache miss as a
// rule. (Which rx queue a flow goes to is not decided here but by the NIC's flow rules.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "netmem/lazy_array.h"
#include "netmem/tcp/limits.h"
#include "netmem/wire/flow_key.h"

namespace devmem {

// Linear probing over entries of one cache line with the whole key inside. At most half of the
// slots are in use, so a lookup looks at 1.5 lines on average, and those are neighbours. Deletion
// closes the gap by moving later entries back: no tombstones, so the table does not age.
//
// Invariant: between the home slot of an entry (its hash modulo the slots) and the entry itself no
// slot is empty.
class ConnectionTable {
 public:
  enum class InsertResult : uint8_t { kInserted, kPresent, kFull };

  // A table for up to `connections_max` entries. `seed` is random and secret: without it a peer
  // could choose ports that all meet in one slot. Memory is touched as it is used: 128 to 256 bytes
  // of address space per connection.
  //
  // Errors: kInvalidArgument    `connections_max` is 0 or more than kConnectionsMax.
  //         kResourceExhausted  the address space is used up.
  static absl::StatusOr<ConnectionTable> Create(uint32_t connections_max, uint64_t seed);

  // The hash to pass to the functions below, so that it is taken once per segment.
  uint64_t Hash(const FlowKey& flow) const { return HashFlow(flow, seed_); }

  // Fetches the line where a lookup of `hash` begins; call it for a whole batch before its lookups.
  void Prefetch(uint64_t hash) const { __builtin_prefetch(&entries_[Home(hash)]); }

  // The index that was stored under `flow`.
  std::optional<uint32_t> Find(const FlowKey& flow, uint64_t hash) const {
    const uint32_t tag = static_cast<uint32_t>(hash);
    for (size_t slot = Home(hash);; slot = (slot + 1) & mask_) {
      const Entry& entry = entries_[slot];
      if (entry.index_plus_one == 0) return std::nullopt;
      if (entry.tag == tag && entry.flow == flow) return entry.index_plus_one - 1;
    }
  }
  std::optional<uint32_t> Find(const FlowKey& flow) const { return Find(flow, Hash(flow)); }

  // Stores `index` (below UINT32_MAX) under `flow`. Nothing changes when the key is present already
  // or the table holds connections_max() entries.
  InsertResult Insert(const FlowKey& flow, uint32_t index);

  // Removes the entry. Returns false when there is none.
  bool Erase(const FlowKey& flow);

  uint32_t size() const { return size_; }
  uint32_t connections_max() const { return connections_max_; }

 private:
  // Zero memory is an empty slot.
  struct alignas(64) Entry {
    FlowKey flow;
    uint32_t index_plus_one;
    uint32_t tag;  // The low half of the hash; it also tells the home slot.
  };
  static_assert(sizeof(Entry) == 64);

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
