// SPDX-License-Identifier: Apache-2.0
//
// Host memory or dma-buf: the region's file tells.

#include "uapi/zcrx_memory.h"

#include <linux/magic.h>

#include <utility>

#include "provider/system_calls.h"

namespace devmem {
namespace {

// Whether the pages behind the region's mapping are ordinary ones, which can be pinned. A dma-buf's
// mapping shows its exporter's, and so does that of memory without a file.
bool IsHostMemory(const Region& region) {
  if (!region.cpu_visible() || region.fd() < 0) return false;
  return SystemCalls::OfThisMachine().FileSystemOf(region.fd()) != uint64_t{DMA_BUF_MAGIC};
}

}  // namespace

absl::StatusOr<ZcrxMemory> ZcrxMemory::Create(const Region& region, uint64_t offset,
                                              uint64_t bytes) {
  ZcrxMemory memory;
  memory.area_.bytes = bytes;
  if (IsHostMemory(region)) {
    absl::StatusOr<UserMapping> mapping =
        UserMapping::Map(region, offset, bytes, MapAccess::kReadWrite);
    if (!mapping.ok()) return mapping.status();
    memory.area_.address = mapping->address();
    memory.mapping_.emplace(*std::move(mapping));
    return memory;
  }
  absl::StatusOr<UniqueFd> dmabuf = region.ExportDmabuf(offset, bytes);
  if (!dmabuf.ok()) return dmabuf.status();
  memory.dmabuf_ = *std::move(dmabuf);
  memory.area_.dmabuf_fd = memory.dmabuf_.get();
  return memory;
}

}  // namespace devmem
