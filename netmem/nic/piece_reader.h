// SPDX-License-Identifier: Apache-2.0
//
// Reads received bytes back to host memory, for a user who asked for that (Read) and for the answer
// to a ping. It stands here because nic/ is where the door to the bytes may be opened; the stack
// above holds pieces only. Used on the worker's thread.

#pragma once

#include <cstdint>
#include <span>

#include "netmem/netmem_ref.h"
#include "netmem/nic/netdev.h"

namespace devmem {

class DmaEngine;

class PieceReader {
 public:
  // The memory outlives its use here. A queue without a binding has no device memory.
  explicit PieceReader(const QueueMemory& host) : host_(host) {}
  void SetDevice(const QueueMemory& device) {
    device_ = device;
    engine_ = nullptr;
  }
  // Device memory that only its engine can read; the engine is called on the worker's thread.
  void SetStaged(PagePool* device, DmaEngine* engine) {
    device_ = QueueMemory{device, nullptr};
    engine_ = engine;
  }

  // Copies to.size() bytes of the piece, from `skip_bytes` into it on. The piece is that long.
  // False: the device cannot be read (any more), and `to` holds nothing of use.
  [[nodiscard]] bool CopyOut(const Piece& piece, uint32_t skip_bytes, std::span<uint8_t> to) const;

 private:
  QueueMemory host_;
  QueueMemory device_;
  DmaEngine* engine_ = nullptr;
};

}  // namespace devmem
