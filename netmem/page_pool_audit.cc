// SPDX-License-Identifier: Apache-2.0
//
// The page pool's account: by its counters, and by looking at every net_iov, slab and posted run.
// Tests and tear-down compare the two; the owning worker calls both between two other calls of the
// pool.

#include "absl/strings/str_cat.h"
#include "netmem/page_pool.h"

namespace devmem {

uint64_t PagePool::open_count() const {
  uint64_t open = 0;
  for (uint32_t n = window_first_; n < window_first_ + window_count_; ++n) {
    const Run& run = window_[n];
    open += ((run.offset + run.bytes) >> net_iov_shift_) - (run.offset >> net_iov_shift_);
  }
  return open;
}

// The net_iov under the cursor counts as open, whatever pieces it has.
uint64_t PagePool::staged_count() const {
  const Run& front = window_[window_first_];
  const bool inside = front.bytes != 0 && (front.offset & net_iov_mask_) != 0;
  const bool cursor_staged = inside && staged_refs_[front.offset >> net_iov_shift_] != 0;
  return staged_net_iovs_ - (cursor_staged ? 1 : 0);
}

Account PagePool::account() const {
  Account account;
  account.total = net_iov_count_;
  account.free = uint64_t{stack_count_ + (slab_count_ - fresh_)} << slab_shift_;
  account.open = open_count();
  account.staged = staged_count();
  account.used = stats_.hold.value() - stats_.release.value() - account.staged;
  account.returning = account.total - account.free - account.open - account.used - account.staged;
  return account;
}

absl::Status PagePool::Audit() const {
  absl::Status window = AuditWindow();
  return window.ok() ? AuditSlabs() : window;
}

// Invariant 2 for the window, and its sum.
absl::Status PagePool::AuditWindow() const {
  uint64_t bytes = 0;
  for (uint32_t n = window_first_; n < window_first_ + window_count_; ++n) {
    const Run& run = window_[n];
    const uint64_t end = run.offset + run.bytes;
    if (run.bytes == 0 || (end & net_iov_mask_) != 0) {
      return absl::InternalError(absl::StrCat("posted run at ", run.offset, " of ", run.bytes,
                                              " bytes does not end at the end of a net_iov"));
    }
    for (uint64_t index = run.offset >> net_iov_shift_; index < end >> net_iov_shift_; ++index) {
      if (refs_[index] == 0) {
        return absl::InternalError(absl::StrCat("net_iov ", index, " is posted without reference"));
      }
    }
    bytes += run.bytes;
  }
  if (bytes != posted_bytes()) {
    return absl::InternalError(absl::StrCat("window counts ", posted_bytes(), " bytes in ",
                                            window_count_, " runs that have ", bytes));
  }
  return absl::OkStatus();
}

// Invariants 1 and 3. Slabs from fresh_ on were never touched, and are left so.
absl::Status PagePool::AuditSlabs() const {
  Account seen = {.total = net_iov_count_, .open = open_count()};
  const uint32_t per_slab = 1u << slab_shift_;
  uint64_t live_sum = 0;
  uint64_t staged_sum = 0;
  for (uint32_t slab = 0; slab < fresh_; ++slab) {
    uint32_t live = 0;
    for (uint32_t i = slab << slab_shift_; i < (slab + 1) << slab_shift_; ++i) {
      live += refs_[i] != 0;
      if (staged_net_iovs_ == 0 || staged_refs_[i] == 0) continue;
      ++staged_sum;
      if (refs_[i] == 0) {
        return absl::InternalError(absl::StrCat("net_iov ", i, " is staged without reference"));
      }
    }
    if (live != live_[slab]) {
      return absl::InternalError(absl::StrCat("slab ", slab, " counts ", live_[slab],
                                              " live net_iovs, but ", live, " have references"));
    }
    (live == 0 ? seen.free : seen.returning) += per_slab - live;
    live_sum += live;
  }
  seen.free += uint64_t{slab_count_ - fresh_} << slab_shift_;
  if (staged_sum != staged_net_iovs_) {
    return absl::InternalError(absl::StrCat("the pool counts ", staged_net_iovs_,
                                            " staged net_iovs, and ", staged_sum, " are"));
  }
  seen.staged = staged_count();
  seen.used = live_sum - seen.open - seen.staged;

  uint32_t stacked = 0;
  for (uint32_t top = stack_top_; top != 0 && stacked <= slab_count_; top = next_[top - 1]) {
    if (live_[top - 1] != 0) {
      return absl::InternalError(absl::StrCat("slab ", top - 1, " is on the stack with ",
                                              live_[top - 1], " live net_iovs"));
    }
    ++stacked;
  }
  const Account counted = account();
  if (stacked != stack_count_ || counted != seen) {
    return absl::InternalError(absl::StrCat(
        "page pool account is off: counted ", counted.ToString(), " with ", stack_count_,
        " slabs on the stack; found ", seen.ToString(), " with ", stacked, " there"));
  }
  return absl::OkStatus();
}

}  // namespace devmem
