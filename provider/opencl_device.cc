// SPDX-License-Identifier: Apache-2.0
// See opencl_device.h.
#include "provider/opencl_device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "provider/limits.h"
#include "provider/opencl_kernels.h"

namespace devmem {
namespace {

template <typename Value>
Value Ask(const OpenClApi& api, ClDevice device, uint32_t what) {
  Value value = {};
  if (api.GetDeviceInfo(device, what, sizeof(value), &value, nullptr) != kClSuccess) return {};
  return value;
}

std::string AskText(const OpenClApi& api, ClDevice device, uint32_t what) {
  size_t bytes = 0;
  if (api.GetDeviceInfo(device, what, 0, nullptr, &bytes) != kClSuccess || bytes == 0) return "";
  std::string text(bytes, '\0');
  if (api.GetDeviceInfo(device, what, bytes, text.data(), nullptr) != kClSuccess) return "";
  text.resize(std::strlen(text.c_str()));  // The driver counts the terminator.
  return text;
}

std::string PlatformName(const OpenClApi& api, ClPlatform platform) {
  size_t bytes = 0;
  if (api.GetPlatformInfo(platform, kClPlatformName, 0, nullptr, &bytes) != kClSuccess) return "";
  std::string text(bytes + 1, '\0');
  (void)api.GetPlatformInfo(platform, kClPlatformName, bytes, text.data(), nullptr);
  text.resize(std::strlen(text.c_str()));
  return text;
}

// Two extensions tell the address; a device without either is on no PCI bus, or does not say.
std::string FindPciAddress(const OpenClApi& api, ClDevice device) {
  const std::string extensions = AskText(api, device, kClDeviceExtensions);
  ClPciBusInfo place = {};
  if (absl::StrContains(extensions, "cl_khr_pci_bus_info")) {
    place = Ask<ClPciBusInfo>(api, device, kClDevicePciBusInfo);
  } else if (absl::StrContains(extensions, "cl_nv_device_attribute_query")) {
    place.domain = Ask<uint32_t>(api, device, kClDevicePciDomainIdNv);
    place.bus = Ask<uint32_t>(api, device, kClDevicePciBusIdNv);
    // NVIDIA's slot holds the function in its three low bits, as configuration space does.
    const uint32_t slot = Ask<uint32_t>(api, device, kClDevicePciSlotIdNv);
    place.device = slot >> 3;
    place.function = slot & 7;
  } else {
    return "";
  }
  return absl::StrFormat("%04x:%02x:%02x.%x", place.domain, place.bus, place.device,
                         place.function);
}

DeviceClass ClassOf(uint64_t type) {
  if ((type & kClDeviceTypeGpu) != 0) return DeviceClass::kGpu;
  return (type & kClDeviceTypeCpu) != 0 ? DeviceClass::kProcessor : DeviceClass::kOther;
}

OpenClDeviceFacts FindFacts(const OpenClApi& api, ClPlatform platform, ClDevice device) {
  OpenClDeviceFacts facts;
  facts.platform = platform;
  facts.device = device;
  facts.platform_name = PlatformName(api, platform);
  facts.name = AskText(api, device, kClDeviceName);
  facts.pci_address = FindPciAddress(api, device);
  facts.memory_bytes = Ask<uint64_t>(api, device, kClDeviceGlobalMemSize);
  facts.buffer_bytes_max = Ask<uint64_t>(api, device, kClDeviceMaxMemAllocSize);
  facts.device_class = ClassOf(Ask<uint64_t>(api, device, kClDeviceType));
  facts.usable = Ask<uint32_t>(api, device, kClDeviceAvailable) != 0;
  facts.little_endian = Ask<uint32_t>(api, device, kClDeviceEndianLittle) != 0;
  return facts;
}

constexpr absl::string_view kInstallDriver =
    "install a device's driver (pocl-opencl-icd makes a device of the processor)";

std::string ListForPeople(const std::vector<OpenClDeviceFacts>& devices) {
  std::vector<std::string> lines;
  for (const OpenClDeviceFacts& facts : devices) {
    lines.push_back(absl::StrCat(lines.size(), " (", DescribeOpenClDevice(facts), ")"));
  }
  return absl::StrJoin(lines, ", ");
}

absl::StatusOr<OpenClDeviceFacts> ChooseFirst(const std::vector<OpenClDeviceFacts>& devices) {
  const OpenClDeviceFacts* chosen = nullptr;
  for (const OpenClDeviceFacts& facts : devices) {
    if (!facts.usable) continue;
    const bool better = chosen != nullptr && chosen->device_class == DeviceClass::kProcessor &&
                        facts.device_class != DeviceClass::kProcessor;
    if (chosen == nullptr || better) chosen = &facts;
  }
  if (chosen != nullptr) return *chosen;
  return absl::UnavailableError(absl::StrCat(
      "every device of OpenCL says that it is not available: ", ListForPeople(devices)));
}

bool Answers(const OpenClDeviceFacts& facts, size_t index, absl::string_view wanted) {
  size_t number = 0;
  if (absl::SimpleAtoi(wanted, &number)) return number == index;
  return facts.pci_address == wanted || absl::StrContains(facts.name, wanted);
}

}  // namespace

absl::StatusOr<std::vector<OpenClDeviceFacts>> ListOpenClDevices(const OpenClApi& api) {
  std::array<ClPlatform, kOpenClPlatformsMax> platforms = {};
  uint32_t platform_count = 0;
  const int32_t code = api.GetPlatformIDs(kOpenClPlatformsMax, platforms.data(), &platform_count);
  if (code != kClSuccess && code != kClPlatformNotFound) {
    return OpenClToStatus(code, "looking for the platforms of OpenCL");
  }
  if (code == kClPlatformNotFound || platform_count == 0) {
    return absl::UnavailableError(absl::StrCat("OpenCL has no platform here: ", kInstallDriver));
  }
  std::vector<OpenClDeviceFacts> found;
  for (ClPlatform platform :
       std::span(platforms).first(std::min(platform_count, kOpenClPlatformsMax))) {
    std::array<ClDevice, kOpenClDevicesMax> devices = {};
    uint32_t count = 0;
    // A platform without devices says so by an error; another one may have some.
    if (api.GetDeviceIDs(platform, kClDeviceTypeAll, kOpenClDevicesMax, devices.data(), &count) !=
        kClSuccess) {
      continue;
    }
    for (ClDevice device : std::span(devices).first(std::min(count, kOpenClDevicesMax))) {
      found.push_back(FindFacts(api, platform, device));
    }
  }
  if (!found.empty()) return found;
  return absl::UnavailableError(absl::StrCat("OpenCL has ", platform_count,
                                             " platforms here and no device: ", kInstallDriver));
}

absl::StatusOr<OpenClDeviceFacts> ChooseOpenClDevice(const std::vector<OpenClDeviceFacts>& devices,
                                                     absl::string_view wanted) {
  if (wanted.empty()) return ChooseFirst(devices);
  std::vector<size_t> found;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (Answers(devices[i], i, wanted)) found.push_back(i);
  }
  if (found.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", wanted, "\" names ", found.size(), " devices of OpenCL; name one by ",
                     "its index, its PCI address or a part of its name: ", ListForPeople(devices)));
  }
  const OpenClDeviceFacts& facts = devices[found.front()];
  if (facts.usable) return facts;
  return absl::UnavailableError(
      absl::StrCat("the device ", DescribeOpenClDevice(facts), " says that it is not available"));
}

