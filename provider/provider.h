// SPDX-License-Identifier: Apache-2.0
// Provider: where regions come from, and the list of those that exist. A further kind of memory is
// one more file pair with a subclass here and one line in provider.cc. Control thread only. See
// Documentation/providers.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/import_policy.h"
#include "provider/quota.h"
#include "provider/region.h"

namespace devmem {

struct AllocateOptions {
  // Size of the region: a positive multiple of its page size, at most kRegionBytesMax and at most
  // what the provider's machine or device has.
  uint64_t bytes = 0;

  // Pages of 2 MiB in place of 4 KiB: fewer TLB misses, never swapped. Refused, not replaced by
  // small pages, where the system has none to give.
  bool huge_pages = false;

  // The owner's word for the region, for messages and /proc; at most kRegionLabelBytesMax bytes.
  std::string label = {};

  // Who may import the region.
  ImportPolicy policy = ImportPolicy::Everyone();

  // What the exporter promises about the memory while it is attached. A provider refuses what its
  // memory cannot do, and says why.
  AttachmentKind kind = AttachmentKind::kPinned;

  // Which of the provider's devices: a GPU's index or PCI address, a heap's name. Empty: the first
  // that is usable.
  std::string device = {};

  // Counts the region against `quota_user` (empty: whoever runs this process) until the last of its
  // users has gone. Null: nothing is counted. AllocateRegion() sees to it, for every provider.
  std::shared_ptr<Quota> quota = nullptr;
  std::string quota_user = {};
};

// What stands behind a device that a provider can name. `auto` takes GPUs only.
enum class DeviceClass {
  kGpu,        // A graphics processor with memory of its own.
  kProcessor,  // The host's processor in the role of a device, as PoCL offers it.
  kOther,      // Anything else: a heap, an NVMe drive's memory, an accelerator.
};

// One device that a provider can allocate from.
struct ProviderDevice {
  std::string name;         // What AllocateOptions::device takes.
  std::string description;  // The device's own name, for a person: "NVIDIA H200". May be empty.
  std::string pci_address;  // "0000:17:00.0"; empty where it is no PCI device, or nobody says.
  DeviceClass device_class = DeviceClass::kOther;
};

class Provider {
 public:
  virtual ~Provider() = default;

  // The name by which users choose it. Static storage.
  virtual absl::string_view name() const = 0;

  // Looks whether regions can be had here, without allocating one. OK carries what was found, for
  // a person: "system heap at /dev/dma_heap/system". An error says exactly what is missing and,
  // where there is one, the remedy; its code is kUnavailable where the machine lacks something,
  // kPermissionDenied where only rights are missing, kFailedPrecondition where a setting is.
  virtual absl::StatusOr<std::string> Probe() = 0;

  // The devices that AllocateOptions::device can name, in the provider's own order. Empty where
  // nothing is usable, and for memory that has no devices to choose from: the default.
  virtual std::vector<ProviderDevice> Devices() { return {}; }

  // A new region of zero bytes, owned by the caller.
  //
  // Errors: kInvalidArgument    a size of 0 or not a multiple of the page size, a label too long.
  //         kOutOfRange         more than kRegionBytesMax or more than the machine has.
  //         kResourceExhausted  the machine has it but cannot give it now.
  //         kFailedPrecondition a kind that this memory cannot have.
  //         those of Probe()    nothing can be had here.
  virtual absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) = 0;
};

// A region of `provider`, charged to options.quota first: the way to allocate for whoever is no
// provider. Errors: Provider::Allocate(), Quota::Charge().
absl::StatusOr<std::unique_ptr<Region>> AllocateRegion(Provider& provider,
                                                       const AllocateOptions& options);

// The provider called `name`, which lives as long as the program, or kNotFound with the names that
// exist.
absl::StatusOr<Provider*> FindProvider(absl::string_view name);

// Every provider there is, in the order in which they are listed to people. Static storage.
std::span<Provider* const> AllProviders();

}  // namespace devmem
