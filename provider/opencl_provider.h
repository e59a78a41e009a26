// SPDX-License-Identifier: Apache-2.0
// OpenClProvider: regions in the memory of any device that has an OpenCL driver; the processor too
// is one with PoCL, whose buffers the rest of the program cannot reach any more than a GPU's. The
// loader library is opened when somebody asks, never before. Control thread; providers.md.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "provider/opencl_device.h"
#include "provider/provider.h"

namespace devmem {

class OpenClProvider final : public Provider {
 public:
  // `library` is what dlopen(3) is given: a name or a path.
  explicit OpenClProvider(std::string library = DefaultOpenClLibrary())
      : library_(std::move(library)) {}

  absl::string_view name() const override { return "opencl"; }
  absl::StatusOr<std::string> Probe() override;
  // Named by their indices, which is what tells two equal ones apart.
  std::vector<ProviderDevice> Devices() override;

  // `options.device` is an index of Probe()'s list, a PCI address or a part of a device's name. A
  // region is one buffer, so the device's bound of a buffer bounds it too. kMayMove is refused.
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override;

 private:
  absl::StatusOr<std::vector<OpenClDeviceFacts>> List();
  absl::StatusOr<std::shared_ptr<OpenClDevice>> OpenDevice(const std::string& wanted);

  const std::string library_;
  std::mutex devices_mutex_;
  // Contexts in use, one for each device: they go with the last thing made in them.
  std::map<ClDevice, std::weak_ptr<OpenClDevice>> devices_;  // Guarded by devices_mutex_.
};

}  // namespace devmem
