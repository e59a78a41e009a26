// SPDX-License-Identifier: Apache-2.0
//
// The names of what a kernel binding's user holds. The kernel names each received piece by an id
// that is good on one socket only, and gives the lowest free id out again at once: returning one
// twice can free somebody else's bytes. So the user gets a serial of ours, never repeated, which
// stands for all the kernel ids of one frag; only a serial that is held leads to ids, once. Called
// by KernelBinding under its lock.
//
//     serial (64 bit) -> Held {socket, first id run} -> id run {start, count} -> id run ... -> end
//
// Also the account: how many net_iovs are touched by frags that are held.

#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "netmem/account.h"
#include "netmem/token_table.h"
#include "provider/lazy_array.h"

namespace devmem {

class KernelTokens {
 public:
  // A frag in the making: neighbours in the binding, under any ids of one socket.
  class Run {
   public:
    uint64_t offset() const { return offset_; }
    uint32_t bytes() const { return bytes_; }
    bool TouchedBy(uint64_t offset) const { return offset == offset_ + bytes_; }

   private:
    friend class KernelTokens;
    uint64_t offset_ = 0;
    uint32_t bytes_ = 0;
    uint32_t first_ = 0;  // An index in runs_, plus one.
    uint32_t last_ = 0;
  };

  // What a serial named, until GiveBack() has walked it.
  struct Returned {
    uint32_t socket = 0;  // As given to Name().
    uint32_t first = 0;
    uint32_t bytes = 0;
  };

  // For a binding of `bytes` bytes, a multiple of kKernelNetIovBytes. Errors: TokenTable's.
  static absl::StatusOr<KernelTokens> Create(uint64_t bytes);

  // How many more kernel ids can be taken.
  uint32_t room() const { return capacity_ - ids_runs_; }
  uint16_t lane() const { return tokens_.lane(); }
  uint32_t held() const { return tokens_.held(); }
  uint64_t held_bytes() const { return tokens_.held_bytes(); }
  bool Holds(Token token) const { return tokens_.Find(token) != nullptr; }
  // In net_iovs.
  uint32_t used() const { return used_; }
  const TokenStats& stats() const { return tokens_.stats(); }
  Account account() const;

  // Begins a frag with one piece, and adds a piece behind it. There is room().
  Run Start(uint64_t offset, uint32_t bytes, uint32_t kernel_id);
  void Extend(Run* run, uint32_t bytes, uint32_t kernel_id);
  // The user's name of a frag that arrived on a socket.
  Token Name(const Run& run, uint32_t socket);

  // Ends a serial; nothing when it names nothing. The ids go back through GiveBack().
  std::optional<Returned> Remove(Token token);
  std::optional<Returned> RemoveAny();
  // Calls `give(start, count)` for every run of kernel ids behind `returned`, and forgets them.
  template <typename Give>
  void GiveBack(const Returned& returned, Give&& give) {
    for (uint32_t at = returned.first; at != 0;) {
      const IdRun run = runs_[at - 1];
      FreeRun(at);
      give(run.start, run.count);
      at = run.next;
    }
  }

 private:
  struct IdRun {
    uint32_t start;
    uint32_t count;
    uint32_t next;  // Of the frag, or of the free list; an index plus one.
  };
  struct Held {
    uint32_t socket;
    uint32_t first;
  };

  KernelTokens(TokenTable tokens, uint64_t bytes, uint32_t capacity);
  uint32_t TakeRun(uint32_t kernel_id);
  void FreeRun(uint32_t run);
  void CountUse(const Piece& piece, int change);
  std::optional<Returned> Found(Token token, const std::optional<Piece>& piece);

  TokenTable tokens_;
  uint32_t net_iovs_;
  uint32_t capacity_;
  LazyArray<Held> entries_;    // By the slot of tokens_.
  LazyArray<IdRun> runs_;      // In use, free, or never used yet from fresh_ on.
  LazyArray<uint32_t> users_;  // Frags that touch each net_iov.
  uint32_t fresh_ = 0;
  uint32_t free_ = 0;  // The first free one of runs_, plus one.
  uint32_t ids_runs_ = 0;
  uint32_t used_ = 0;
};

}  // namespace devmem
