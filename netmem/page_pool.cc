// SPDX-License-Identifier: Apache-2.0
//
// The page pool's cold half: creation, topping up the posted window, cutting and joining pieces.
// The hot half is inline in the header, the account in page_pool_audit.cc. Called by the owning
// worker.

#include "netmem/page_pool.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

absl::Status CheckSizes(const MemoryProvider& provider, uint32_t post_bytes) {
  absl::Status cut = CheckCut(provider.net_iov_bytes, provider.slab_bytes);
  if (!cut.ok()) return cut;
  if (provider.bytes < provider.slab_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("range is ", provider.bytes, " bytes, smaller than one slab of ",
                     provider.slab_bytes, " bytes; bind more or choose a smaller slab"));
  }
  if (provider.bytes > kBindingBytesMax) {
    return absl::OutOfRangeError(absl::StrCat("range is ", provider.bytes,
                                              " bytes, the largest is ", kBindingBytesMax,
                                              " bytes; bind less per queue"));
  }
  if (post_bytes == 0 || post_bytes > kPostBytesMax) {
    return absl::OutOfRangeError(absl::StrCat("the pool was asked to keep ", post_bytes,
                                              " bytes posted; choose from 1 to ", kPostBytesMax));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PagePool>> PagePool::Create(const MemoryProvider& provider,
                                                           uint32_t post_bytes) {
  absl::Status sizes = CheckSizes(provider, post_bytes);
  if (!sizes.ok()) return sizes;
  std::unique_ptr<PagePool> pool(new PagePool(provider, post_bytes));
  if (!pool->refs_.ok() || !pool->live_.ok() || !pool->next_.ok() || !pool->staged_refs_.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no address space for the bookkeeping of ", pool->net_iov_count_,
                     " net_iovs; bind less or choose larger net_iovs"));
  }
  return pool;
}

PagePool::PagePool(const MemoryProvider& provider, uint32_t post_bytes)
    : provider_(provider),
      post_bytes_(post_bytes),
      net_iov_shift_(static_cast<uint32_t>(std::countr_zero(provider.net_iov_bytes))),
      net_iov_mask_(provider.net_iov_bytes - 1),
      slab_shift_(
          static_cast<uint32_t>(std::countr_zero(provider.slab_bytes / provider.net_iov_bytes))),
      slab_count_(static_cast<uint32_t>(provider.bytes / provider.slab_bytes)),
      net_iov_count_(slab_count_ << slab_shift_),
      refs_(net_iov_count_),
      live_(slab_count_),
      next_(slab_count_),
      staged_refs_(net_iov_count_) {}

uint32_t PagePool::TakeAcrossRuns(uint32_t bytes, std::span<Piece> out) {
  if (bytes == 0) return 0;
  if (posted_bytes() < bytes) TopUp();
  uint32_t pieces = 0;
  uint64_t counted = 0;
  for (; pieces < window_count_ && counted < bytes; ++pieces) {
    counted += window_[window_first_ + pieces].bytes;
  }
  if (counted < bytes || pieces > out.size()) {
    ++stats_.alloc_failed;
    return 0;
  }
  for (uint32_t i = 0; i < pieces; ++i) {
    const uint32_t part = std::min(bytes, window_[window_first_].bytes);
    out[i] = TakeAndPop(part);
    bytes -= part;
  }
  ++stats_.alloc_fast;
  return pieces;
}

Piece PagePool::TakeAndPop(uint32_t bytes) {
  const Piece piece = TakeFromFrontRun(bytes);
  if (window_[window_first_].bytes != 0) return piece;
  --window_count_;
  if (window_count_ == 0) {
    window_first_ = 0;
    window_[0] = Run{};
  } else {
    ++window_first_;
    behind_bytes_ -= window_[window_first_].bytes;
  }
  return piece;
}

NetmemRef PagePool::AllocAcrossRuns() {
  const uint32_t chunk = net_iov_bytes();
  if (posted_bytes() < chunk) TopUp();
  const uint32_t inside = static_cast<uint32_t>(window_[window_first_].offset) & net_iov_mask_;
  if (inside != 0) {
    // The cursor stands inside a net_iov: leave its rest unused.
    Put(TakeAndPop(chunk - inside));
    if (posted_bytes() < chunk) TopUp();
  }
  if (posted_bytes() == 0) {
    ++stats_.alloc_failed;
    return NetmemRef();
  }
  ++stats_.alloc_fast;
  return TakeAndPop(chunk).netmem;
}

void PagePool::Ref(const Piece& piece) {
  const uint32_t last = LastIndex(piece);
  for (uint32_t index = piece.netmem.index(); index <= last; ++index) ++refs_[index];
}

void PagePool::TrimHead(Piece& piece, uint32_t bytes) {
  const uint32_t first = piece.netmem.index();
  const uint32_t start = piece.offset_bytes + bytes;
  const uint32_t index = first + (start >> net_iov_shift_);
  for (uint32_t i = first; i < index; ++i) PutIndex(i);
  piece.netmem = NetmemRef::Make(provider_.device, index);
  piece.offset_bytes = start & net_iov_mask_;
  piece.length_bytes -= bytes;
}

