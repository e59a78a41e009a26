// SPDX-License-Identifier: Apache-2.0
// See p2pmem_provider.h.
#include "provider/p2pmem_provider.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/allocate_checks.h"
#include "provider/limits.h"
#include "provider/mapped_memory.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr char kDevices[] = "/sys/bus/pci/devices";

std::string FileOf(const std::string& device, absl::string_view file) {
  return absl::StrCat(kDevices, "/", device, "/p2pmem/", file);
}

// PCI addresses of the devices that have such memory.
std::vector<std::string> FindDevices(const SystemCalls& calls) {
  std::vector<std::string> devices;
  for (const std::string& device : calls.ListFolder(kDevices)) {
    if (calls.ReadNumber(FileOf(device, "size"))) devices.push_back(device);
  }
  return devices;
}

uint64_t Number(const SystemCalls& calls, const std::string& device, absl::string_view file) {
  return calls.ReadNumber(FileOf(device, file)).value_or(0);
}

std::string DescribeDevice(const SystemCalls& calls, const std::string& device) {
  return absl::StrCat(device, " (", Number(calls, device, "available"), " of ",
                      Number(calls, device, "size"), " bytes free",
                      Number(calls, device, "published") == 1 ? ")" : ", not published)");
}

absl::Status NoDevices() {
  return absl::UnavailableError(absl::StrCat(
      "no PCI device here offers memory to its peers: there is no ", kDevices, "/*/p2pmem; it ",
      "needs CONFIG_PCI_P2PDMA and a device whose driver does so, as an NVMe drive with a ",
      "controller memory buffer"));
}

absl::StatusOr<UniqueFd> OpenMemory(const SystemCalls& calls, const std::string& device) {
  const std::string path = FileOf(device, "allocate");
  UniqueFd fd = calls.Open(path, O_RDWR);
  if (fd.valid()) return fd;
  const int err = errno;
  if (err == ENOENT) {
    return absl::UnavailableError(absl::StrCat(
        "there is no ", path, ": the kernel cannot give such memory to programs; use Linux 6.2 or ",
        "later"));
  }
  if (err == EACCES || err == EPERM) {
    return absl::PermissionDeniedError(absl::StrCat(
        "no right to open ", path, ", which is root's as a rule; run as root, or have ",
        "root run `chown USER ", path, "`"));
  }
  return ErrnoToStatus(err, absl::StrCat("opening ", path));
}

absl::StatusOr<std::string> ChooseDevice(const SystemCalls& calls, const std::string& wanted) {
  const std::vector<std::string> devices = FindDevices(calls);
  if (devices.empty()) return NoDevices();
  if (wanted.empty()) return devices.front();
  if (std::find(devices.begin(), devices.end(), wanted) != devices.end()) return wanted;
  return absl::UnavailableError(
      absl::StrCat("PCI device \"", wanted, "\" offers no memory to its ",
                   "peers; choose one of: ", absl::StrJoin(devices, ", ")));
}

// Maps fresh memory of the device, and clears it: a drive's may hold what others left there.
absl::StatusOr<std::shared_ptr<DeviceMapping>> MapMemory(const SystemCalls& calls,
                                                         const std::string& device,
                                                         uint64_t bytes) {
  const absl::StatusOr<UniqueFd> fd = OpenMemory(calls, device);
  if (!fd.ok()) return fd.status();
  void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
  if (address == MAP_FAILED) {
    const int err = errno;
    return ErrnoToStatus(
        err,
        absl::StrCat("mmap of ", bytes, " bytes of ", FileOf(device, "allocate"), ", of which ",
                     Number(calls, device, "available"), " were free in pieces of unknown size"));
  }
  auto mapping = std::make_shared<DeviceMapping>(address, bytes);
  absl::StatusOr<MappedMemory> memory = MappedMemory::Borrow(mapping, MapAccess::kReadWrite);
  if (!memory.ok()) return memory.status();
  absl::Status present = memory->Populate();
  if (!present.ok()) return present;
  std::memset(address, 0, bytes);
  return mapping;
}

