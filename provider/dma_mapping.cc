// SPDX-License-Identifier: Apache-2.0
// See dma_mapping.h. The cold half: registration, revocation and moves. membarrier(2), mmap(2).
#include "provider/dma_mapping.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "provider/limits.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// The C library has no wrapper for membarrier(2).
long MemoryBarrierCall(int command) { return ::syscall(SYS_membarrier, command, 0, 0); }

}  // namespace

absl::StatusOr<std::unique_ptr<DmaMapping>> DmaMapping::Create(
    MappedMemory memory, std::shared_ptr<PagingSource> paging) {
  // Once for the process; repeating it is free. Done here so that Revoke() cannot be refused.
  if (MemoryBarrierCall(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0) {
    const int err = errno;
    return ErrnoToStatus(err,
                         "membarrier(2), which makes revocation safe, is refused; devmem needs "
                         "Linux 4.14 or later and a seccomp filter that lets it through");
  }
  return std::unique_ptr<DmaMapping>(new DmaMapping(std::move(memory), std::move(paging)));
}

DmaMapping::DmaMapping(MappedMemory memory, std::shared_ptr<PagingSource> paging)
    : memory_(std::move(memory)),
      paging_(std::move(paging)),
      away_(paging_ == nullptr ? 0
                               : (memory_.bytes() + kPagingBlockBytes - 1) / kPagingBlockBytes) {}

// First the mark, then the barrier, then (the caller) the swap. A NIC thread whose access met the
// swapped pages made it after the barrier that it passed, and so loads the mark afterwards: the
// relaxed load in Landed() is the partner of this store. An access before the barrier met the
// region's pages.
void DmaMapping::Fence(uint64_t generation) {
  generation_.store(generation, std::memory_order_seq_cst);
  const long barrier = MemoryBarrierCall(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  DEVMEM_CHECK(barrier == 0, "membarrier failed although the process is registered for it");
}

void DmaMapping::Revoke() {
  const std::lock_guard<std::mutex> lock(change_mutex_);
  RevokeLocked();
}

void DmaMapping::RevokeLocked() {
  if (generation_.load(std::memory_order_relaxed) >= kRevoking) return;
  Fence(kRevoking);
  // A concurrent fault waits for the swap. The scratch costs memory only where a NIC still writes,
  // at most the size of the region.
  const bool swapped = memory_.CoverWithScratch(0, memory_.bytes());
  DEVMEM_CHECK(swapped, "the kernel refused to take a region from its NIC");
  // Nothing is to be brought back to a region that is gone.
  away_blocks_.store(0, std::memory_order_relaxed);
  // Release: whoever sees this generation sees a region that is out of reach.
  generation_.store(kRevoked, std::memory_order_release);
}

void DmaMapping::Withdraw(uint64_t offset, uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(change_mutex_);
  const uint64_t now = generation_.load(std::memory_order_relaxed);
  if (now >= kRevoking) return;
  DEVMEM_CHECK((now & 1) == 0, "two ranges of one mapping are moved at a time");
  (void)At(offset, bytes);
  Fence(now + 1);
  withdraw_failed_ = !memory_.CoverWithScratch(offset, bytes);
  // The whole mapping is one piece again afterwards, which cannot be refused for want of pieces.
  if (withdraw_failed_) RevokeLocked();
}

absl::Status DmaMapping::PutBack(const RegionPlace& place) {
  const std::lock_guard<std::mutex> lock(change_mutex_);
  const uint64_t now = generation_.load(std::memory_order_relaxed);
  if (std::exchange(withdraw_failed_, false)) {
    return absl::ResourceExhaustedError(
        "the kernel refused to take a range from its NIC, so all was taken; raise "
        "vm.max_map_count, or evict larger ranges");
  }
  if (now >= kRevoking) return absl::OkStatus();
  DEVMEM_CHECK((now & 1) != 0, "a range is put back that was not withdrawn");
  // An evicted range stays scratch: whatever writes there without asking Resident() is lost, and
  // nothing else is.
  if (place.resident) {
    (void)At(place.offset, place.bytes);
    if (!memory_.CoverWithFile(place.offset, place.bytes, place.fd, place.fd_offset) ||
        !memory_.PopulateRange(place.offset, place.bytes)) {
      const int err = errno;
      RevokeLocked();
      return ErrnoToStatus(err, "mapping the new place of a region that moved");
    }
  }
  Mark(place);
  // Release: whoever sees the generation even sees the new place and its marks.
  generation_.store(now + 1, std::memory_order_release);
  return absl::OkStatus();
}

void DmaMapping::Mark(const RegionPlace& place) {
  if (away_.empty()) return;
  const uint64_t first = place.offset / kPagingBlockBytes;
  const uint64_t end = (place.offset + place.bytes + kPagingBlockBytes - 1) / kPagingBlockBytes;
  uint32_t away = away_blocks_.load(std::memory_order_relaxed);
  for (uint64_t block = first; block < end; ++block) {
    const uint8_t was = away_[block].exchange(place.resident ? 0 : 1, std::memory_order_relaxed);
    away += (place.resident ? 0u : 1u) - was;
  }
  away_blocks_.store(away, std::memory_order_release);
}

bool DmaMapping::IsHome(uint64_t offset, uint64_t bytes) const {
  const uint64_t end = std::min<uint64_t>(
      (offset + bytes + kPagingBlockBytes - 1) / kPagingBlockBytes, away_.size());
  for (uint64_t block = offset / kPagingBlockBytes; block < end; ++block) {
    if (away_[block].load(std::memory_order_relaxed) != 0) return false;
  }
  return true;
}

bool DmaMapping::BringBack(uint64_t offset, uint64_t bytes) {
  const uint64_t end = std::min<uint64_t>(
      (offset + bytes + kPagingBlockBytes - 1) / kPagingBlockBytes, away_.size());
  for (uint64_t block = offset / kPagingBlockBytes; block < end; ++block) {
    if (away_[block].load(std::memory_order_relaxed) == 0) continue;
    const uint64_t start = block * kPagingBlockBytes;
    const uint64_t length = std::min<uint64_t>(kPagingBlockBytes, memory_.bytes() - start);
    if (!paging_->FaultIn(start, length)) return false;
  }
  return true;
}

}  // namespace devmem
