// SPDX-License-Identifier: Apache-2.0
// See cuda_dma_engine.h.
#include "provider/cuda_dma_engine.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/cuda_device.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<DmaEngine>> CudaDmaEngine::Create(std::shared_ptr<CudaMemory> memory,
                                                                 std::shared_ptr<RegionLife> life,
                                                                 DmaMapping& staging) {
  std::unique_ptr<CudaDmaEngine> engine(
      new CudaDmaEngine(std::move(memory), std::move(life), staging));
  absl::Status prepared = engine->Prepare();
  if (!prepared.ok()) return prepared;
  return engine;
}

absl::Status CudaDmaEngine::Prepare() {
  CudaDevice& device = memory_->device();
  absl::StatusOr<std::unique_ptr<CudaHostMemory>> registered = CudaHostMemory::Register(
      memory_->shared_device(), staging_.Iov(0, staging_.size_bytes()).iov_base,
      staging_.size_bytes());
  if (!registered.ok()) return registered.status();
  registered_ = *std::move(registered);
  const CudaDevice::Current current(device);
  CUresult result = current.result();
  if (result == CUDA_SUCCESS) result = api().StreamCreate(&stream_, kCuStreamNonBlocking);
  for (CUevent& event : events_) {
    if (result == CUDA_SUCCESS) result = api().EventCreate(&event, kCuEventDisableTiming);
  }
  if (result == CUDA_SUCCESS) return absl::OkStatus();
  return api().ToStatus(result, absl::StrCat("a DMA engine on ", Describe(device.info())));
}

CudaDmaEngine::~CudaDmaEngine() {
  const CudaDevice::Current current(memory_->device());
  if (stream_ != nullptr) (void)api().StreamSynchronize(stream_);
  for (const CUevent event : events_) {
    if (event != nullptr) (void)api().EventDestroy(event);
  }
  if (stream_ != nullptr) (void)api().StreamDestroy(stream_);
}

uint64_t CudaDmaEngine::Submit(std::span<const DmaCopy> copies) {
  DEVMEM_CHECK(!full() && copies.size() <= kDmaBatchCopiesMax, "a DMA engine is given too much");
  if (lost_.load(std::memory_order_relaxed) || !gate_.Enter()) return 0;
  const CUresult result = QueueCopies(copies);
  gate_.Leave();
  if (result != CUDA_SUCCESS) [[unlikely]] {
    Lose(result);
    return 0;
  }
  return ++submitted_;
}

// Neighbours on both sides go as one: the driver takes a microsecond or two for each call.
CUresult CudaDmaEngine::QueueCopies(std::span<const DmaCopy> copies) {
  const CudaDevice::Current current(memory_->device());
  CUresult result = current.result();
  for (size_t i = 0; i < copies.size() && result == CUDA_SUCCESS;) {
    const DmaCopy& first = copies[i];
    uint64_t bytes = first.bytes;
    for (++i; i < copies.size(); ++i) {
      if (copies[i].staging_offset != first.staging_offset + bytes ||
          copies[i].region_offset != first.region_offset + bytes) {
        break;
      }
      bytes += copies[i].bytes;
    }
    if (bytes == 0) continue;
    DEVMEM_CHECK(first.region_offset <= memory_->size_bytes() &&
                     bytes <= memory_->size_bytes() - first.region_offset,
                 "a DMA copy lies outside its region");
    result =
        api().MemcpyHtoDAsync(memory_->address() + first.region_offset,
                              staging_.Iov(first.staging_offset, bytes).iov_base, bytes, stream_);
  }
  if (result != CUDA_SUCCESS) return result;
  return api().EventRecord(events_[(submitted_ + 1) % kDmaBatchesMax], stream_);
}

uint64_t CudaDmaEngine::Completed() {
  if (completed_ == submitted_ || lost_.load(std::memory_order_relaxed)) return completed_;
  CUresult result = CUDA_SUCCESS;
  {
    const CudaDevice::Current current(memory_->device());
    result = current.result();
    while (result == CUDA_SUCCESS && completed_ < submitted_) {
      result = api().EventQuery(events_[(completed_ + 1) % kDmaBatchesMax]);
      if (result == CUDA_SUCCESS) ++completed_;
    }
  }
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY) [[unlikely]]
    Lose(result);
  return completed_;
}

bool CudaDmaEngine::Fence() {
  if (lost_.load(std::memory_order_acquire)) return completed_ == submitted_;
  const CUresult result = Synchronize();
  if (result == CUDA_SUCCESS) {
    completed_ = submitted_;
    return true;
  }
  Lose(result);
  return false;
}

bool CudaDmaEngine::ReadBack(uint64_t region_offset, std::span<uint8_t> to) {
  DEVMEM_CHECK(
      region_offset <= memory_->size_bytes() && to.size() <= memory_->size_bytes() - region_offset,
      "a read-back lies outside its region");
  if (lost_.load(std::memory_order_relaxed) || !gate_.Enter()) return false;
  CUresult result = CUDA_SUCCESS;
  {
    const CudaDevice::Current current(memory_->device());
    result = current.result();
    if (result == CUDA_SUCCESS && !to.empty()) {
      result =
          api().MemcpyDtoHAsync(to.data(), memory_->address() + region_offset, to.size(), stream_);
    }
    if (result == CUDA_SUCCESS) result = api().StreamSynchronize(stream_);
  }
  gate_.Leave();
  if (result == CUDA_SUCCESS) return true;
  Lose(result);
  return false;
}

void CudaDmaEngine::Halt() {
  gate_.Close();
  // The life is locked by the caller, who revokes it: it cannot, and need not, be revoked here.
  if (Synchronize() != CUDA_SUCCESS) lost_.store(true, std::memory_order_release);
}

CUresult CudaDmaEngine::Synchronize() {
  const CudaDevice::Current current(memory_->device());
  if (current.result() != CUDA_SUCCESS) return current.result();
  return api().StreamSynchronize(stream_);
}

// Outside the gate, and with no lock held. The region goes with its engine: bytes that were
// received can no longer reach it. When the device is gone, so are its other regions. What was
// queued before the error is waited for; a device that is lost has nothing to wait for.
void CudaDmaEngine::Lose(CUresult result) {
  lost_.store(true, std::memory_order_release);
  (void)Synchronize();
  memory_->device().ReportError(result);
  life_->Revoke(absl::StrCat(TakesTheDevice(result) ? "device lost: " : "a copy failed: ",
                             api().ErrorName(result)));
}

}  // namespace devmem