std::string DescribeOpenClDevice(const OpenClDeviceFacts& facts) {
  const std::string place =
      facts.pci_address.empty() ? "" : absl::StrCat(" at ", facts.pci_address);
  return absl::StrCat(facts.platform_name, ", ", facts.name, place, ", ", facts.memory_bytes,
                      " bytes");
}

absl::StatusOr<std::shared_ptr<OpenClDevice>> OpenClDevice::Create(const OpenClApi& api,
                                                                   const OpenClDeviceFacts& facts) {
  const std::array<intptr_t, 3> properties = {kClContextPlatform,
                                              reinterpret_cast<intptr_t>(facts.platform), 0};
  int32_t code = kClSuccess;
  const ClContext context =
      api.CreateContext(properties.data(), 1, &facts.device, nullptr, nullptr, &code);
  if (code != kClSuccess) {
    return OpenClToStatus(code, absl::StrCat("a context on ", DescribeOpenClDevice(facts)));
  }
  return std::shared_ptr<OpenClDevice>(new OpenClDevice(api, facts, context));
}

absl::StatusOr<OpenClOwned<ClQueue>> OpenClDevice::CreateQueue() const {
  int32_t code = kClSuccess;
  const ClQueue queue = api_.CreateCommandQueue(context_.get(), facts_.device, 0, &code);
  if (code != kClSuccess) {
    return OpenClToStatus(code, absl::StrCat("a command queue on ", DescribeOpenClDevice(facts_)));
  }
  return OpenClOwned<ClQueue>(queue, api_.ReleaseCommandQueue);
}

