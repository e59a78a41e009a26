// SPDX-License-Identifier: Apache-2.0
// DmabufAccess: a stretch of time in which the processor uses the bytes of a dma-buf, announced to
// its exporter by DMA_BUF_IOCTL_SYNC: the start brings the bytes to where the processor can reach
// them and waits for devices that write them, the end lets devices at them again. Around a mapping
// (dmabuf_region.h), and around each copy out of memory that a NIC of the kernel writes. Any
// thread. The kernel's documentation of dma-buf sharing, "DMA Buffer ioctls".
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "provider/mapped_memory.h"
#include "provider/system_calls.h"

namespace devmem {

class DmabufAccess {
 public:
  // `dmabuf` stays open and `calls` lives until the access has ended. Both announcements are
  // repeated while the kernel asks for it (EINTR, EAGAIN). Errors: the exporter's, such as ENOMEM
  // where there is no room for a copy; nothing may be read or written then.
  static absl::StatusOr<DmabufAccess> Begin(const SystemCalls& calls, int dmabuf, MapAccess access);

  ~DmabufAccess();
  DmabufAccess(DmabufAccess&& other) noexcept
      : calls_(other.calls_), dmabuf_(std::exchange(other.dmabuf_, -1)), access_(other.access_) {}
  DmabufAccess& operator=(DmabufAccess&&) = delete;

 private:
  DmabufAccess(const SystemCalls* calls, int dmabuf, MapAccess access)
      : calls_(calls), dmabuf_(dmabuf), access_(access) {}

  const SystemCalls* const calls_;
  int dmabuf_;  // -1 once moved from.
  const MapAccess access_;
};

}  // namespace devmem
