// SPDX-License-Identifier: Apache-2.0
// See dma_mapping.h. The cold half: registration and revocation. membarrier(2), mmap(2).
#include "provider/dma_mapping.h"

#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// The C library has no wrapper for membarrier(2).
long MemoryBarrierCall(int command) { return ::syscall(SYS_membarrier, command, 0, 0); }

// Past the C library, because ThreadSanitizer takes mmap() for a write to each byte and would
// report the very race that the generation is there for.
bool SwapForScratch(void* address, size_t bytes) {
  const long result = ::syscall(SYS_mmap, address, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0L);
  return result == reinterpret_cast<long>(address);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DmaMapping>> DmaMapping::Create(MappedMemory memory) {
  // Once for the process; repeating it is free. Done here so that Revoke() cannot be refused.
  if (MemoryBarrierCall(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0) {
    const int err = errno;
    return ErrnoToStatus(err,
                         "membarrier(2), which makes revocation safe, is refused; devmem needs "
                         "Linux 4.14 or later and a seccomp filter that lets it through");
  }
  return std::unique_ptr<DmaMapping>(new DmaMapping(std::move(memory)));
}

void DmaMapping::Revoke() {
  const std::lock_guard<std::mutex> lock(revoke_mutex_);
  if (generation_.load(std::memory_order_relaxed) != kLiveGeneration) return;

  // First the mark, then the barrier, then the swap. A NIC thread whose access met the swapped
  // pages made it after the barrier that it passed, and so loads the mark afterwards: the relaxed
  // load in Landed() is the partner of this store. An access before the barrier met the region's
  // pages.
  generation_.store(kLiveGeneration + 1, std::memory_order_seq_cst);
  const long barrier = MemoryBarrierCall(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  DEVMEM_CHECK(barrier == 0, "membarrier failed although the process is registered for it");

  // One call replaces the mapping, and a concurrent fault waits for it: at no moment is there a
  // hole. The scratch costs memory only where a NIC still writes, at most the size of the region.
  const bool swapped = SwapForScratch(memory_.address_, memory_.bytes_);
  DEVMEM_CHECK(swapped, "the kernel refused to take a region from its NIC");

  // Release: whoever sees this generation sees a region that is out of reach.
  generation_.store(kLiveGeneration + 2, std::memory_order_release);
}

}  // namespace devmem
