// SPDX-License-Identifier: Apache-2.0
// DmaMapping: the only door to a region's bytes for a software NIC and its DMA engine. One belongs
// to each attachment. The NIC's thread calls the access functions; any thread may call Revoke() at
// any time. May be included from provider/ and netmem/nic/ only. DESIGN sections 2 and 5.
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

#include "absl/status/statusor.h"
#include "netmem/wire/checksum.h"
#include "provider/check.h"
#include "provider/mapped_memory.h"

namespace devmem {

// Revocation, and how a NIC lives with it:
//
//   NIC thread                                  Revoke(), any thread
//   before = generation()                       generation 0 -> 1
//   readv into Iov(), or Write()                every running thread passes a full barrier
//   if (!Landed(before)) drop the frame         the pages are swapped for scratch memory
//                                               generation 1 -> 2
//
// Invariants:
//   1. generation() is 0 while the region is under the mapping, 1 while it is being taken away, 2
//      afterwards. It only grows.
//   2. Every address from Iov() stays readable and writable for the life of this object: the region
//      at first, then scratch memory. It is never unreadable, because a read() into memory that
//      faults reports success with nothing written.
//   3. After Revoke() returns, nothing done through this object reaches the region.
//   4. If Landed(before) is true, every access of this thread between reading `before` and asking
//      went to the region.
//
// A range outside the region is a broken invariant of the caller and stops the program.
class DmaMapping {
 public:
  // Takes over a read-write mapping of a whole region. Fails where the kernel has no membarrier(2)
  // to make revocation safe (Linux before 4.14, or a seccomp filter).
  static absl::StatusOr<std::unique_ptr<DmaMapping>> Create(MappedMemory memory);

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

  // Zeroes bytes that the region's owner must not see.
  void Scrub(uint64_t offset, size_t bytes) { std::memset(At(offset, bytes), 0, bytes); }

  // Read before an access and given to Landed() after it. The acquire pairs with the stores of
  // Revoke(), and keeps the access that follows below this load.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  // Whether everything accessed since `before` was read from generation() reached the region. The
  // compiler barrier keeps the accesses above the load; the processor's half of the fence is paid
  // by Revoke(), whose membarrier makes every running thread pass a full barrier.
  bool Landed(uint64_t before) const {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return before == kLiveGeneration && generation_.load(std::memory_order_relaxed) == before;
  }

  // Whether access has been, or is just being, taken away: nothing more should be posted.
  bool revoked() const { return generation() != kLiveGeneration; }

  // Takes the region from under the mapping and puts scratch memory in its place. Returns when
  // nothing reaches the region any more; the time is that of unmapping its pages. Calling it again,
  // or from several threads at once, is harmless, and each call returns only when it is done. If
  // the kernel refuses the swap the program stops: access that cannot be taken away ends with it.
  void Revoke();

 private:
  static constexpr uint64_t kLiveGeneration = 0;

  explicit DmaMapping(MappedMemory memory) : memory_(std::move(memory)) {}

  // The address of a range, which must lie inside the region.
  uint8_t* At(uint64_t offset, size_t bytes) const {
    DEVMEM_CHECK(offset <= memory_.bytes() && bytes <= memory_.bytes() - offset,
                 "a DMA range lies outside its region");
    return memory_.address_ + offset;
  }

  MappedMemory memory_;  // Constant after construction; its pages change under it at Revoke().

  // Written by Revoke() only, under revoke_mutex_; read by the NIC's thread without it.
  std::atomic<uint64_t> generation_{kLiveGeneration};
  std::mutex revoke_mutex_;
};

}  // namespace devmem
