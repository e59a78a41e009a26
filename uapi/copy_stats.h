// SPDX-License-Identifier: Apache-2.0
//
// What a copy session counts. Written by whichever thread uses a connection, read by any thread;
// the names under which users see them are in copy_session.cc.

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
struct CopyStats {
  SharedCounter payload_bytes;    // Received by all connections.
  SharedCounter region_bytes;     // Of these: copied into a bound region.
  SharedCounter host_bytes;       // Of these: read by connections without a binding.
  SharedCounter bytes_read;       // Of these: taken by Read() on a connection with a binding.
  SharedCounter receive_calls;    // recv() calls that brought bytes.
  SharedCounter receive_starved;  // Times that Recv() found no free net_iov.
  SharedCounter frags;
  SharedCounter tokens_issued;
  SharedCounter tokens_returned;
  SharedCounter tokens_refused;  // Unknown, foreign, stale and repeated returns.
  SharedCounter connections_accepted;
  SharedCounter connections_opened;
};

}  // namespace devmem
