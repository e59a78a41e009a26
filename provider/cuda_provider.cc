// SPDX-License-Identifier: Apache-2.0
// See cuda_provider.h.
#include "provider/cuda_provider.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/allocate_checks.h"
#include "provider/cuda_api.h"
#include "provider/cuda_device.h"
#include "provider/cuda_memory.h"
#include "provider/cuda_region.h"
#include "provider/limits.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

uint64_t PageBytes(const AllocateOptions& options) {
  return options.huge_pages ? kHugePageBytes : kSmallPageBytes;
}

// All that can be said of a request before a device is touched.
absl::Status CheckRequest(const AllocateOptions& options, const CudaDeviceInfo& info) {
  absl::Status checked = CheckRegionBytes(options.bytes, {.provider_name = "cuda",
                                                          .page_bytes = PageBytes(options),
                                                          .available_bytes = info.memory_bytes,
                                                          .where = Describe(info)});
  if (checked.ok()) checked = CheckRegionLabel(options.label);
  if (checked.ok() && options.kind == AttachmentKind::kMayMove) {
    return RefuseKind("cuda", options.kind,
                      "the driver keeps it where it is, and an application's kernels hold its "
                      "address");
  }
  return checked;
}

std::unique_ptr<Region> MakeRegion(const AllocateOptions& options,
                                   std::shared_ptr<CudaMemory> memory, UniqueFd fd) {
  RegionTraits traits = {.provider_name = "cuda",
                         .label = options.label,
                         .size_bytes = options.bytes,
                         .page_bytes = PageBytes(options),
                         .attachment_kind = options.kind,
                         .policy = options.policy,
                         .fd = std::move(fd),
                         .local_because = memory->local_because(),
                         .cpu_visible = false};
  return std::make_unique<CudaRegion>(std::move(traits), std::move(memory));
}

struct Chosen {
  const CudaApi* api = nullptr;
  CudaDeviceInfo info;
};

absl::StatusOr<Chosen> Choose(const std::string& library, const std::string& selector) {
  const absl::StatusOr<const CudaApi*> api = CudaApi::Load(library);
  if (!api.ok()) return api.status();
  const absl::StatusOr<std::vector<CudaDeviceInfo>> devices = ListCudaDevices(**api);
  if (!devices.ok()) return devices.status();
  absl::StatusOr<CudaDeviceInfo> info = ChooseCudaDevice(*devices, selector);
  if (!info.ok()) return info.status();
  return Chosen{*api, *std::move(info)};
}

// kFailedPrecondition when the memory lies on another GPU.
absl::StatusOr<std::shared_ptr<CudaMemory>> ImportOn(const Chosen& chosen, int fd,
                                                     const AllocateOptions& options) {
  absl::Status checked = CheckRequest(options, chosen.info);
  if (!checked.ok()) return checked;
  absl::StatusOr<std::shared_ptr<CudaDevice>> device = CudaDevice::Open(*chosen.api, chosen.info);
  if (!device.ok()) return device.status();
  return CudaMemory::Import(*std::move(device), fd, options.bytes);
}

}  // namespace

absl::StatusOr<std::string> CudaProvider::Probe() {
  const absl::StatusOr<Chosen> chosen = Choose(library_, {});
  if (!chosen.ok()) return chosen.status();
  const CudaDeviceInfo& info = chosen->info;
  const int version = chosen->api->driver_version();
  const bool dmabuf = info.dmabuf && chosen->api->MemGetHandleForAddressRange != nullptr;
  return absl::StrCat(info.name, " (GPU ", info.ordinal, ", ", info.pci_address, "), ",
                      info.memory_bytes, " bytes, driver of CUDA ", version / 1000, ".",
                      version % 1000 / 10, "; file handles: ", info.file_handles ? "yes" : "no",
                      ", dma-bufs: ", dmabuf ? "yes" : "no");
}

std::vector<ProviderDevice> CudaProvider::Devices() {
  std::vector<ProviderDevice> found;
  const absl::StatusOr<const CudaApi*> api = CudaApi::Load(library_);
  if (!api.ok()) return found;
  const absl::StatusOr<std::vector<CudaDeviceInfo>> devices = ListCudaDevices(**api);
  if (!devices.ok()) return found;
  for (const CudaDeviceInfo& info : *devices) {
    if (!info.virtual_memory) continue;
    found.push_back({.name = absl::StrCat(info.ordinal),
                     .description = info.name,
                     .pci_address = info.pci_address,
                     .device_class = DeviceClass::kGpu});
  }
  return found;
}

absl::StatusOr<std::unique_ptr<Region>> CudaProvider::Allocate(const AllocateOptions& options) {
  const absl::StatusOr<Chosen> chosen = Choose(library_, options.device);
  if (!chosen.ok()) return chosen.status();
  absl::Status checked = CheckRequest(options, chosen->info);
  if (!checked.ok()) return checked;
  absl::StatusOr<std::shared_ptr<CudaDevice>> device = CudaDevice::Open(*chosen->api, chosen->info);
  if (!device.ok()) return device.status();
  absl::StatusOr<std::shared_ptr<CudaMemory>> memory =
      CudaMemory::Create(*std::move(device), options.bytes);
  if (!memory.ok()) return memory.status();
  UniqueFd handle = (*memory)->TakeHandle();
  return MakeRegion(options, *std::move(memory), std::move(handle));
}

absl::StatusOr<std::unique_ptr<Region>> CudaProvider::ImportShared(int fd,
                                                                   const AllocateOptions& options) {
  UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("importing CUDA memory from descriptor ", fd));
  }
  const absl::StatusOr<Chosen> chosen = Choose(library_, options.device);
  if (!chosen.ok()) return chosen.status();
  absl::StatusOr<std::shared_ptr<CudaMemory>> memory = ImportOn(*chosen, own.get(), options);
  if (options.device.empty() && absl::IsFailedPrecondition(memory.status())) {
    const absl::StatusOr<std::vector<CudaDeviceInfo>> devices = ListCudaDevices(*chosen->api);
    if (!devices.ok()) return devices.status();
    for (const CudaDeviceInfo& info : *devices) {
      if (!info.virtual_memory || info.ordinal == chosen->info.ordinal) continue;
      memory = ImportOn({chosen->api, info}, own.get(), options);
      if (!absl::IsFailedPrecondition(memory.status())) break;
    }
  }
  if (!memory.ok()) return memory.status();
  return MakeRegion(options, *std::move(memory), std::move(own));
}

}  // namespace devmem
