// SPDX-License-Identifier: Apache-2.0
// CudaHostMemory: host memory that the CUDA driver keeps pinned, so that copies from it go on while
// the processor does something else. Each DMA engine has one; those of the same staging memory
// share one registration, because the driver takes a range once only. Made and ended on any thread.
// CUDA driver API, cuMemHostRegister.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/cuda_device.h"

namespace devmem {

class CudaHostMemory {
 public:
  // Registers [address, address + bytes), which outlives what is returned, for every GPU of the
  // process; or counts itself in where devmem registered it before. Memory that somebody else
  // registered (the application, by cudaHostRegister) is taken as it is.
  // kResourceExhausted, kInvalidArgument: the driver's refusal.
  static absl::StatusOr<std::unique_ptr<CudaHostMemory>> Register(
      std::shared_ptr<CudaDevice> device, void* address, size_t bytes);

  // The copies of this one's user from it have ended.
  ~CudaHostMemory();
  CudaHostMemory(const CudaHostMemory&) = delete;
  CudaHostMemory& operator=(const CudaHostMemory&) = delete;

 private:
  CudaHostMemory(std::shared_ptr<CudaDevice> device, void* address)
      : device_(std::move(device)), address_(address) {}

  const std::shared_ptr<CudaDevice> device_;
  void* const address_;
};

}  // namespace devmem
