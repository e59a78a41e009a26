// SPDX-License-Identifier: Apache-2.0
// See dma_heap_provider.h.
#include "provider/dma_heap_provider.h"

#include <fcntl.h>
#include <linux/dma-heap.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/allocate_checks.h"
#include "provider/dmabuf_region.h"
#include "provider/limits.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr char kFolder[] = "/dev/dma_heap";
constexpr char kDefaultHeap[] = "system";

absl::Status NoHeaps() {
  return absl::UnavailableError(absl::StrCat("there is no heap in ", kFolder,
                                             ": use a kernel with CONFIG_DMABUF_HEAPS and ",
                                             "CONFIG_DMABUF_HEAPS_SYSTEM"));
}

absl::StatusOr<UniqueFd> OpenHeap(const SystemCalls& calls, const std::string& heap) {
  const std::vector<std::string> heaps = calls.ListFolder(kFolder);
  if (heaps.empty()) return NoHeaps();
  // Compared and not opened by its name, so that no name leaves the folder.
  if (std::find(heaps.begin(), heaps.end(), heap) == heaps.end()) {
    return absl::UnavailableError(absl::StrCat("there is no heap \"", heap, "\" in ", kFolder,
                                               "; choose one of: ", absl::StrJoin(heaps, ", ")));
  }
  const std::string path = absl::StrCat(kFolder, "/", heap);
  UniqueFd fd = calls.Open(path, O_RDONLY);
  if (fd.valid()) return fd;
  const int err = errno;
  if (err != EACCES && err != EPERM) return ErrnoToStatus(err, absl::StrCat("opening ", path));
  return absl::PermissionDeniedError(absl::StrCat(
      "no right to open ", path, ", which is root's as a rule; run as root, or have root run ",
      "`chgrp GROUP ", path, "` and `chmod g+r ", path, "`"));
}

}  // namespace

absl::StatusOr<std::string> DmaHeapProvider::Probe() {
  const std::vector<std::string> heaps = calls_.ListFolder(kFolder);
  if (heaps.empty()) return NoHeaps();
  std::vector<std::string> usable;
  absl::Status first_refusal;
  for (const std::string& heap : heaps) {
    const absl::Status opened = OpenHeap(calls_, heap).status();
    if (opened.ok()) {
      usable.push_back(heap);
    } else {
      first_refusal.Update(opened);
    }
  }
  if (usable.empty()) return first_refusal;
  return absl::StrCat("heaps in ", kFolder, ": ", absl::StrJoin(usable, ", "));
}

std::vector<ProviderDevice> DmaHeapProvider::Devices() {
  std::vector<ProviderDevice> devices;
  for (const std::string& heap : calls_.ListFolder(kFolder)) {
    if (!OpenHeap(calls_, heap).ok()) continue;
    devices.push_back({.name = heap,
                       .description = absl::StrCat("heap ", kFolder, "/", heap),
                       .pci_address = {},
                       .device_class = DeviceClass::kOther});
  }
  return devices;
}

absl::StatusOr<std::unique_ptr<Region>> DmaHeapProvider::Allocate(const AllocateOptions& options) {
  if (options.kind != AttachmentKind::kPinned) {
    return RefuseKind(name(), options.kind,
                      "importers in the kernel keep what they have mapped of its dma-buf");
  }
  if (options.huge_pages) {
    return absl::FailedPreconditionError(
        "a dma-heap region cannot be asked to be of huge pages: the heap chooses its pages; leave "
        "huge_pages out, or allocate from the provider hugetlb");
  }
  absl::Status good = CheckRegionBytes(
      options.bytes,
      {.provider_name = name(), .page_bytes = kSmallPageBytes, .available_bytes = MachineBytes()});
  if (good.ok()) good = CheckRegionLabel(options.label);
  if (!good.ok()) return good;
  const std::string heap = options.device.empty() ? kDefaultHeap : options.device;
  const absl::StatusOr<UniqueFd> device = OpenHeap(calls_, heap);
  if (!device.ok()) return device.status();

  struct dma_heap_allocation_data request = {};
  request.len = options.bytes;
  request.fd_flags = O_RDWR | O_CLOEXEC;
  if (calls_.Ioctl(device->get(), DMA_HEAP_IOCTL_ALLOC, &request) != 0) {
    const int err = errno;
    return ErrnoToStatus(err,
                         absl::StrCat("allocating ", options.bytes, " bytes from the heap ", heap));
  }
  return MakeDmabufRegion(RegionTraits{.provider_name = name(),
                                       .label = options.label,
                                       .size_bytes = options.bytes,
                                       .page_bytes = kSmallPageBytes,
                                       .policy = options.policy,
                                       .fd = UniqueFd(static_cast<int>(request.fd))},
                          {.dmabuf_bytes = options.bytes,
                           .residence = absl::StrCat("heap ", heap, ", which never moves it")},
                          calls_);
}

}  // namespace devmem
