// SPDX-License-Identifier: Apache-2.0
// See dmabuf_access.h. linux/dma-buf.h.
#include "provider/dmabuf_access.h"

#include <linux/dma-buf.h>

#include <cerrno>

#include "provider/posix_error.h"

namespace devmem {
namespace {

int Announce(const SystemCalls& calls, int dmabuf, MapAccess access, uint64_t end_or_start) {
  const uint64_t direction = access == MapAccess::kReadOnly ? DMA_BUF_SYNC_READ : DMA_BUF_SYNC_RW;
  struct dma_buf_sync sync = {.flags = end_or_start | direction};
  return calls.Ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync);
}

}  // namespace

absl::StatusOr<DmabufAccess> DmabufAccess::Begin(const SystemCalls& calls, int dmabuf,
                                                 MapAccess access) {
  if (Announce(calls, dmabuf, access, DMA_BUF_SYNC_START) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, "announcing the processor to a dma-buf (DMA_BUF_IOCTL_SYNC)");
  }
  return DmabufAccess(&calls, dmabuf, access);
}

DmabufAccess::~DmabufAccess() {
  // Nobody is there to tell of a failure; the kernel's own state ends with the descriptor.
  if (dmabuf_ >= 0) (void)Announce(*calls_, dmabuf_, access_, DMA_BUF_SYNC_END);
}

}  // namespace devmem
