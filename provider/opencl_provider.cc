// SPDX-License-Identifier: Apache-2.0
// See opencl_provider.h.
#include "provider/opencl_provider.h"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/limits.h"
#include "provider/opencl_region.h"

namespace devmem {
namespace {

absl::Status CheckOptions(const AllocateOptions& options) {
  const std::string refused =
      absl::StrCat("an opencl region of ", options.bytes, " bytes is refused: ");
  if (options.kind == AttachmentKind::kMayMove) {
    return absl::FailedPreconditionError(absl::StrCat(
        refused, "OpenCL does not say when a buffer moves; ask for pinned or revocable memory"));
  }
  if (options.huge_pages) {
    return absl::FailedPreconditionError(absl::StrCat(
        refused, "the pages of a device's memory are its driver's; ask without huge pages"));
  }
  if (options.bytes > kRegionBytesMax) {
    return absl::OutOfRangeError(
        absl::StrCat(refused, "the most is ", kRegionBytesMax, " bytes; ask for less"));
  }
  if (options.bytes == 0 || options.bytes % kSmallPageBytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        refused, "the size must be a positive multiple of the page size, ", kSmallPageBytes,
        " bytes; ask for ", (options.bytes / kSmallPageBytes + 1) * kSmallPageBytes));
  }
  if (options.label.size() > kRegionLabelBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("a region's label of ", options.label.size(),
                                                   " bytes is refused: the most ", "is ",
                                                   kRegionLabelBytesMax, " bytes; shorten it"));
  }
  return absl::OkStatus();
}

absl::Status CheckRoom(uint64_t bytes, const OpenClDeviceFacts& facts) {
  const std::string refused = absl::StrCat("an opencl region of ", bytes,
                                           " bytes is refused: ", DescribeOpenClDevice(facts));
  if (bytes > facts.memory_bytes) {
    return absl::OutOfRangeError(absl::StrCat(refused, " has no more; ask for less"));
  }
  if (bytes > facts.buffer_bytes_max) {
    return absl::OutOfRangeError(absl::StrCat(refused, " allows ", facts.buffer_bytes_max,
                                              " bytes for one buffer; ask for several regions"));
  }
  return absl::OkStatus();
}

// Zeroes the whole buffer and waits: most drivers take the memory itself only now.
absl::Status ZeroBuffer(const OpenClDevice& device, ClMem buffer, uint64_t bytes) {
  const absl::StatusOr<OpenClOwned<ClQueue>> queue = device.CreateQueue();
  if (!queue.ok()) return queue.status();
  constexpr std::array<uint8_t, 16> kZeroes = {};
  const OpenClApi& api = device.api();
  ClEvent event = nullptr;
  int32_t code = api.EnqueueFillBuffer(queue->get(), buffer, kZeroes.data(), kZeroes.size(), 0,
                                       bytes, 0, nullptr, &event);
  const OpenClOwned<ClEvent> filled(event, api.ReleaseEvent);
  if (code == kClSuccess) code = api.WaitForEvents(1, &event);
  if (code == kClSuccess) return absl::OkStatus();
  return OpenClToStatus(code, absl::StrCat("zeroing a buffer of ", bytes, " bytes on ",
                                           DescribeOpenClDevice(device.facts())));
}

}  // namespace

absl::StatusOr<std::string> OpenClProvider::Probe() {
  const absl::StatusOr<std::vector<OpenClDeviceFacts>> devices = List();
  if (!devices.ok()) return devices.status();
  // Whether any of them can be used at all.
  const absl::Status usable = ChooseOpenClDevice(*devices, "").status();
  if (!usable.ok()) return usable;
  return absl::StrJoin(*devices, "; ", [](std::string* out, const OpenClDeviceFacts& facts) {
    absl::StrAppend(out, DescribeOpenClDevice(facts));
  });
}

std::vector<ProviderDevice> OpenClProvider::Devices() {
  const absl::StatusOr<std::vector<OpenClDeviceFacts>> found = List();
  std::vector<ProviderDevice> devices;
  for (size_t i = 0; found.ok() && i < found->size(); ++i) {
    const OpenClDeviceFacts& facts = (*found)[i];
    if (!facts.usable) continue;
    devices.push_back({absl::StrCat(i), absl::StrCat(facts.platform_name, ", ", facts.name),
                       facts.pci_address, facts.device_class});
  }
  return devices;
}

absl::StatusOr<std::vector<OpenClDeviceFacts>> OpenClProvider::List() {
  const absl::StatusOr<const OpenClApi*> api = OpenClApi::Load(library_);
  if (!api.ok()) return api.status();
  return ListOpenClDevices(**api);
}

absl::StatusOr<std::unique_ptr<Region>> OpenClProvider::Allocate(const AllocateOptions& options) {
  absl::Status checked = CheckOptions(options);
  if (!checked.ok()) return checked;
  absl::StatusOr<std::shared_ptr<OpenClDevice>> device = OpenDevice(options.device);
  if (!device.ok()) return device.status();
  checked = CheckRoom(options.bytes, (*device)->facts());
  if (!checked.ok()) return checked;
  absl::StatusOr<OpenClOwned<ClMem>> buffer =
      (*device)->CreateBuffer(options.bytes, kClMemReadWrite);
  if (!buffer.ok()) return buffer.status();
  absl::Status zeroed = ZeroBuffer(**device, buffer->get(), options.bytes);
  if (!zeroed.ok()) return zeroed;

  RegionTraits traits{.provider_name = name(),
                      .label = options.label,
                      .size_bytes = options.bytes,
                      .page_bytes = kSmallPageBytes,
                      .attachment_kind = options.kind,
                      .policy = options.policy,
                      .fd = UniqueFd(),
                      .local_because = "OpenCL names a buffer inside of one process only",
                      .cpu_visible = false};
  return std::make_unique<OpenClRegion>(std::move(traits), *std::move(device), *std::move(buffer));
}

absl::StatusOr<std::shared_ptr<OpenClDevice>> OpenClProvider::OpenDevice(
    const std::string& wanted) {
  const absl::StatusOr<const OpenClApi*> api = OpenClApi::Load(library_);
  if (!api.ok()) return api.status();
  const absl::StatusOr<std::vector<OpenClDeviceFacts>> devices = ListOpenClDevices(**api);
  if (!devices.ok()) return devices.status();
  const absl::StatusOr<OpenClDeviceFacts> facts = ChooseOpenClDevice(*devices, wanted);
  if (!facts.ok()) return facts.status();

  const std::lock_guard<std::mutex> lock(devices_mutex_);
  std::weak_ptr<OpenClDevice>& known = devices_[facts->device];
  const std::shared_ptr<OpenClDevice> open = known.lock();
  if (open != nullptr && !open->lost()) return open;
  absl::StatusOr<std::shared_ptr<OpenClDevice>> fresh = OpenClDevice::Create(**api, *facts);
  if (fresh.ok()) known = *fresh;
  return fresh;
}

}  // namespace devmem
