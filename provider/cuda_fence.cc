// SPDX-License-Identifier: Apache-2.0
// See cuda_fence.h.
#include "provider/cuda_fence.h"

#include <atomic>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/cuda_abi.h"
#include "provider/cuda_api.h"
#include "provider/cuda_device.h"
#include "provider/cuda_memory.h"
#include "provider/cuda_region.h"
#include "provider/region_life.h"

namespace devmem {

struct CudaEventDone::State {
  State(std::shared_ptr<CudaDevice> on, std::shared_ptr<RegionLife> of)
      : device(std::move(on)), life(std::move(of)) {}
  ~State() {
    const CudaDevice::Current current(*device);
    if (event != nullptr) (void)device->api().EventDestroy(event);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const std::shared_ptr<CudaDevice> device;
  const std::shared_ptr<RegionLife> life;
  CUevent event = nullptr;
  std::atomic<bool> done{false};
};

namespace {

// The device of a region whose work may be watched.
absl::StatusOr<std::shared_ptr<CudaDevice>> DeviceOf(const Region& region) {
  const CudaRegion* const on_gpu = CudaRegion::From(region);
  if (on_gpu == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(region.Describe(), " lies on no GPU of CUDA; use a fence of its own device"));
  }
  absl::Status usable = region.status();
  if (absl::IsAborted(usable)) return usable;
  return on_gpu->memory()->shared_device();
}

}  // namespace

absl::StatusOr<CudaEventDone> CudaEventDone::Record(const Region& region, CUstream_st* stream) {
  absl::StatusOr<std::shared_ptr<CudaDevice>> device = DeviceOf(region);
  if (!device.ok()) return device.status();
  return RecordOn(*std::move(device), region.life(), stream);
}

absl::StatusOr<CudaEventDone> CudaEventDone::RecordOn(std::shared_ptr<CudaDevice> device,
                                                      std::shared_ptr<RegionLife> life,
                                                      CUstream_st* stream) {
  const CudaApi& api = device->api();
  auto state = std::make_shared<State>(device, std::move(life));
  CUresult result = CUDA_SUCCESS;
  {
    const CudaDevice::Current current(*device);
    result = current.result();
    if (result == CUDA_SUCCESS) result = api.EventCreate(&state->event, kCuEventDisableTiming);
    if (result == CUDA_SUCCESS) result = api.EventRecord(state->event, stream);
  }
  if (result == CUDA_SUCCESS) return CudaEventDone(std::move(state));
  device->ReportError(result);
  return api.ToStatus(result, absl::StrCat("an event on ", Describe(device->info())));
}

absl::StatusOr<CudaEventDone> CudaEventDone::Adopt(const Region& region, CUevent_st* event) {
  const absl::StatusOr<std::shared_ptr<CudaDevice>> device = DeviceOf(region);
  if (!device.ok()) return device.status();
  auto state = std::make_shared<State>(*device, region.life());
  state->event = event;
  return CudaEventDone(std::move(state));
}

bool CudaEventDone::operator()() const {
  if (state_->done.load(std::memory_order_acquire)) return true;
  CUresult result = CUDA_SUCCESS;
  {
    const CudaDevice::Current current(*state_->device);
    result = current.result();
    if (result == CUDA_SUCCESS) result = state_->device->api().EventQuery(state_->event);
  }
  if (result == CUDA_ERROR_NOT_READY) return false;
  state_->done.store(true, std::memory_order_release);
  if (result != CUDA_SUCCESS) {
    // Whether the device still reads the frags cannot be known: nothing is to be written over them.
    state_->device->ReportError(result);
    state_->life->Revoke(absl::StrCat(TakesTheDevice(result) ? "device lost: " : "a fence failed: ",
                                      state_->device->api().ErrorName(result)));
  }
  return true;
}

}  // namespace devmem
