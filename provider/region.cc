// SPDX-License-Identifier: Apache-2.0
// See region.h.
#include "provider/region.h"

#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/dma_engine.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// Regions may be allocated on several threads; the counter orders nothing else, so relaxed is
// enough.
uint32_t NextRegionId() {
  static std::atomic<uint32_t> last_id{0};
  return last_id.fetch_add(1, std::memory_order_relaxed) + 1;
}

std::string DescribeTraits(uint32_t id, const RegionTraits& traits) {
  const std::string quoted = traits.label.empty() ? "" : absl::StrCat(" \"", traits.label, "\"");
  return absl::StrCat("region ", id, " (", traits.provider_name, quoted, ", ", traits.size_bytes,
                      " bytes, pages of ", traits.page_bytes, " bytes)");
}

}  // namespace

Region::Region(RegionTraits traits)
    : id_(NextRegionId()),
      traits_(std::move(traits)),
      life_(std::make_shared<RegionLife>(DescribeTraits(id_, traits_))) {}

Region::~Region() = default;

std::string Region::Describe() const { return DescribeTraits(id_, traits_); }

absl::StatusOr<UniqueFd> Region::ShareHandle() const {
  absl::Status usable = status();
  if (!usable.ok()) return usable;
  if (fd() < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(Describe(), " has no handle that could be passed on: ", traits_.local_because,
                     "; use it in this process"));
  }
  UniqueFd handle(::fcntl(fd(), F_DUPFD_CLOEXEC, 0));
  if (handle.valid()) return handle;
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("duplicating the handle of ", Describe()));
}

absl::StatusOr<UniqueFd> Region::ExportDmabuf(uint64_t /*offset*/, uint64_t /*bytes*/) const {
  return absl::FailedPreconditionError(
      absl::StrCat(Describe(), " cannot be exported as a dma-buf; allocate pinned memory from ",
                   "memfd, udmabuf or dma-heap"));
}

absl::StatusOr<Residence> Region::FindResidence() const {
  return absl::UnimplementedError(
      absl::StrCat("where the bytes of ", Describe(), " lie cannot be asked here"));
}

absl::Status Region::Remove(const std::string& reason, std::chrono::nanoseconds patience) {
  life_->BeginRemoval(reason);
  if (life_->WaitForUsers(patience)) {
    life_->Revoke(reason);
    return absl::OkStatus();
  }
  const size_t users = life_->user_count();
  life_->Revoke(reason);
  return absl::DeadlineExceededError(
      absl::StrCat(Describe(), " still had ", users,
                   " users when its exporter's patience had run out; they were revoked"));
}

absl::Status Region::Move(std::chrono::nanoseconds /*pin_patience*/) {
  return absl::FailedPreconditionError(
      absl::StrCat(Describe(), " does not move: it was not allocated as memory that may"));
}

absl::Status Region::Evict(uint64_t /*offset*/, uint64_t /*bytes*/,
                           std::chrono::nanoseconds /*pin_patience*/) {
  return absl::FailedPreconditionError(
      absl::StrCat(Describe(), " cannot be evicted: it was not allocated as memory that may move"));
}

absl::StatusOr<std::unique_ptr<DmaEngine>> Region::CreateDmaEngine(DmaMapping& /*staging*/) const {
  return absl::FailedPreconditionError(absl::StrCat(Describe(), " has no DMA engine"));
}

}  // namespace devmem
