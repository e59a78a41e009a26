// SPDX-License-Identifier: Apache-2.0
//
// When a device has finished with a frag's memory. Connection::Release(frags, fence) keeps the
// tokens until the fence signals, so that the NIC does not write over bytes that a kernel or a DMA
// engine still reads. Movable; owned by the session once handed over; asked on the thread that
// drives the session (in Threading::kThread the queue's own).

#pragma once

#include <poll.h>

#include <functional>
#include <utility>

#include "provider/unique_fd.h"

namespace devmem {

class Fence {
 public:
  // `signaled` says whether the work is done; once true it is not asked again. It must not block
  // and must not call into the session. For a CUDA event: [e] { return cudaEventQuery(e) ==
  // cudaSuccess; }.
  static Fence FromCallback(std::function<bool()> signaled) {
    Fence fence;
    fence.signaled_ = std::move(signaled);
    return fence;
  }
  // A descriptor that becomes readable: a sync_file, an eventfd. Takes ownership.
  static Fence FromFd(UniqueFd fd) {
    Fence fence;
    fence.fd_ = std::move(fd);
    return fence;
  }

  // A fence of nothing has always signaled.
  bool Signaled() const {
    if (signaled_) return signaled_();
    if (!fd_.valid()) return true;
    pollfd polled{fd_.get(), POLLIN, 0};
    return poll(&polled, 1, 0) == 1;
  }
  // To wait on besides asking; -1 when there is none.
  int fd() const { return fd_.get(); }

 private:
  Fence() = default;

  std::function<bool()> signaled_;
  UniqueFd fd_;
};

}  // namespace devmem
