// SPDX-License-Identifier: Apache-2.0
// CudaMemory: physical memory of one GPU, mapped at a device address of this process. Shared by the
// region that it is and by the engines that copy into it, so that it outlives whoever goes first.
// Made by the cuda provider on the control thread. CUDA driver API, virtual memory management.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/cuda_abi.h"
#include "provider/cuda_device.h"
#include "provider/unique_fd.h"

namespace devmem {

// Invariants:
//   1. [address(), address() + mapped_bytes()) is one mapping that this object alone undoes, and
//      the device's own kernels may read and write it.
//   2. Only the first size_bytes() belong to the region; the rest, up to the device's granularity,
//      to nobody.
class CudaMemory {
 public:
  // New memory of zero bytes. kResourceExhausted when the device has too little free.
  static absl::StatusOr<std::shared_ptr<CudaMemory>> Create(std::shared_ptr<CudaDevice> device,
                                                            uint64_t bytes);

  // The memory behind another process's handle(), with what is in it. `fd` is only read.
  // kInvalidArgument where it is no such handle or holds less than `bytes`; kFailedPrecondition
  // where it is the memory of another GPU.
  static absl::StatusOr<std::shared_ptr<CudaMemory>> Import(std::shared_ptr<CudaDevice> device,
                                                            int fd, uint64_t bytes);

  ~CudaMemory();
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;

  CudaDevice& device() const { return *device_; }
  const std::shared_ptr<CudaDevice>& shared_device() const { return device_; }
  CUdeviceptr address() const { return address_; }
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t mapped_bytes() const { return mapped_bytes_; }

  // A descriptor that another process can import; owns nothing where there is none, and then
  // local_because() says why. Once: the second call has nothing to give.
  UniqueFd TakeHandle() { return std::move(handle_fd_); }
  const std::string& local_because() const { return local_because_; }

 private:
  CudaMemory(std::shared_ptr<CudaDevice> device, uint64_t bytes)
      : device_(std::move(device)), size_bytes_(bytes) {}

  absl::Status Allocate();
  absl::Status ImportHandle(int fd);
  absl::Status Map();
  void ExportHandle();
  std::string What(const std::string& call) const;

  const std::shared_ptr<CudaDevice> device_;
  const uint64_t size_bytes_;
  // Set while it is made; each is 0 until the driver has given it.
  uint64_t mapped_bytes_ = 0;
  CUmemGenericAllocationHandle handle_ = 0;
  bool has_handle_ = false;
  CUdeviceptr address_ = 0;
  bool mapped_ = false;
  UniqueFd handle_fd_;
  std::string local_because_;
};

}  // namespace devmem
