// SPDX-License-Identifier: Apache-2.0
// DmaMapping: the only door to a region's bytes for a software NIC and its DMA engine. One belongs
// to each attachment. The NIC's thread calls the access functions; any thread may call Revoke(),
// Withdraw() and PutBack() at any time. May be included from provider/ and netmem/nic/ only. See
// Documentation/memory.md.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/wire/checksum.h"
#include "provider/check.h"
#include "provider/mapped_memory.h"
#include "provider/region_life.h"

namespace devmem {

// Brings evicted bytes of a region back into device memory: the exporter's side of on-demand
// paging.
class PagingSource {
 public:
  virtual ~PagingSource() = default;

  // Makes a range resident for every importer. On the thread of the access that needs it, which
  // waits. False: not now (no device memory is free, the region goes); the access must not be made.
  virtual bool FaultIn(uint64_t offset, uint64_t bytes) = 0;
};

// Revocation and moves, and how a NIC lives with them:
//
//   NIC thread                                  Revoke() or Withdraw(), any thread
//   do {                                        generation: even -> odd
//     before = generation()
//     if (moving() || !Resident(range)) wait
//   } while (before != generation())
//   readv into Iov(), or Write()                every running thread passes a full barrier
//   if (!Landed(before)) drop the frame         the pages are swapped for scratch memory
//                                               Withdraw(): PutBack() maps the new place and makes
//                                               the generation even; Revoke(): it stays odd
//
// Invariants:
//   1. generation() is even while the region is under the mapping, odd while a part of it is being
//      moved, and odd for ever once revoked. It only grows.
//   2. Every address from Iov() stays readable and writable for the life of this object: the region
//      at first, then scratch memory. It is never unreadable, because a read() into memory that
//      faults reports success with nothing written.
//   3. After Revoke() returns, nothing done through this object reaches the region. After
//   Withdraw()
//      returns, nothing reaches the old place of the range.
//   4. If Landed(before) is true, and Resident() was true in between, every access of this thread
//      between reading `before` and asking went to the region. (Resident() itself may change the
//      generation, by bringing bytes back.)
//
// A range outside the region is a broken invariant of the caller and stops the program.
class DmaMapping {
 public:
  // Takes over a read-write mapping of a whole region. Fails where the kernel has no membarrier(2)
  // to make revocation safe (Linux before 4.14, or a seccomp filter).
  // `paging` is for memory that may be evicted.
  static absl::StatusOr<std::unique_ptr<DmaMapping>> Create(
      MappedMemory memory, std::shared_ptr<PagingSource> paging = nullptr);

  DmaMapping(const DmaMapping&) = delete;
  DmaMapping& operator=(const DmaMapping&) = delete;

  uint64_t size_bytes() const { return memory_.bytes(); }

  // The vector entry with which a system call reads into, or writes from, these bytes. Not for
  // calls that pin pages (O_DIRECT, registered buffers): a pinned page stays in reach after
  // Revoke().
  struct iovec Iov(uint64_t offset, size_t bytes) {
    return {At(offset, bytes), bytes};
  }

  // Stores `bytes` at `offset`, as a device's write would.
  void Write(uint64_t offset, std::span<const uint8_t> bytes) {
    uint8_t* const to = At(offset, bytes.size());
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  }

  // The partial Internet sum of these bytes, not yet folded, as netmem/wire/checksum.h defines it.
  uint32_t Checksum(uint64_t offset, size_t bytes) const {
    return PartialSum(std::span<const uint8_t>(At(offset, bytes), bytes));
  }

  // Copies bytes of the region to host memory: what missed its header slot, or was not ours.
  void CopyOut(uint64_t offset, std::span<uint8_t> to) const {
    const uint8_t* const from = At(offset, to.size());
    if (!to.empty()) std::memcpy(to.data(), from, to.size());
  }

