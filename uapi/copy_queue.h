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
#include "uapi/socket_queue.h"
#include "uapi/socket_stats.h"

namespace devmem {

// The bounce buffer, and so the most that one recv() takes: large enough that the system call is a
// few percent of it, small enough to stay in a second-level cache of 1 MiB beside the pool's hot
// slabs.
inline constexpr uint32_t kCopyBounceBytes = 256u << 10;

// Virtual queues of a session: each is a pool and a token table, and costs nothing until it is
// bound.
inline constexpr uint32_t kCopyQueues = 64;

class CopyQueue final : public SocketQueue {
 public:
  // The attachment behind `writer`, and `stats`, outlive the queue. Errors: those of PagePool and
  // TokenTable.
  static absl::StatusOr<std::unique_ptr<CopyQueue>> Create(uint32_t index,
                                                           const MemoryProvider& memory,
                                                           RegionWriter writer, SocketStats* stats);

  // Takes at most one bounce buffer.
  Received Receive(int socket, std::span<Frag> frags) override;
  // Takes the next bytes past the region.
  Received Read(int socket, std::span<uint8_t> bytes) override;

  bool Release(Token token) override;
  void FlushReleases() override;
  bool Holds(Token token) const override;
  bool AddSocket(int socket) override;
  void TakeSocket(UniqueFd socket) override;
  bool posting() const override;
  void StopPosting() override;
  void Close(const absl::Status& why) override;
  Account account() const override;
  void PublishIn(StatsRecord* record) override;

 private:
  CopyQueue(uint32_t index, const MemoryProvider& memory, RegionWriter writer, SocketStats* stats,
            std::unique_ptr<PagePool> pool, TokenTable tokens);

  uint32_t RoomFor(size_t frags_max);
  Received CopyIn(uint32_t bytes, std::span<Frag> frags);
  void Publish();

  const uint32_t region_id_;
  SocketStats* const stats_;

  mutable std::mutex mutex_;  // Guards everything below.
  bool closed_ = false;
  absl::Status why_closed_;
  std::optional<RegionWriter> writer_;  // Until it is closed.
  std::unique_ptr<PagePool> pool_;
  TokenTable tokens_;
  std::vector<uint8_t> bounce_;
  std::array<Piece, kPostedRunsMax> pieces_{};
  std::set<int> sockets_;
  StatsRecord* record_ = nullptr;
};

}  // namespace devmem