void PagePool::TrimTail(Piece& piece, uint32_t bytes) {
  const uint32_t last = LastIndex(piece);
  piece.length_bytes -= bytes;
  for (uint32_t i = LastIndex(piece) + 1; i <= last; ++i) PutIndex(i);
}

Piece PagePool::Split(Piece& piece, uint32_t bytes) {
  const uint32_t start = piece.offset_bytes + bytes;
  const uint32_t index = piece.netmem.index() + (start >> net_iov_shift_);
  const Piece rest{NetmemRef::Make(provider_.device, index), start & net_iov_mask_,
                   piece.length_bytes - bytes};
  // A cut inside a netmem leaves it to both parts; at a boundary each keeps what it touched.
  if (rest.offset_bytes != 0) ++refs_[index];
  piece.length_bytes = bytes;
  return rest;
}

void PagePool::Stage(const Piece& piece) {
  const uint32_t last = LastIndex(piece);
  for (uint32_t index = piece.netmem.index(); index <= last; ++index) {
    if (staged_refs_[index]++ == 0) ++staged_net_iovs_;
  }
}

void PagePool::Unstage(const Piece& piece) {
  const uint32_t last = LastIndex(piece);
  for (uint32_t index = piece.netmem.index(); index <= last; ++index) {
    if (--staged_refs_[index] == 0) --staged_net_iovs_;
  }
}

void PagePool::TopUp() {
  if (!posting_) return;
  while (posted_bytes() < post_bytes_ && window_count_ < kPostedRunsMax) {
    if (window_first_ + window_count_ == kPostedRunsMax) {
      // The array's end is reached, and its start is free: window_first_ is above 0 here.
      std::copy_n(&window_[window_first_], window_count_, window_.begin());
      window_first_ = 0;
    }
    if (!PostSlab() && !PostReturning()) return;
  }
}

bool PagePool::PostSlab() {
  uint32_t slab = 0;
  if (stack_top_ != 0) {
    slab = stack_top_ - 1;
    stack_top_ = next_[slab];
    --stack_count_;
  } else if (fresh_ < slab_count_) {
    slab = fresh_++;
  } else {
    return false;
  }
  ++stats_.alloc_refill;
  return PostFrom(slab << slab_shift_, 1u << slab_shift_);
}

// No slab is whole. A slab that lost some of its net_iovs to a slow owner still has others to give:
// take the first run of them that the scan meets.
bool PagePool::PostReturning() {
  const uint64_t used = stats_.hold.value() - stats_.release.value();
  if (open_count() + used == net_iov_count_) return false;
  for (uint32_t n = std::min(slab_count_, kSlowPathSlabsPerCall); n > 0; --n) {
    const uint32_t slab = returning_scan_;
    if (live_[slab] != 1u << slab_shift_) {
      const uint32_t end = (slab + 1) << slab_shift_;
      uint32_t first = slab << slab_shift_;
      while (refs_[first] != 0) ++first;
      uint32_t count = 1;
      while (first + count < end && refs_[first + count] == 0) ++count;
      ++stats_.alloc_slow;
      return PostFrom(first, count);
    }
    returning_scan_ = slab + 1 == slab_count_ ? 0 : slab + 1;
  }
  return false;
}

bool PagePool::PostFrom(uint32_t first_index, uint32_t count) {
  std::fill_n(&refs_[first_index], count, 1u);
  const uint32_t slab = first_index >> slab_shift_;
  live_[slab] = static_cast<uint16_t>(live_[slab] + count);
  AppendRun(uint64_t{first_index} << net_iov_shift_, count << net_iov_shift_);
  return true;
}

void PagePool::AppendRun(uint64_t offset, uint32_t bytes) {
  if (window_count_ > 0) {
    Run& last = window_[window_first_ + window_count_ - 1];
    const bool joins = last.offset + last.bytes == offset;
    if (!joins || window_count_ > 1) behind_bytes_ += bytes;
    if (joins) {
      last.bytes += bytes;
      return;
    }
  }
  window_[window_first_ + window_count_] = Run{offset, bytes};
  ++window_count_;
}

void PagePool::CloseWindow() {
  for (uint32_t n = 0; n < window_count_; ++n) {
    const Run& run = window_[window_first_ + n];
    uint32_t index = static_cast<uint32_t>(run.offset >> net_iov_shift_);
    const uint32_t end = static_cast<uint32_t>((run.offset + run.bytes) >> net_iov_shift_);
    for (; index < end; ++index) {
      // What pieces touch becomes used; the rest was never more than posted, so the release that
      // PutIndex() counts needs a hold to stand against.
      ++stats_.hold;
      PutIndex(index);
    }
  }
  behind_bytes_ = 0;
  window_first_ = 0;
  window_count_ = 0;
  window_[0] = Run{};
}

}  // namespace devmem
