// SPDX-License-Identifier: Apache-2.0
//
// An io_uring as liburing makes it, and its register call by number, for what liburing 2.3 does not
// know yet. One thread, the one that made the ring. io_uring_setup(2), io_uring_register(2).

#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/unique_fd.h"
#include "uapi/ring/completion_ring.h"

namespace devmem {

// The raw call. Its result, or minus the errno. `fd` may be -1 where the operation needs no ring.
int RingRegister(int fd, uint32_t operation, void* argument, uint32_t argument_count);

// Whole pages that hold `bytes`.
uint64_t RoundToPages(uint64_t bytes);

struct RingOptions {
  uint32_t requests = 0;
  uint32_t completions = 0;
  bool mixed = false;  // Completions of both lengths (Linux 6.18), else all are long.
};

// Movable; unmapped and closed with the last one.
class Ring {
 public:
  // For one thread, its work deferred until that thread enters the kernel: what zero-copy receive
  // asks for. Errors: ExplainRingRefusal().
  static absl::StatusOr<Ring> Create(const RingOptions& options);

  int fd() const { return ring_->ring_fd; }
  // Readable when there is something to enter the kernel for. (The ring's own descriptor does not
  // wake an epoll while the work is deferred.)
  int news_fd() const { return news_.get(); }
  // Not readable any more, until there are further news. Before the kernel is entered.
  void LowerNews();
  io_uring* get() const { return ring_.get(); }
  CompletionRing completions() const;

 private:
  struct Exit {
    void operator()(io_uring* ring) const;
  };
  using Handle = std::unique_ptr<io_uring, Exit>;

  Ring(Handle ring, UniqueFd news, bool mixed)
      : ring_(std::move(ring)), news_(std::move(news)), mixed_(mixed) {}

  Handle ring_;
  UniqueFd news_;  // An eventfd.
  bool mixed_;
};

}  // namespace devmem
