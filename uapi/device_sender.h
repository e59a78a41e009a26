// SPDX-License-Identifier: Apache-2.0
//
// Sends bytes of a bound dma-buf on one socket without copying them: sendmsg(2) with MSG_ZEROCOPY
// and the binding's id in a control message, and the notices by which the kernel says that it is
// through with them. Called by SocketConnection on its thread. Linux
// Documentation/networking/devmem.rst, "TX", and msg_zerocopy.rst.

#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "uapi/kernel_calls.h"

namespace devmem {

class DeviceSender {
 public:
  // Both outlive it.
  DeviceSender(int socket, KernelCalls* calls) : socket_(socket), calls_(calls) {}

  // Prepares the socket: zero-copy sends, and no way out but by `device`, because another NIC could
  // not read the memory. Errors: kUnimplemented where the kernel has no zero-copy for it.
  absl::Status Prepare(absl::string_view device);

  // How many bytes from `offset` of the dma-buf on were queued, or minus an errno; EAGAIN when
  // there is no room.
  ssize_t Send(uint32_t dmabuf_id, uint64_t offset, uint64_t bytes);

  // Takes the notices that have arrived. They also make the socket look readable until then.
  void TakeNotices();
  // Calls of Send() of which the kernel still uses the bytes.
  uint32_t outstanding() const { return outstanding_; }

 private:
  const int socket_;
  KernelCalls* const calls_;
  uint32_t outstanding_ = 0;
};

}  // namespace devmem
