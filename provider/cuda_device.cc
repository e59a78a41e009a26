// SPDX-License-Identifier: Apache-2.0
// See cuda_device.h.
#include "provider/cuda_device.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace devmem {
namespace {

// As nvidia-smi prints it: GPU-8f1d5c2e-....
std::string UuidText(const CUuuid& uuid) {
  const std::string hex = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(uuid.bytes), sizeof(uuid.bytes)));
  return absl::StrCat("GPU-", hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

// A driver that does not know an attribute has not the ability either.
bool Has(const CudaApi& api, CUdevice_attribute attribute, CUdevice device) {
  int value = 0;
  return api.DeviceGetAttribute(&value, attribute, device) == CUDA_SUCCESS && value != 0;
}

absl::StatusOr<CudaDeviceInfo> Ask(const CudaApi& api, int ordinal) {
  CUdevice device = 0;
  size_t bytes = 0;
  std::array<char, 128> name = {};
  CUresult result = api.DeviceGet(&device, ordinal);
  if (result == CUDA_SUCCESS) result = api.DeviceTotalMem(&bytes, device);
  if (result == CUDA_SUCCESS) {
    result = api.DeviceGetName(name.data(), static_cast<int>(name.size()), device);
  }
  if (result != CUDA_SUCCESS) return api.ToStatus(result, absl::StrCat("asking GPU ", ordinal));

  CudaDeviceInfo info;
  info.ordinal = ordinal;
  info.name = name.data();
  info.memory_bytes = bytes;
  CUuuid uuid = {};
  if (api.DeviceGetUuid(&uuid, device) == CUDA_SUCCESS) info.uuid = UuidText(uuid);
  std::array<char, 32> address = {};
  if (api.DeviceGetPCIBusId(address.data(), static_cast<int>(address.size()), device) ==
      CUDA_SUCCESS) {
    info.pci_address = absl::AsciiStrToLower(address.data());
  }
  (void)api.DeviceGetAttribute(&info.capability_major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                               device);
  (void)api.DeviceGetAttribute(&info.capability_minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                               device);
  info.virtual_memory = Has(api, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device);
  info.file_handles =
      Has(api, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, device);
  info.dmabuf = Has(api, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, device);
  info.peer_dma = Has(api, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, device);
  return info;
}

bool IsNamedBy(const CudaDeviceInfo& info, absl::string_view selector) {
  int ordinal = 0;
  const bool digits = selector.find_first_not_of("0123456789") == absl::string_view::npos;
  // A UUID is at least eight digits up to its first dash, and nobody has so many GPUs.
  if (digits && selector.size() < 8) {
    return absl::SimpleAtoi(selector, &ordinal) && ordinal == info.ordinal;
  }
  const std::string wanted = absl::AsciiStrToLower(selector);
  if (absl::StrContains(wanted, ":")) {
    return info.pci_address == wanted || info.pci_address == absl::StrCat("0000:", wanted);
  }
  const absl::string_view uuid = absl::StripPrefix(info.uuid, "GPU-");
  return absl::StartsWith(uuid, absl::StripPrefix(wanted, "gpu-"));
}

std::string ListOf(const std::vector<CudaDeviceInfo>& devices) {
  return absl::StrJoin(devices, ", ", [](std::string* out, const CudaDeviceInfo& info) {
    absl::StrAppend(out, Describe(info), " ", info.uuid);
  });
}

absl::Status LacksVirtualMemory(const std::string& who) {
  return absl::FailedPreconditionError(absl::StrCat(
      who, " lacks virtual memory management, of which regions are made; use a GPU of ",
      "the Pascal generation or later whose driver is not in a mode that lacks it"));
}

}  // namespace

std::string Describe(const CudaDeviceInfo& info) {
  return absl::StrCat("GPU ", info.ordinal, " (", info.name, ", ", info.pci_address, ")");
}

