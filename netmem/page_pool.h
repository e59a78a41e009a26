// SPDX-License-Identifier: Apache-2.0
//
// The page pool of one rx queue: hands out the net_iovs of one memory provider, counts the
// references on them and takes them back. Owned and called by the one worker that polls the queue;
// only the counters may be read from other threads. The kernel's counterpart is
// net/core/page_pool.c.
//
// Recycling goes by slab (64 KiB of neighbours, as a rule): a slab whose last net_iov came back
// goes on top of a last-in first-out stack, so the next frame lands in the memory that is hottest
// in the cache, and it is used from its low end to its high end. Inside a slab a packing cursor
// lays payload bytes without gaps, across net_iovs, so that neighbours merge into one frag and a
// 1448-byte segment costs 1448 bytes and not a chunk.
//
//      slab 7 (open)                                   slab 3 (open, next)
//      |used used used us>>>>>>>>>>>>>>>>>>>>>>>>>>>>>||>>>>>>>>>>>>>>>>>>>>|
//                       ^ cursor    posted window: what the NIC may write   ^
//
// Invariants:
//   1. Each net_iov is in exactly one state, and the account's sum is the total:
//      open       in the posted window, or under the packing cursor;
//      used       outside the window, with references;
//      staged     used, and a piece in it is still on its way to the device;
//      returning  no references, in a slab that other net_iovs still keep from the stack;
//      free       no references, in a slab on the stack or never used yet.
//   2. refs[i] = pieces that touch net_iov i, + 1 while it is open.
//   3. live[s] = net_iovs of slab s with references. A slab is on the stack exactly when its count
//      is 0 and it was used before.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/account.h"
#include "netmem/counter.h"
#include "netmem/limits.h"
#include "netmem/memory_provider.h"
#include "netmem/netmem_ref.h"
#include "provider/lazy_array.h"

namespace devmem {

// Which path served what; monotonic, readable from any thread.
struct PagePoolStats {
  Counter alloc_fast;    // Takes served from the posted window.
  Counter alloc_refill;  // Slabs moved from the stack, or fresh, into the window.
  Counter alloc_slow;    // Runs of returning net_iovs gathered because no whole slab was free.
  Counter alloc_failed;  // Requests that found the window short and nothing to fill it with.
  Counter hold;          // net_iovs that became used.
  Counter release;       // net_iovs that stopped being used.
};

class PagePool {
 public:
  // A contiguous part of the posted window, in bytes from the start of the provider's range.
  struct Run {
    uint64_t offset = 0;
    uint32_t bytes = 0;
  };

  // Cuts `provider`'s range and posts nothing yet. `post_bytes` is the room kept posted: the
  // largest payload one frame can bring.
  //
  // Errors: kInvalidArgument    a slab that is no power of two or smaller than a net_iov, or a
  //                             range smaller than one slab.
  //         kOutOfRange         a net_iov size, `post_bytes` or a range outside limits.h.
  //         kResourceExhausted  no address space for the bookkeeping.
  static absl::StatusOr<std::unique_ptr<PagePool>> Create(const MemoryProvider& provider,
                                                          uint32_t post_bytes);

  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  // The posted window in the order it is filled, topped up to post_bytes while memory lasts. Valid
  // until the next call of a non-const function.
  std::span<const Run> Posted() {
    if (posted_bytes() < post_bytes_) TopUp();
    return {&window_[window_first_], window_count_};
  }
  uint32_t posted_bytes() const { return window_[window_first_].bytes + behind_bytes_; }

  // Takes the next `bytes` of the window, which the NIC has written, and writes one piece for each
  // contiguous run to `out`. Returns the number of pieces; 0 when the window, topped up, is shorter
  // than `bytes`, `out` is too short or `bytes` is 0: nothing is taken then. A piece of no bytes
  // would touch no netmem, so there is none.
  uint32_t Take(uint32_t bytes, std::span<Piece> out) {
    if (!out.empty() && TakeOne(bytes, &out[0])) [[likely]]
      return 1;
    return TakeAcrossRuns(bytes, out);
  }
  // The same where the front run alone has more than `bytes`, so that one piece does, as nearly
  // always. False, and nothing is taken: Take() finds out.
  bool TakeOne(uint32_t bytes, Piece* out) {
    if (bytes >= window_[window_first_].bytes || bytes == 0) [[unlikely]]
      return false;
    *out = TakeFromFrontRun(bytes);
    ++stats_.alloc_fast;
    return true;
  }

