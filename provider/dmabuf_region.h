// SPDX-License-Identifier: Apache-2.0
// DmabufRegion: a region whose handle is a dma-buf that somebody else made: a heap of the kernel, a
// driver, another process. Made by the providers dma-heap and import, used through Region. The
// kernel's documentation of dma-buf sharing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/region.h"
#include "provider/system_calls.h"

namespace devmem {

// Maps bytes that a dma-buf stands for, from `offset` of the file `fd` on, which is the dma-buf
// itself or the memfd under a udmabuf. From now until the mapping goes the processor is announced
// to the dma-buf as a user (DMA_BUF_IOCTL_SYNC), which brings the bytes to where it can reach them
// and waits for devices that write them. Devices that import the same dma-buf see what we write as
// it is written where they are coherent with the processor's caches, as PCI devices on x86 are;
// elsewhere only when the mapping has gone.
absl::StatusOr<MappedMemory> MapDmabuf(const SystemCalls& calls, int dmabuf, int fd,
                                       uint64_t offset, uint64_t bytes, MapAccess access);

// What part of its dma-buf a region is, and whether the processor can map it.
struct DmabufPart {
  uint64_t offset = 0;
  uint64_t dmabuf_bytes = 0;
  std::string unmappable = {};  // Why not; empty where it can. RegionTraits::cpu_visible agrees.
  std::string residence = {};   // Where the exporter's memory is and stays; empty: nobody knows.
};

class DmabufRegion final : public Region {
 public:
  // `traits.fd` is the dma-buf. `calls` outlives the region.
  DmabufRegion(RegionTraits traits, DmabufPart part, const SystemCalls& calls)
      : Region(std::move(traits)), part_(std::move(part)), calls_(calls) {}

  // The dma-buf itself, when the region is the whole of it and the whole is asked for.
  absl::StatusOr<UniqueFd> ExportDmabuf(uint64_t offset, uint64_t bytes) const override;
  absl::StatusOr<Residence> FindResidence() const override;

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override;
  absl::StatusOr<std::unique_ptr<DmaEngine>> CreateDmaEngine(DmaMapping& staging) const override;

  const DmabufPart part_;
  const SystemCalls& calls_;
};

// The region over a part of the dma-buf `traits.fd`, after trying whether the processor can map it.
std::unique_ptr<Region> MakeDmabufRegion(RegionTraits traits, DmabufPart part,
                                         const SystemCalls& calls);

}  // namespace devmem
