// SPDX-License-Identifier: Apache-2.0
//
// Maps once, announces each copy.

#include "uapi/read_back.h"

#include <fcntl.h>

#include <cerrno>

#include "provider/posix_error.h"

namespace devmem {

absl::StatusOr<ReadBack> ReadBack::Open(const Region& region, uint64_t offset, int dmabuf,
                                        const SystemCalls& calls) {
  ReadBack made;
  if (!region.cpu_visible()) return made;
  absl::StatusOr<RegionView> view = RegionView::Map(region);
  if (!view.ok()) return view.status();
  made.view_.emplace(*std::move(view));
  made.offset_ = offset;
  made.calls_ = &calls;
  if (dmabuf < 0) return made;
  made.dmabuf_ = UniqueFd(::fcntl(dmabuf, F_DUPFD_CLOEXEC, 0));
  if (made.dmabuf_.valid()) return made;
  const int err = errno;
  return ErrnoToStatus(err, "keeping the dma-buf of a binding for Read()");
}

absl::StatusOr<ReadBack::Copy> ReadBack::Begin() const {
  if (!view_.has_value()) {
    return absl::FailedPreconditionError(
        "the processor cannot map the binding's memory, so Read() cannot copy from it: use Recv(), "
        "and the device");
  }
  Copy copy;
  copy.bytes_ = view_->bytes().subspan(offset_);
  if (!dmabuf_.valid()) return copy;
  absl::StatusOr<DmabufAccess> access =
      DmabufAccess::Begin(*calls_, dmabuf_.get(), MapAccess::kReadOnly);
  if (!access.ok()) return access.status();
  copy.access_.emplace(*std::move(access));
  return copy;
}

}  // namespace devmem
