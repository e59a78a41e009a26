// SPDX-License-Identifier: Apache-2.0
//
// What programs with a GPU do today, for copy_baseline: the kernel's TCP, recv() into a ring of
// pinned buffers, and an asynchronous copy of each to GPU memory, so that receiving and copying
// overlap. Works with the CUDA driver directly, without the engine of provider/ that it is the
// measure of. One thread.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace devmem {

class CopyToGpu {
 public:
  // A region of so many bytes on the first usable GPU, and the ring. Errors: those of the cuda
  // provider's Probe() and of the driver.
  static absl::StatusOr<std::unique_ptr<CopyToGpu>> Create(uint64_t region_bytes);

  virtual ~CopyToGpu() = default;

  // Receives until the peer ends, to rising offsets of the region, and waits for the last copy.
  // Returns the number of bytes.
  virtual absl::StatusOr<uint64_t> Receive(int socket) = 0;

  // The GPU's name.
  virtual std::string device() const = 0;
};

}  // namespace devmem