  // Zeroes bytes that the region's owner must not see, wherever they lie: it waits for a move, and
  // brings back what was evicted since. What cannot be brought back keeps them.
  void Scrub(uint64_t offset, size_t bytes) {
    uint64_t before;
    do {
      before = generation();
      if (!Resident(offset, bytes)) return;
      std::memset(At(offset, bytes), 0, bytes);
    } while (!Landed(before) && !revoked());
  }

  // Read before an access and given to Landed() after it. The acquire pairs with the stores of
  // Revoke() and Withdraw(), and keeps the access that follows below this load.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  // Whether everything accessed since `before` was read from generation() reached the region. The
  // compiler barrier keeps the accesses above the load; the processor's half of the fence is paid
  // by Revoke() and Withdraw(), whose membarrier makes every running thread pass a full barrier.
  bool Landed(uint64_t before) const {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return (before & 1) == 0 && generation_.load(std::memory_order_relaxed) == before;
  }

  // Whether access has been, or is just being, taken away: nothing more should be posted.
  bool revoked() const { return generation() >= kRevoking; }

  // Whether a part of the region is on its way to another place: an access would be lost. It lasts
  // as long as the copy; a NIC leaves frames where they wait.
  bool moving() const { return (generation() & 1) != 0 && !revoked(); }

  // Whether a range is in device memory; evicted bytes are brought back first, which changes the
  // generation. To be asked between generation() and the access. False: the exporter cannot bring
  // them now; a NIC leaves frames where they wait.
  bool Resident(uint64_t offset, uint64_t bytes) {
    if (away_blocks_.load(std::memory_order_acquire) == 0) [[likely]]
      return true;
    return BringBack(offset, bytes);
  }
  // Whether Resident() has anything to look for.
  bool any_away() const { return away_blocks_.load(std::memory_order_acquire) != 0; }

  // Whether a range is in device memory; nothing is brought back for the question. True for what
  // was revoked: generation() says that.
  bool IsHome(uint64_t offset, uint64_t bytes) const;

  // Takes the region from under the mapping and puts scratch memory in its place. Returns when
  // nothing reaches the region any more; the time is that of unmapping its pages. Calling it again,
  // or from several threads at once, is harmless, and each call returns only when it is done. If
  // the kernel refuses the swap the program stops: access that cannot be taken away ends with it.
  void Revoke();

  // The halves of a move, RegionUser's. Where the kernel refuses to swap a part (vm.max_map_count),
  // all is taken away, and PutBack() says so. One range is on its way at a time: the exporter sees
  // to that.
  void Withdraw(uint64_t offset, uint64_t bytes);
  absl::Status PutBack(const RegionPlace& place);

 private:
  // Odd, and above every generation that counting reaches.
  static constexpr uint64_t kRevoking = UINT64_MAX - 2;
  static constexpr uint64_t kRevoked = UINT64_MAX;

  DmaMapping(MappedMemory memory, std::shared_ptr<PagingSource> paging);

  // The address of a range, which must lie inside the region.
  uint8_t* At(uint64_t offset, size_t bytes) const {
    DEVMEM_CHECK(offset <= memory_.bytes() && bytes <= memory_.bytes() - offset,
                 "a DMA range lies outside its region");
    return memory_.address_ + offset;
  }

  void Fence(uint64_t generation);
  void RevokeLocked();
  void Mark(const RegionPlace& place);
  [[gnu::cold]] bool BringBack(uint64_t offset, uint64_t bytes);

  MappedMemory memory_;  // Constant after construction; its pages change under it.
  const std::shared_ptr<PagingSource> paging_;

  // Written under change_mutex_; read by the NIC's thread without it.
  std::atomic<uint64_t> generation_{0};
  // How many blocks of kPagingBlockBytes are evicted, and which. Release after a block was marked,
  // so that who sees the count sees the mark. Both change only while the generation is odd.
  std::atomic<uint32_t> away_blocks_{0};
  std::vector<std::atomic<uint8_t>> away_;  // Empty without paging.
  std::mutex change_mutex_;
  bool withdraw_failed_ = false;  // Since the last PutBack(). Under change_mutex_.
};

}  // namespace devmem
