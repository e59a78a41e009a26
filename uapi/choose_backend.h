// SPDX-License-Identifier: Apache-2.0
//
// Backend::kAuto: which backend a session gets, and why. Called by Session::Open().

#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "uapi/devmem.h"

namespace devmem {

// On a NIC that exists: the kernel's devmem TCP where the NIC, the kernel and this process's rights
// allow it, else io_uring's zero-copy receive, else a copy. Where there is no such device: devmem's
// own stack over a TAP of that name, else a copy. SessionInfo::why says what was passed over.
// Errors: those of requests that are wrong for every backend.
absl::StatusOr<std::unique_ptr<Session>> OpenBestSession(const SessionOptions& options);

}  // namespace devmem
