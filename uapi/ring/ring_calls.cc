// SPDX-License-Identifier: Apache-2.0
//
// liburing's set-up and clean-up.

#include "uapi/ring/ring_calls.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "uapi/ring/zcrx_support.h"

namespace devmem {

int RingRegister(int fd, uint32_t operation, void* argument, uint32_t argument_count) {
  const long result = ::syscall(__NR_io_uring_register, fd, operation, argument, argument_count);
  return result < 0 ? -errno : static_cast<int>(result);
}

uint64_t RoundToPages(uint64_t bytes) {
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

void Ring::Exit::operator()(io_uring* ring) const {
  io_uring_queue_exit(ring);
  delete ring;
}

absl::StatusOr<Ring> Ring::Create(const RingOptions& options) {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                 (options.mixed ? IORING_SETUP_CQE_MIXED : IORING_SETUP_CQE32);
  params.cq_entries = options.completions;
  auto made = std::make_unique<io_uring>();
  const int result = io_uring_queue_init_params(options.requests, made.get(), &params);
  if (result < 0) return ExplainRingRefusal(-result);
  Handle ring(made.release());
  UniqueFd news(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!news.valid()) return ExplainRingRefusal(errno);
  const int registered = io_uring_register_eventfd(ring.get(), news.get());
  if (registered < 0) return ExplainRingRefusal(-registered);
  return Ring(std::move(ring), std::move(news), options.mixed);
}

void Ring::LowerNews() {
  uint64_t count = 0;
  (void)!::read(news_.get(), &count, sizeof(count));
}

CompletionRing Ring::completions() const {
  const io_uring_cq& cq = ring_->cq;
  return CompletionRing({.head = cq.khead,
                         .tail = cq.ktail,
                         .entries = reinterpret_cast<const uint8_t*>(cq.cqes),
                         .slots = cq.ring_entries,
                         .mixed = mixed_});
}

}  // namespace devmem