absl::StatusOr<OpenClOwned<ClMem>> OpenClDevice::CreateBuffer(uint64_t bytes,
                                                              uint64_t flags) const {
  int32_t code = kClSuccess;
  const ClMem buffer = api_.CreateBuffer(context_.get(), flags, bytes, nullptr, &code);
  if (code != kClSuccess) {
    return OpenClToStatus(
        code, absl::StrCat("a buffer of ", bytes, " bytes on ", DescribeOpenClDevice(facts_)));
  }
  return OpenClOwned<ClMem>(buffer, api_.ReleaseMemObject);
}

absl::StatusOr<OpenClOwned<ClKernel>> OpenClDevice::CreateKernel(const char* name) {
  const std::lock_guard<std::mutex> lock(program_mutex_);
  if (program_.get() == nullptr) {
    absl::Status built = BuildProgramLocked();
    if (!built.ok()) return built;
  }
  int32_t code = kClSuccess;
  const ClKernel kernel = api_.CreateKernel(program_.get(), name, &code);
  if (code != kClSuccess) return OpenClToStatus(code, absl::StrCat("the kernel ", name));
  return OpenClOwned<ClKernel>(kernel, api_.ReleaseKernel);
}

absl::Status OpenClDevice::BuildProgramLocked() {
  const char* source = kOpenClKernels;
  int32_t code = kClSuccess;
  OpenClOwned<ClProgram> program(
      api_.CreateProgramWithSource(context_.get(), 1, &source, nullptr, &code),
      api_.ReleaseProgram);
  if (code != kClSuccess) return OpenClToStatus(code, "the program of devmem's kernels");
  code = api_.BuildProgram(program.get(), 1, &facts_.device, "", nullptr, nullptr);
  if (code != kClSuccess) return ExplainBuild(program.get(), code);
  program_ = std::move(program);
  return absl::OkStatus();
}

absl::Status OpenClDevice::ExplainBuild(ClProgram program, int32_t code) const {
  size_t bytes = 0;
  std::string log;
  if (api_.GetProgramBuildInfo(program, facts_.device, kClProgramBuildLog, 0, nullptr, &bytes) ==
      kClSuccess) {
    log.resize(bytes);
    (void)api_.GetProgramBuildInfo(program, facts_.device, kClProgramBuildLog, bytes, log.data(),
                                   nullptr);
    log.resize(std::min(std::strlen(log.c_str()), kOpenClBuildLogBytesMax));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the compiler of ", DescribeOpenClDevice(facts_), " does not build devmem's ",
                   "kernels: ", OpenClErrorName(code), "; it says: ", log));
}

}  // namespace devmem
