// SPDX-License-Identifier: Apache-2.0
//
// What a session over kernel sockets counts. Written by whichever thread uses a connection, read by
// any thread; the names under which users see them are in socket_session.cc.

#pragma once

#include <atomic>
#include <cstdint>

namespace devmem {

// A counter of which only the value matters, not what else happened before it: relaxed throughout.
class SharedCounter {
 public:
  void Add(uint64_t amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Monotonic.
struct SocketStats {
  SharedCounter payload_bytes;    // Received by all connections.
  SharedCounter bounced_bytes;    // Of these: on bound connections, but by way of host memory.
  SharedCounter region_bytes;     // Of these: in a bound region.
  SharedCounter host_bytes;       // Of these: in host memory, for whatever reason.
  SharedCounter bytes_read_back;  // Copied out of a bound region for Read().
  SharedCounter receive_calls;    // Calls, or completions, that brought bytes.
  SharedCounter receive_starved;  // Times that a receiver found no room.
  SharedCounter frags;
  SharedCounter tokens_issued;
  SharedCounter tokens_returned;
  SharedCounter tokens_refused;  // Unknown, foreign, stale and repeated returns.
  SharedCounter connections_accepted;
  SharedCounter connections_opened;
  SharedCounter connections_gone;  // Of both.
};

}  // namespace devmem
