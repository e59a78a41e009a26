// SPDX-License-Identifier: Apache-2.0
//
// Gives kernel token ids of one socket back with SO_DEVMEM_DONTNEED: merged into runs, within the
// kernel's bounds of 128 runs and 1024 ids a call, repeated where a call freed less than it named.
// Called by KernelBinding under its lock; allocates only while the kernel refuses. Linux
// Documentation/networking/devmem.rst, "Freeing frags", and sock_devmem_dontneed().

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "uapi/abi/devmem_socket.h"
#include "uapi/kernel_calls.h"
#include "uapi/kernel_stats.h"

namespace devmem {

// Invariant: what was added and has not been taken by the kernel is in runs_ or overdue_.
class KernelReturns {
 public:
  // All of them outlive this object; the socket may be closed once empty().
  KernelReturns(int socket, KernelCalls* calls, KernelStats* stats)
      : socket_(socket), calls_(calls), stats_(stats) {}

  // Collects a run of ids; sends what was collected when it is full.
  void Add(uint32_t start, uint32_t count);
  // Sends what was collected. What the kernel has no memory for stays for the next call.
  void Flush();
  bool empty() const { return run_count_ == 0 && overdue_.empty(); }

 private:
  // What of runs_ the kernel took: ids, counted from the first run on; or minus an errno.
  int Send(size_t runs);
  void Append(uint32_t start, uint32_t count);
  void SendAll();
  void DropIds(uint32_t ids);
  void RetryOverdue();

  const int socket_;
  KernelCalls* const calls_;
  KernelStats* const stats_;
  size_t run_count_ = 0;
  uint32_t id_count_ = 0;  // Of runs_; at most MAX_DONTNEED_FRAGS.
  std::array<abi::dmabuf_token, abi::MAX_DONTNEED_TOKENS> runs_;
  std::vector<abi::dmabuf_token> overdue_;
};

}  // namespace devmem
