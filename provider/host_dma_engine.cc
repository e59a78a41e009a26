// SPDX-License-Identifier: Apache-2.0
// See host_dma_engine.h.
#include "provider/host_dma_engine.h"

#include "provider/check.h"

namespace devmem {

uint64_t HostDmaEngine::Submit(std::span<const DmaCopy> copies) {
  if (lost()) return 0;
  DEVMEM_CHECK(!full() && copies.size() <= kDmaBatchCopiesMax, "a DMA engine is given too much");
  Batch& batch = waiting_[++submitted_ % kDmaBatchesMax];
  batch.copies.assign(copies.begin(), copies.end());
  batch.done = 0;
  return submitted_;
}

uint64_t HostDmaEngine::Completed() {
  while (completed_ < submitted_) {
    Batch& batch = waiting_[(completed_ + 1) % kDmaBatchesMax];
    while (batch.done < batch.copies.size()) {
      if (!CopyOne(batch.copies[batch.done])) return completed_;
      ++batch.done;
    }
    ++completed_;
  }
  return completed_;
}

// False: the place is away or changes just now, so nothing counts as copied.
bool HostDmaEngine::CopyOne(const DmaCopy& copy) {
  const uint64_t before = target_.generation();
  if (!target_.Resident(copy.region_offset, copy.bytes)) return false;
  const struct iovec from = staging_.Iov(copy.staging_offset, copy.bytes);
  target_.Write(copy.region_offset, {static_cast<const uint8_t*>(from.iov_base), from.iov_len});
  return target_.Landed(before);
}

bool HostDmaEngine::Fence() { return Completed() == submitted_; }

bool HostDmaEngine::ReadBack(uint64_t region_offset, std::span<uint8_t> to) {
  uint64_t before;
  do {
    before = target_.generation();
    if (lost() || !target_.Resident(region_offset, to.size())) return false;
    target_.CopyOut(region_offset, to);
  } while (!target_.Landed(before));
  return true;
}

}  // namespace devmem