class P2pmemRegion final : public Region {
 public:
  P2pmemRegion(RegionTraits traits, std::string device, std::shared_ptr<DeviceMapping> mapping)
      : Region(std::move(traits)), device_(std::move(device)), mapping_(std::move(mapping)) {}

  absl::StatusOr<UniqueFd> ExportDmabuf(uint64_t /*offset*/, uint64_t /*bytes*/) const override {
    return absl::FailedPreconditionError(absl::StrCat(
        Describe(), " cannot be a dma-buf: the kernel gives this memory as pages of one mapping; ",
        "allocate from the provider udmabuf or dma-heap for a backend of the kernel"));
  }

  absl::StatusOr<Residence> FindResidence() const override {
    return Residence{.device_bytes = size_bytes(),
                     .where = absl::StrCat("the memory of PCI device ", device_)};
  }

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override {
    return MappedMemory::Borrow(mapping_, access);
  }

  const std::string device_;
  const std::shared_ptr<DeviceMapping> mapping_;
};

}  // namespace

absl::StatusOr<std::string> P2pmemProvider::Probe() {
  const std::vector<std::string> devices = FindDevices(calls_);
  if (devices.empty()) return NoDevices();
  std::vector<std::string> usable;
  absl::Status first_refusal;
  for (const std::string& device : devices) {
    const absl::Status opened = OpenMemory(calls_, device).status();
    if (opened.ok()) {
      usable.push_back(DescribeDevice(calls_, device));
    } else {
      first_refusal.Update(opened);
    }
  }
  if (usable.empty()) return first_refusal;
  return absl::StrCat("PCI devices ", absl::StrJoin(usable, ", "));
}

std::vector<ProviderDevice> P2pmemProvider::Devices() {
  std::vector<ProviderDevice> devices;
  for (const std::string& device : FindDevices(calls_)) {
    if (!OpenMemory(calls_, device).ok()) continue;
    devices.push_back(
        {.name = device,
         .description = absl::StrCat("peer memory of ", DescribeDevice(calls_, device)),
         .pci_address = device,
         .device_class = DeviceClass::kOther});
  }
  return devices;
}

absl::StatusOr<std::unique_ptr<Region>> P2pmemProvider::Allocate(const AllocateOptions& options) {
  if (options.kind == AttachmentKind::kMayMove) {
    return RefuseKind(name(), options.kind, "the device's memory is one mapping at one place");
  }
  if (options.huge_pages) {
    return absl::FailedPreconditionError(
        "a p2pmem region cannot be asked to be of huge pages: the device chooses its pages; leave "
        "huge_pages out");
  }
  const absl::StatusOr<std::string> device = ChooseDevice(calls_, options.device);
  if (!device.ok()) return device.status();
  absl::Status good =
      CheckRegionBytes(options.bytes, {.provider_name = name(),
                                       .page_bytes = kSmallPageBytes,
                                       .available_bytes = Number(calls_, *device, "size"),
                                       .where = absl::StrCat("PCI device ", *device)});
  if (good.ok()) good = CheckRegionLabel(options.label);
  if (!good.ok()) return good;
  const uint64_t free = Number(calls_, *device, "available");
  if (options.bytes > free) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a p2pmem region of ", options.bytes, " bytes is refused: PCI device ",
                     *device, " has ", free, " bytes free; ask for less or free some"));
  }
  absl::StatusOr<std::shared_ptr<DeviceMapping>> mapping =
      MapMemory(calls_, *device, options.bytes);
  if (!mapping.ok()) return mapping.status();
  return std::make_unique<P2pmemRegion>(
      RegionTraits{.provider_name = name(),
                   .label = options.label,
                   .size_bytes = options.bytes,
                   .page_bytes = kSmallPageBytes,
                   .attachment_kind = options.kind,
                   .policy = options.policy,
                   .fd = {},
                   .local_because = "it is a mapping of this process, and each mapping of the "
                                    "device's file is memory of its own"},
      *device, *std::move(mapping));
}

}  // namespace devmem
