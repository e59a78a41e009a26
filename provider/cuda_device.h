// SPDX-License-Identifier: Apache-2.0
// CudaDevice: one GPU of this process, with its primary context, which it shares with an
// application that uses the CUDA runtime. Shared by everything that lies on the GPU; who sees it
// lost tells it here, and every region on it is revoked. CUDA driver API, device and primary
// context management.
//
// Locks. A region's life is locked while it halts engines (region_life.h), so nothing here is
// locked while a life is called: the order is life, then device.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/cuda_abi.h"
#include "provider/cuda_api.h"
#include "provider/region_life.h"

namespace devmem {

// What the driver says about a GPU, without a context on it.
struct CudaDeviceInfo {
  int ordinal = 0;          // In this process, as CUDA_VISIBLE_DEVICES leaves it.
  std::string name;         // "NVIDIA H200".
  std::string uuid;         // "GPU-" and 36 characters, as nvidia-smi prints it.
  std::string pci_address;  // "0000:65:00.0", as sysfs spells it.
  uint64_t memory_bytes = 0;
  int capability_major = 0;
  int capability_minor = 0;
  bool virtual_memory = false;  // Memory can be mapped by hand: what regions are made of.
  bool file_handles = false;    // Memory can be passed to other processes.
  bool dmabuf = false;          // Memory can be exported to the kernel.
  bool peer_dma = false;        // Memory can be made fit for other devices' DMA.
};

// "GPU 0 (NVIDIA H200, 0000:65:00.0)".
std::string Describe(const CudaDeviceInfo& info);

// Every GPU, in the driver's order. kUnavailable where there is none.
absl::StatusOr<std::vector<CudaDeviceInfo>> ListCudaDevices(const CudaApi& api);

// The one that `selector` names: an ordinal, a PCI address (with or without its domain), or the
// beginning of a UUID, with or without "GPU-". Empty: the first that regions can be made on.
//
// Errors: kNotFound            no such device; the message lists those that there are.
//         kInvalidArgument     several are meant.
//         kFailedPrecondition  the device, or every device, lacks virtual memory management.
absl::StatusOr<CudaDeviceInfo> ChooseCudaDevice(const std::vector<CudaDeviceInfo>& devices,
                                                absl::string_view selector);

class CudaDevice {
 public:
  // The GPU, with its primary context retained. The same object for as long as one is in use.
  // kAborted once it was lost: the driver gives it back to new processes only.
  static absl::StatusOr<std::shared_ptr<CudaDevice>> Open(const CudaApi& api,
                                                          const CudaDeviceInfo& info);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const CudaApi& api() const { return api_; }
  const CudaDeviceInfo& info() const { return info_; }
  int ordinal() const { return info_.ordinal; }

  // Makes the context current on this thread for a scope, and leaves the thread as it was: it may
  // be the application's, with a context of its own.
  class Current {
   public:
    explicit Current(const CudaDevice& device)
        : api_(device.api_), result_(device.api_.CtxPushCurrent(device.context_)) {}
    ~Current() {
      CUcontext popped;
      if (result_ == CUDA_SUCCESS) (void)api_.CtxPopCurrent(&popped);
    }
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

    // CUDA_SUCCESS, or why the calls that follow would fail.
    CUresult result() const { return result_; }

   private:
    const CudaApi& api_;
    const CUresult result_;
  };

  // A region on this device is to be revoked when the device is lost.
  void Watch(const std::shared_ptr<RegionLife>& life);

  // A call failed with a result that takes the device (TakesTheDevice()): marks it lost and revokes
  // every region on it, with the reason "device lost: CUDA_ERROR_...". Otherwise nothing. Any
  // thread that holds no lock of the memory layer; returns when nothing reaches the regions.
  void ReportError(CUresult result);

  bool lost() const { return lost_.load(std::memory_order_acquire); }

 private:
  CudaDevice(const CudaApi& api, const CudaDeviceInfo& info, CUcontext context)
      : api_(api), info_(info), context_(context) {}

  const CudaApi& api_;
  const CudaDeviceInfo info_;
  const CUcontext context_;
  std::atomic<bool> lost_{false};

  std::mutex mutex_;
  std::vector<std::weak_ptr<RegionLife>> lives_;  // Guarded by mutex_.
};

}  // namespace devmem
