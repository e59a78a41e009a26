// SPDX-License-Identifier: Apache-2.0
//
// One virtual rx queue of the copy backend: the slice of a bound range that its connections share,
// as a last-in first-out page pool, with the tokens of what they received. Receive() is the whole
// data path: recv() into one bounce buffer, then a copy into net_iovs. There is no NIC to be
// starved: when the pool is empty nobody calls recv(), and the socket's own buffer closes the
// window.
//
// Any thread may call anything; one lock for each queue, held while bytes are copied, stands where
// the stack backend has one worker.
//
// Invariants:
//   1. Each token held names pieces of pool_, and nothing else holds references on it.
//   2. After Close() no token is held, no socket is listed and the region is not reached any more.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/account.h"
#include "netmem/frag.h"
#include "netmem/page_pool.h"
#include "netmem/token_table.h"
#include "provider/attachment.h"
#include "provider/region_writer.h"
#include "uapi/copy_stats.h"

namespace devmem {

// The bounce buffer, and so the most that one recv() takes: large enough that the system call is a
// few percent of it, small enough to stay in a second-level cache of 1 MiB beside the pool's hot
// slabs.
inline constexpr uint32_t kCopyBounceBytes = 256u << 10;

class CopyQueue {
 public:
  enum class Outcome {
    kFrags,
    kEnd,       // The peer has sent its last byte.
    kEmpty,     // Nothing has arrived.
    kNoRoom,    // Every net_iov is held.
    kNoTokens,  // Every token is held.
    kBroken,    // recv() failed with `error`.
    kRevoked,   // The region was taken away; bytes were lost, so the connection must end.
    kClosed,    // The queue was unbound; `why` says by whom.
    kAway,      // The region's memory is away and cannot come back now.
  };
  struct Received {
    Outcome outcome = Outcome::kEmpty;
    size_t frags = 0;
    uint64_t bytes = 0;
    int error = 0;          // An errno, for kBroken.
    absl::Status why = {};  // For kClosed.
  };

  // The attachment behind `writer`, and `stats`, outlive the queue. Errors: those of PagePool and
  // TokenTable.
  static absl::StatusOr<std::unique_ptr<CopyQueue>> Create(uint32_t index,
                                                           const MemoryProvider& memory,
                                                           RegionWriter writer, CopyStats* stats);
  CopyQueue(const CopyQueue&) = delete;
  CopyQueue& operator=(const CopyQueue&) = delete;

  uint32_t index() const { return index_; }
  uint16_t lane() const { return lane_; }

  // Takes what has arrived on `socket`, at most one bounce buffer, without waiting. `frags` is not
  // empty.
  Received Receive(int socket, std::span<Frag> frags);

  // Ends a token of this queue's lane. False when it names nothing.
  bool Release(Token token);

  // Sockets that are reset when the queue closes. False, and nothing listed, when it has closed.
  bool AddSocket(int socket);
  void RemoveSocket(int socket);

  bool posting() const;
  // The region is being removed: no more bytes go there, what is out drains.
  void StopPosting();
  // Whether the token names a frag that is held.
  bool Holds(Token token) const;
  // Resets the sockets, ends every token and lets the region go. `why` is for its connections.
  void Close(const absl::Status& why);

  Account account() const;

 private:
  CopyQueue(uint32_t index, const MemoryProvider& memory, RegionWriter writer, CopyStats* stats,
            std::unique_ptr<PagePool> pool, TokenTable tokens);

  uint32_t RoomFor(size_t frags_max);
  Received CopyIn(uint32_t bytes, std::span<Frag> frags);

  const uint32_t index_;
  const uint32_t region_id_;
  const uint16_t lane_;
  CopyStats* const stats_;

  mutable std::mutex mutex_;  // Guards everything below.
  bool closed_ = false;
  absl::Status why_closed_;
  std::optional<RegionWriter> writer_;  // Until it is closed.
  std::unique_ptr<PagePool> pool_;
  TokenTable tokens_;
  std::vector<uint8_t> bounce_;
  std::array<Piece, kPostedRunsMax> pieces_{};
  std::set<int> sockets_;
};

}  // namespace devmem
