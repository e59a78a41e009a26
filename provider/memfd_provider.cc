// SPDX-License-Identifier: Apache-2.0
// See memfd_provider.h.
#include "provider/memfd_provider.h"

#include <linux/memfd.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/allocate_checks.h"
#include "provider/limits.h"
#include "provider/memfd_file.h"
#include "provider/memfd_region.h"
#include "provider/movable_region.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

absl::StatusOr<std::unique_ptr<Region>> AllocateMovable(RegionTraits traits) {
  if (traits.page_bytes == kSmallPageBytes) return MakeMovableRegion(std::move(traits), 0);
  return absl::FailedPreconditionError(
      "memory of huge pages does not move here: ask for small pages, or for a kind that is pinned");
}

}  // namespace

absl::StatusOr<std::string> MemfdProvider::Probe() {
  const UniqueFd fd(::memfd_create("devmem probe", MFD_ALLOW_SEALING | MFD_CLOEXEC));
  if (fd.valid()) return absl::StrCat("host memory, ", MachineBytes(), " bytes in this machine");
  const int err = errno;
  return ErrnoToStatus(err, "memfd_create, which needs Linux 3.17 or later, is refused");
}

absl::StatusOr<std::unique_ptr<Region>> MemfdProvider::Allocate(const AllocateOptions& options) {
  RegionTraits traits{.provider_name = name(),
                      .label = options.label,
                      .size_bytes = options.bytes,
                      .page_bytes = options.huge_pages ? kHugePageBytes : kSmallPageBytes,
                      .attachment_kind = options.kind,
                      .policy = options.policy,
                      .fd = {}};
  const MemfdRequest request{.provider_name = name(),
                             .bytes = options.bytes,
                             .page_bytes = traits.page_bytes,
                             .label = options.label};
  absl::Status good = CheckMemfdRequest(request);
  if (!good.ok()) return good;
  if (options.kind == AttachmentKind::kMayMove) return AllocateMovable(std::move(traits));
  absl::StatusOr<UniqueFd> file = MakeMemfdFile(calls_, request);
  if (!file.ok()) return file.status();
  return MakeMemfdRegion(std::move(traits), *std::move(file), calls_);
}

}  // namespace devmem