  // Hands out one whole net_iov, for rings that post chunk by chunk, or a null reference when every
  // net_iov is out. What is left of the net_iov under the cursor is skipped.
  NetmemRef Alloc() {
    Run& run = window_[window_first_];
    const bool whole = (static_cast<uint32_t>(run.offset) & net_iov_mask_) == 0;
    if (!whole || run.bytes <= net_iov_bytes()) [[unlikely]]
      return AllocAcrossRuns();
    const uint32_t index = static_cast<uint32_t>(run.offset >> net_iov_shift_);
    run.offset += net_iov_bytes();
    run.bytes -= net_iov_bytes();
    ++stats_.hold;
    ++stats_.alloc_fast;
    return NetmemRef::Make(provider_.device, index);
  }

  // References. A piece holds one on every netmem that it touches.
  void Ref(const Piece& piece);
  void Put(const Piece& piece) {
    const uint32_t last = LastIndex(piece);
    for (uint32_t index = piece.netmem.index(); index <= last; ++index) PutIndex(index);
  }
  void Put(NetmemRef netmem) { PutIndex(netmem.index()); }

  // Shortens a piece and puts back the netmems that it no longer touches.
  // `bytes` < piece.length_bytes.
  void TrimHead(Piece& piece, uint32_t bytes);
  void TrimTail(Piece& piece, uint32_t bytes);
  // Cuts `piece` in two: keeps the first `bytes` and returns the rest.
  // 0 < bytes < piece.length_bytes.
  Piece Split(Piece& piece, uint32_t bytes);

  // Joins `next` to the end of `piece` when it begins at the byte where `piece` ends. A netmem that
  // both touched keeps one reference. Returns false, and changes nothing, when they do not touch or
  // would be longer than kPieceBytesMax together.
  bool Merge(Piece& piece, const Piece& next) {
    if (RangeOffset(piece) + piece.length_bytes != RangeOffset(next)) return false;
    if (uint64_t{piece.length_bytes} + next.length_bytes > kPieceBytesMax) return false;
    if (LastIndex(piece) == next.netmem.index()) PutIndex(next.netmem.index());
    piece.length_bytes += next.length_bytes;
    return true;
  }

  // Closes the posted window: its net_iovs stop being open. For unbinding; Posted() opens it again.
  void CloseWindow();

  // Bytes from the start of the provider's range / of the region.
  uint64_t RangeOffset(const Piece& piece) const {
    return (uint64_t{piece.netmem.index()} << net_iov_shift_) + piece.offset_bytes;
  }
  uint64_t RegionOffset(const Piece& piece) const {
    return provider_.region_offset + RangeOffset(piece);
  }

  // Bytes that no piece holds: free, returning and open. O(1).
  uint64_t available_bytes() const {
    return (uint64_t{net_iov_count_} - (stats_.hold.value() - stats_.release.value()))
           << net_iov_shift_;
  }
  // Of these, the bytes that payload can still be written to: all but what pieces hold in the
  // net_iov under the cursor; nothing once posting has stopped.
  uint64_t writable_bytes() const {
    if (!posting_) [[unlikely]]
      return 0;
    return available_bytes() - (window_[window_first_].offset & net_iov_mask_);
  }
  uint64_t capacity_bytes() const { return uint64_t{net_iov_count_} << net_iov_shift_; }
  uint32_t net_iov_count() const { return net_iov_count_; }
  uint32_t net_iov_bytes() const { return net_iov_mask_ + 1; }
  const MemoryProvider& provider() const { return provider_; }
  const PagePoolStats& stats() const { return stats_; }

  // Between taking a piece and the moment when its bytes have arrived on the device, which a copy
  // engine brings there: its net_iovs are in the state `staged`. Each Stage() has its Unstage(); a
  // piece may be put back only when it is not staged.
  void Stage(const Piece& piece);
  void Unstage(const Piece& piece);