absl::StatusOr<std::vector<CudaDeviceInfo>> ListCudaDevices(const CudaApi& api) {
  int count = 0;
  const CUresult counted = api.DeviceGetCount(&count);
  if (counted != CUDA_SUCCESS) return api.ToStatus(counted, "cuDeviceGetCount");
  if (count == 0) {
    return absl::UnavailableError(
        "the NVIDIA driver finds no GPU; look at nvidia-smi and at CUDA_VISIBLE_DEVICES");
  }
  std::vector<CudaDeviceInfo> devices;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    absl::StatusOr<CudaDeviceInfo> info = Ask(api, ordinal);
    if (!info.ok()) return info.status();
    devices.push_back(*std::move(info));
  }
  return devices;
}

absl::StatusOr<CudaDeviceInfo> ChooseCudaDevice(const std::vector<CudaDeviceInfo>& devices,
                                                absl::string_view selector) {
  if (selector.empty()) {
    const auto usable =
        std::find_if(devices.begin(), devices.end(),
                     [](const CudaDeviceInfo& info) { return info.virtual_memory; });
    if (usable != devices.end()) return *usable;
    return LacksVirtualMemory(absl::StrCat("every GPU here (", ListOf(devices), ")"));
  }
  const CudaDeviceInfo* chosen = nullptr;
  for (const CudaDeviceInfo& info : devices) {
    if (!IsNamedBy(info, selector)) continue;
    if (chosen != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", selector, "\" names several GPUs: ", Describe(*chosen), " and ",
                       Describe(info), "; write more of the UUID"));
    }
    chosen = &info;
  }
  if (chosen == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("there is no GPU \"", selector,
                     "\"; name one by index, PCI address or UUID: ", ListOf(devices)));
  }
  if (!chosen->virtual_memory) return LacksVirtualMemory(Describe(*chosen));
  return *chosen;
}

absl::StatusOr<std::shared_ptr<CudaDevice>> CudaDevice::Open(const CudaApi& api,
                                                             const CudaDeviceInfo& info) {
  static std::mutex mutex;
  static std::map<std::pair<const CudaApi*, int>, std::weak_ptr<CudaDevice>> opened;
  const std::lock_guard<std::mutex> lock(mutex);
  std::weak_ptr<CudaDevice>& slot = opened[{&api, info.ordinal}];
  if (std::shared_ptr<CudaDevice> device = slot.lock()) {
    if (!device->lost()) return device;
    return absl::AbortedError(absl::StrCat(
        Describe(info), " was lost; the driver gives it to new processes only: start again"));
  }
  CUdevice number = 0;
  CUcontext context = nullptr;
  CUresult result = api.DeviceGet(&number, info.ordinal);
  if (result == CUDA_SUCCESS) result = api.DevicePrimaryCtxRetain(&context, number);
  if (result != CUDA_SUCCESS) {
    return api.ToStatus(result, absl::StrCat("retaining the context of ", Describe(info)));
  }
  std::shared_ptr<CudaDevice> device(new CudaDevice(api, info, context));
  slot = device;
  return device;
}

CudaDevice::~CudaDevice() {
  CUdevice number = 0;
  // A device that was lost, or a process that ends, refuses; then nothing is left to release.
  if (api_.DeviceGet(&number, info_.ordinal) == CUDA_SUCCESS) {
    (void)api_.DevicePrimaryCtxRelease(number);
  }
}

void CudaDevice::Watch(const std::shared_ptr<RegionLife>& life) {
  const std::lock_guard<std::mutex> lock(mutex_);
  lives_.erase(std::remove_if(lives_.begin(), lives_.end(),
                              [](const auto& watched) { return watched.expired(); }),
               lives_.end());
  lives_.push_back(life);
}

void CudaDevice::ReportError(CUresult result) {
  if (!TakesTheDevice(result)) return;
  lost_.store(true, std::memory_order_release);
  std::vector<std::shared_ptr<RegionLife>> lives;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const std::weak_ptr<RegionLife>& watched : lives_) {
      if (std::shared_ptr<RegionLife> life = watched.lock()) lives.push_back(std::move(life));
    }
  }
  const std::string reason = absl::StrCat("device lost: ", api_.ErrorName(result));
  for (const std::shared_ptr<RegionLife>& life : lives) life->Revoke(reason);
}

}  // namespace devmem
