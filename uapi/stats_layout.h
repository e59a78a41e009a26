// SPDX-License-Identifier: Apache-2.0
//
// The statistics page of a session, as it lies in its file: a header that stands still once its
// magic is there, and records of figures. Written by the session through a shared mapping
// (stats_page.h), read by anybody with read(2) (stats_reader.h), on the same machine: everything is
// in its byte order.
//
// A record has one writer at a time: the thread of a queue's worker, or whoever holds the lock of
// what the record tells of. Readers take no lock: a record's sequence is odd while it is written,
// and has moved on afterwards.

#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "uapi/limits.h"

namespace devmem {

inline constexpr uint64_t kStatsMagic =
    0x7461'7473'6d65'6d64;  // "dmemstat" in little-endian order.
inline constexpr uint64_t kStatsVersion = 1;

enum class StatsKind : uint64_t {
  kUnused = 0,
  kSession,  // What is counted for a session as a whole.
  kHost,     // The host region of a session over kernel sockets.
  kQueue,    // One rx queue, bound or not.
};

// What a record tells, in 64-bit words throughout. Those that are held are of this moment; the rest
// is monotonic, and 0 where another record of the session counts it.
struct StatsFigures {
  StatsKind kind = StatsKind::kUnused;
  uint64_t queue = 0;           // Of a queue: its index.
  uint64_t kernel_binding = 0;  // The kernel's id of the dma-buf's binding; 0 for none.
  uint64_t region_bytes = 0;    // Bound to the queue; 0: it is not bound.
  uint64_t net_iov_bytes = 0;
  uint64_t net_iovs = 0;
  uint64_t net_iovs_used = 0;  // Under queued pieces or frags, or on the way there.
  uint64_t tokens_held = 0;    // Frags that the user has.
  uint64_t held_bytes = 0;     // Their bytes.
  uint64_t tokens_issued = 0;
  uint64_t tokens_returned = 0;
  uint64_t tokens_refused = 0;  // Returns that named nothing.
  uint64_t connections = 0;     // At this moment.
  uint64_t connections_total = 0;
  uint64_t payload_bytes = 0;  // Received by connections.
  uint64_t bounced_bytes = 0;  // Of these: by way of host memory.
  uint64_t drop_pool_empty = 0;
  uint64_t drop_other = 0;  // Frames that are damaged, or whose memory was revoked.
  uint64_t starved = 0;     // Times that no room was found.
  std::array<uint64_t, 4> reserved = {};
};

// In memory that others map: no plain access.
struct StatsRecord {
  using Words = std::array<uint64_t, sizeof(StatsFigures) / sizeof(uint64_t)>;

  std::atomic<uint64_t> sequence;
  std::array<std::atomic<uint64_t>, std::tuple_size_v<Words>> words;

  void Write(const StatsFigures& figures) {
    const auto values = std::bit_cast<Words>(figures);
    const uint64_t before = Begin();
    for (size_t i = 0; i < values.size(); ++i) Store(i, values[i]);
    End(before);
  }

  // Only what a call of Recv() or Release() changes, for their paths: two words.
  void WriteHeld(uint64_t tokens, uint64_t bytes) {
    const uint64_t before = Begin();
    Store(offsetof(StatsFigures, tokens_held) / sizeof(uint64_t), tokens);
    Store(offsetof(StatsFigures, held_bytes) / sizeof(uint64_t), bytes);
    End(before);
  }

 private:
  uint64_t Begin() {
    const uint64_t before = sequence.load(std::memory_order_relaxed);
    sequence.store(before + 1, std::memory_order_relaxed);
    return before;
  }
  // Release: whoever sees the word sees an odd sequence, or a later one. It costs nothing on x86.
  void Store(size_t word, uint64_t value) { words[word].store(value, std::memory_order_release); }
  // Release: whoever sees the even sequence sees all words.
  void End(uint64_t before) { sequence.store(before + 2, std::memory_order_release); }
};

struct StatsHeader {
  std::atomic<uint64_t> magic;  // Stored last.
  uint64_t version;
  uint64_t record_count;
  uint64_t pid;            // As the owner's PID namespace numbers it.
  uint64_t start_ticks;    // When it began, since boot: a number comes again, this does not.
  uint64_t pid_namespace;  // The namespaces' inodes.
  uint64_t net_namespace;
  std::array<char, 16> command;  // Texts are filled up with zeros, and need not end with one.
  std::array<char, 16> backend;
  std::array<char, 16> device;
  std::array<uint64_t, 19> reserved;
};

struct StatsPageLayout {
  StatsHeader header;
  std::array<StatsRecord, kStatsRecordsMax> records;
};

static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<uint64_t>) == sizeof(uint64_t));
static_assert(sizeof(StatsRecord) == 192 && sizeof(StatsHeader) == 256);
static_assert(sizeof(StatsPageLayout) == kStatsPageBytes);

}  // namespace devmem
