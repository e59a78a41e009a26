// SPDX-License-Identifier: Apache-2.0
//
// From a device's name to a session.

#include "uapi/kernel_session.h"

#include <utility>

#include "uapi/kernel_backend.h"
#include "uapi/socket_session.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<Session>> OpenKernelSession(const SessionOptions& options,
                                                           absl::string_view why) {
  absl::StatusOr<std::unique_ptr<KernelNic>> nic = OpenKernelNic(options.device);
  if (!nic.ok()) return nic.status();
  return OpenKernelSession(options, why, *std::move(nic), &KernelCalls::System());
}

absl::StatusOr<std::unique_ptr<Session>> OpenKernelSession(const SessionOptions& options,
                                                           absl::string_view why,
                                                           std::unique_ptr<KernelNic> nic,
                                                           KernelCalls* calls) {
  absl::StatusOr<std::unique_ptr<KernelBackend>> backend =
      KernelBackend::Create(options, why, std::move(nic), calls);
  if (!backend.ok()) return backend.status();
  return OpenSocketSession(options, *std::move(backend));
}

}  // namespace devmem