  // Posts nothing any more: closes the window and leaves it so. What is out stays valid and can
  // come back. For memory that is being removed.
  void StopPosting() {
    posting_ = false;
    CloseWindow();
  }
  bool posting() const { return posting_; }

  // The account by the counters (cheap, owning thread), and the same by looking at every net_iov
  // (tests and tear-down); the two agree at every quiescent point, or Audit() says where not.
  Account account() const;
  absl::Status Audit() const;

 private:
  PagePool(const MemoryProvider& provider, uint32_t post_bytes);

  uint32_t LastIndex(const Piece& piece) const {
    return piece.netmem.index() + ((piece.offset_bytes + piece.length_bytes - 1) >> net_iov_shift_);
  }
  void PutIndex(uint32_t index) {
    if (--refs_[index] == 0) {
      ++stats_.release;
      const uint32_t slab = index >> slab_shift_;
      if (--live_[slab] == 0) PushSlab(slab);
    }
  }
  void PushSlab(uint32_t slab) {
    next_[slab] = stack_top_;
    stack_top_ = slab + 1;
    ++stack_count_;
  }
  // `bytes` must not exceed the front run.
  Piece TakeFromFrontRun(uint32_t bytes) {
    Run& run = window_[window_first_];
    const uint32_t first = static_cast<uint32_t>(run.offset >> net_iov_shift_);
    const Piece piece{NetmemRef::Make(provider_.device, first),
                      static_cast<uint32_t>(run.offset) & net_iov_mask_, bytes};
    run.offset += bytes;
    run.bytes -= bytes;
    // Each net_iov that the cursor leaves behind hands its open reference to this piece; the one
    // that it stops inside stays open and gets a reference more.
    const uint32_t next = static_cast<uint32_t>(run.offset >> net_iov_shift_);
    stats_.hold.Add(next - first);
    if ((static_cast<uint32_t>(run.offset) & net_iov_mask_) != 0) ++refs_[next];
    return piece;
  }
  uint32_t TakeAcrossRuns(uint32_t bytes, std::span<Piece> out);
  NetmemRef AllocAcrossRuns();
  Piece TakeAndPop(uint32_t bytes);
  void TopUp();
  bool PostSlab();
  bool PostReturning();
  bool PostFrom(uint32_t first_index, uint32_t count);
  void AppendRun(uint64_t offset, uint32_t bytes);
  uint64_t open_count() const;
  uint64_t staged_count() const;
  absl::Status AuditWindow() const;
  absl::Status AuditSlabs() const;

  const MemoryProvider provider_;
  const uint32_t post_bytes_;
  const uint32_t net_iov_shift_;
  const uint32_t net_iov_mask_;
  const uint32_t slab_shift_;  // log2 of net_iovs per slab.
  const uint32_t slab_count_;
  const uint32_t net_iov_count_;

  // The posted window: window_count_ runs from window_first_ on; the front one holds the cursor. An
  // empty window still has a front run of 0 bytes, so that Take() needs no extra test. A run of the
  // window never has 0 bytes and ends where a net_iov ends.
  std::array<Run, kPostedRunsMax> window_{};
  uint32_t window_first_ = 0;
  uint32_t window_count_ = 0;
  uint32_t behind_bytes_ = 0;  // Of the runs behind the front one.

  // Per net_iov. Every piece is an entry of a piece array or a held token, each at most kPiecesMax,
  // so 32 bits cannot overflow; 16 could, with pieces of one byte in a net_iov of 64 KiB.
  LazyArray<uint32_t> refs_;
  LazyArray<uint16_t> live_;  // Per slab.
  LazyArray<uint32_t> next_;  // Per slab: the slab below it on the stack, plus 1; 0 ends the stack.
  LazyArray<uint32_t> staged_refs_;  // Per net_iov: pieces whose bytes are still being copied.
  uint64_t staged_net_iovs_ = 0;     // That have such a piece.
  bool posting_ = true;
  uint32_t stack_top_ = 0;  // Slab + 1; 0 is an empty stack.
  uint32_t stack_count_ = 0;
  uint32_t fresh_ = 0;           // Slabs from here on were never used.
  uint32_t returning_scan_ = 0;  // Where the slow path looks next.

  PagePoolStats stats_;
};

}  // namespace devmem
