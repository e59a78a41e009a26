// SPDX-License-Identifier: Apache-2.0
// See hugetlb_provider.h.
#include "provider/hugetlb_provider.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/allocate_checks.h"
#include "provider/huge_pages.h"
#include "provider/limits.h"
#include "provider/memfd_file.h"
#include "provider/memfd_region.h"

namespace devmem {
namespace {

absl::StatusOr<uint64_t> PageBytesOf(const std::string& device) {
  if (device.empty() || device == "2MiB") return kHugePageBytes;
  if (device == "1GiB") return kGiantPageBytes;
  return absl::InvalidArgumentError(
      absl::StrCat("hugetlb has no device \"", device, "\": pages are of 2MiB or of 1GiB"));
}

}  // namespace

absl::StatusOr<std::string> HugetlbProvider::Probe() {
  const HugePageCount huge = CountHugePages(calls_, kHugePageBytes);
  const HugePageCount giant = CountHugePages(calls_, kGiantPageBytes);
  if (!huge.supported && !giant.supported) {
    return absl::UnavailableError(
        "this kernel has no huge pages: there is no /sys/kernel/mm/hugepages; it needs "
        "CONFIG_HUGETLBFS and a processor that has such pages");
  }
  const std::string found =
      absl::StrCat(huge.free, " of ", huge.total, " pages of 2 MiB and ", giant.free, " of ",
                   giant.total, " pages of 1 GiB are free");
  if (huge.free + giant.free > 0) return found;
  return absl::FailedPreconditionError(absl::StrCat(found, "; as root run `",
                                                    HugePageRemedy(kHugePageBytes, huge.total + 32),
                                                    "` for 64 MiB more"));
}

absl::StatusOr<std::unique_ptr<Region>> HugetlbProvider::Allocate(const AllocateOptions& options) {
  if (options.kind == AttachmentKind::kMayMove) {
    return RefuseKind(name(), options.kind, "huge pages stay where the kernel made them");
  }
  const absl::StatusOr<uint64_t> page_bytes = PageBytesOf(options.device);
  if (!page_bytes.ok()) return page_bytes.status();
  absl::StatusOr<UniqueFd> file = MakeMemfdFile(calls_, {.provider_name = name(),
                                                         .bytes = options.bytes,
                                                         .page_bytes = *page_bytes,
                                                         .label = options.label});
  if (!file.ok()) return file.status();
  return MakeMemfdRegion({.provider_name = name(),
                          .label = options.label,
                          .size_bytes = options.bytes,
                          .page_bytes = *page_bytes,
                          .attachment_kind = options.kind,
                          .policy = options.policy,
                          .fd = {}},
                         *std::move(file), calls_);
}

}  // namespace devmem
