// SPDX-License-Identifier: Apache-2.0
// OpenClDevice: one device of OpenCL with a context of ours, shared by the regions, engines and
// hashes on it; and how a device is found and chosen. Used by the opencl provider on the control
// thread; what is made of it may be used on other threads. The Khronos specification "The OpenCL
// API", chapter 4.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/opencl_api.h"
#include "provider/provider.h"

namespace devmem {

// What a device says about itself.
struct OpenClDeviceFacts {
  ClPlatform platform = nullptr;
  ClDevice device = nullptr;
  std::string platform_name;  // "Portable Computing Language".
  std::string name;
  std::string pci_address;        // "0000:3b:00.0"; empty where the driver does not tell.
  uint64_t memory_bytes = 0;      // All of it.
  uint64_t buffer_bytes_max = 0;  // Of one buffer.
  DeviceClass device_class = DeviceClass::kOther;
  bool usable = false;
  bool little_endian = true;
};

// Every device of every platform, in the loader's order: the index by which users name one.
//
// Errors: kUnavailable  there is none; the message says what to install.
absl::StatusOr<std::vector<OpenClDeviceFacts>> ListOpenClDevices(const OpenClApi& api);

// One of `devices`: by its index, its PCI address or a part of its name that no other has. Empty:
// the first that is usable, and of these one that is not the processor if there is one.
//
// Errors: kInvalidArgument  `wanted` names none or several; the message lists the devices.
//         kUnavailable      the device named, or every one, says that it is not available.
absl::StatusOr<OpenClDeviceFacts> ChooseOpenClDevice(const std::vector<OpenClDeviceFacts>& devices,
                                                     absl::string_view wanted);

// One line for a person: "Portable Computing Language, pthread-znver3, 23129030656 bytes".
std::string DescribeOpenClDevice(const OpenClDeviceFacts& facts);

// Invariants:
//   1. The context exists as long as this object or anything made in it.
//   2. Once lost, a device stays lost; a new object for the same device has a new context.
class OpenClDevice {
 public:
  // Errors: the driver's.
  static absl::StatusOr<std::shared_ptr<OpenClDevice>> Create(const OpenClApi& api,
                                                              const OpenClDeviceFacts& facts);

  const OpenClApi& api() const { return api_; }
  const OpenClDeviceFacts& facts() const { return facts_; }

  // A queue that runs its commands in the order in which they are given.
  absl::StatusOr<OpenClOwned<ClQueue>> CreateQueue() const;

  // A buffer of undefined content. kResourceExhausted when the device has no room for it.
  absl::StatusOr<OpenClOwned<ClMem>> CreateBuffer(uint64_t bytes, uint64_t flags) const;

  // A kernel of the one program that devmem ships, which is built at the first call.
  // kFailedPrecondition with the compiler's words where the driver cannot build it.
  absl::StatusOr<OpenClOwned<ClKernel>> CreateKernel(const char* name);

  // Whether a command ended in an error: the context is of no further use. Any thread.
  bool lost() const { return lost_.load(std::memory_order_relaxed); }
  void MarkLost() { lost_.store(true, std::memory_order_relaxed); }

 private:
  OpenClDevice(const OpenClApi& api, const OpenClDeviceFacts& facts, ClContext context)
      : api_(api), facts_(facts), context_(context, api.ReleaseContext) {}

  absl::Status BuildProgramLocked();
  absl::Status ExplainBuild(ClProgram program, int32_t code) const;

  const OpenClApi& api_;
  const OpenClDeviceFacts facts_;
  const OpenClOwned<ClContext> context_;
  // A hint that orders nothing: whoever reads it late makes one region that fails at once.
  std::atomic<bool> lost_{false};
  std::mutex program_mutex_;
  OpenClOwned<ClProgram> program_;  // Guarded by program_mutex_; null until built.
};

}  // namespace devmem
