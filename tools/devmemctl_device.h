// SPDX-License-Identifier: Apache-2.0
//
// What the commands about network devices have in common: which device is meant, and how a refusal
// of the kernel exits.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/devmemctl_options.h"

namespace devmem {

// The network devices of this namespace, in the kernel's order.
std::vector<std::string> DeviceNames();

// The index of options.device; nothing when none was named, which means all of them. Errors:
// kNotFound for a device that there is not, with those that there are.
absl::StatusOr<std::optional<uint32_t>> ChosenDevice(const DevmemctlOptions& options);

// kCtlUnsupported where kernel or driver cannot do it, kCtlRefused for every other error.
int ExitCodeOf(const absl::Status& status);

}  // namespace devmem
