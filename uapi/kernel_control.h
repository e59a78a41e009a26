// SPDX-License-Identifier: Apache-2.0
//
// Reads what a recvmsg() with MSG_SOCK_DEVMEM says about the bytes that it brought: where each
// lies, in stream order. Called by KernelBinding on the receiving thread; allocates nothing. Linux
// Documentation/networking/devmem.rst, "Reception of data".

#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace devmem {

// Bytes of the stream that lie together.
struct KernelPiece {
  bool linear = false;     // In the iovec, behind the linear bytes before it; else in a dma-buf.
  uint32_t bytes = 0;      // At least 1.
  uint32_t token = 0;      // The kernel's id of this socket; 0 for linear bytes.
  uint32_t dmabuf_id = 0;  // Which binding's.
  uint64_t offset = 0;     // In the dma-buf.
};

struct ControlReading {
  enum class Verdict {
    kGood,       // The pieces are all that the call brought.
    kTruncated,  // A control message was cut short: its token and its bytes are lost.
    kMismatch,   // The pieces do not add up to what the call returned.
    kOverflow,   // More pieces than room; never where the control buffer is no larger than that.
  };
  Verdict verdict = Verdict::kGood;
  size_t count = 0;    // Of the pieces that were written, also where the verdict is bad.
  bool plain = false;  // No devmem control message at all: an ordinary queue brought the bytes.
};

// `received` is what recvmsg() returned, at least 1. Bytes without any devmem control message came
// by an ordinary queue: one linear piece.
ControlReading ReadControl(const msghdr& message, size_t received, std::span<KernelPiece> pieces);

}  // namespace devmem
