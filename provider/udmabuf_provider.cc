// SPDX-License-Identifier: Apache-2.0
// See udmabuf_provider.h.
#include "provider/udmabuf_provider.h"

#include <utility>

#include "absl/status/status.h"
#include "provider/allocate_checks.h"
#include "provider/limits.h"
#include "provider/memfd_file.h"
#include "provider/memfd_region.h"
#include "provider/udmabuf.h"

namespace devmem {

absl::StatusOr<std::string> UdmabufProvider::Probe() { return ProbeUdmabuf(calls_); }

absl::StatusOr<std::unique_ptr<Region>> UdmabufProvider::Allocate(const AllocateOptions& options) {
  if (options.kind != AttachmentKind::kPinned) {
    return RefuseKind(name(), options.kind,
                      "its dma-buf pins the pages, and importers in the kernel keep what they have "
                      "mapped");
  }
  // First the driver: without it the memory would be made for nothing.
  const absl::StatusOr<std::string> usable = ProbeUdmabuf(calls_);
  if (!usable.ok()) return usable.status();
  absl::Status fits = CheckUdmabufBytes(calls_, options.bytes);
  if (!fits.ok()) return fits;
  const uint64_t page_bytes = options.huge_pages ? kHugePageBytes : kSmallPageBytes;
  absl::StatusOr<UniqueFd> file = MakeMemfdFile(calls_, {.provider_name = name(),
                                                         .bytes = options.bytes,
                                                         .page_bytes = page_bytes,
                                                         .label = options.label});
  if (!file.ok()) return file.status();
  absl::StatusOr<UniqueFd> dmabuf = CreateUdmabuf(calls_, file->get(), 0, options.bytes);
  if (!dmabuf.ok()) return dmabuf.status();
  return std::make_unique<MemfdRegion>(RegionTraits{.provider_name = name(),
                                                    .label = options.label,
                                                    .size_bytes = options.bytes,
                                                    .page_bytes = page_bytes,
                                                    .attachment_kind = options.kind,
                                                    .policy = options.policy,
                                                    .fd = *std::move(dmabuf)},
                                       MemfdBacking{.file = *std::move(file)}, calls_);
}

}  // namespace devmem
