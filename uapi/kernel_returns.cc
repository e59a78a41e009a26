// SPDX-License-Identifier: Apache-2.0
//
// Merging, sending, repeating.

#include "uapi/kernel_returns.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace devmem {

void KernelReturns::Add(uint32_t start, uint32_t count) {
  while (count > 0) {
    // A single run may be longer than what the kernel looks at in one call.
    const uint32_t part = std::min(count, abi::MAX_DONTNEED_FRAGS - id_count_);
    if (part > 0) Append(start, part);
    start += part;
    count -= part;
    if (id_count_ == abi::MAX_DONTNEED_FRAGS || run_count_ == runs_.size()) SendAll();
  }
}

void KernelReturns::Append(uint32_t start, uint32_t count) {
  id_count_ += count;
  if (run_count_ > 0) {
    abi::dmabuf_token& last = runs_[run_count_ - 1];
    if (last.token_start + last.token_count == start) {
      last.token_count += count;
      return;
    }
    if (start + count == last.token_start) {
      last.token_start = start;
      last.token_count += count;
      return;
    }
  }
  runs_[run_count_++] = {start, count};
}

void KernelReturns::Flush() {
  if (!overdue_.empty()) RetryOverdue();
  if (run_count_ > 0) SendAll();
}

int KernelReturns::Send(size_t runs) {
  stats_->dontneed_calls.Add(1);
  const auto bytes = static_cast<socklen_t>(runs * sizeof(abi::dmabuf_token));
  const int freed = calls_->SetOption(socket_, SOL_SOCKET, SO_DEVMEM_DONTNEED, runs_.data(), bytes);
  if (freed > 0) stats_->kernel_tokens_back.Add(static_cast<uint64_t>(freed));
  return freed;
}

// The return value is the number of ids that were freed. All of ours exist, so fewer means that the
// kernel stopped early: the rest is sent again, until a call makes no progress.
void KernelReturns::SendAll() {
  while (run_count_ > 0) {
    const int freed = Send(run_count_);
    if (freed < 0) {
      stats_->dontneed_retries.Add(1);
      overdue_.insert(overdue_.end(), runs_.begin(),
                      runs_.begin() + static_cast<std::ptrdiff_t>(run_count_));
      run_count_ = 0;
      id_count_ = 0;
      return;
    }
    if (freed == 0) {
      stats_->dontneed_lost.Add(id_count_);
      run_count_ = 0;
      id_count_ = 0;
      return;
    }
    DropIds(static_cast<uint32_t>(freed));
    if (run_count_ > 0) stats_->dontneed_retries.Add(1);
  }
}

// Forgets the first `ids` ids of what was collected.
void KernelReturns::DropIds(uint32_t ids) {
  ids = std::min(ids, id_count_);
  id_count_ -= ids;
  size_t first = 0;
  while (first < run_count_ && runs_[first].token_count <= ids) ids -= runs_[first++].token_count;
  std::copy(runs_.begin() + static_cast<std::ptrdiff_t>(first),
            runs_.begin() + static_cast<std::ptrdiff_t>(run_count_), runs_.begin());
  run_count_ -= first;
  if (ids == 0) return;
  runs_[0].token_start += ids;
  runs_[0].token_count -= ids;
}

void KernelReturns::RetryOverdue() {
  std::vector<abi::dmabuf_token> again = std::exchange(overdue_, {});
  for (const abi::dmabuf_token& run : again) Add(run.token_start, run.token_count);
}

}  // namespace devmem
