// SPDX-License-Identifier: Apache-2.0
//
// Opens a session whose bound queues io_uring receives from. Called by Session::Open().

#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/devmem.h"
#include "uapi/kernel_nic.h"
#include "uapi/zcrx_system.h"

namespace devmem {

// Of `options` it heeds the device, the host memory, the budget of held bytes and the clock;
// addresses and windows are the kernel's (ip-address(8), net.ipv4.tcp_rmem). `why` is the sentence
// for SessionInfo::why. The session belongs to the thread that binds.
//
// Errors: kUnimplemented       Threading::kThread; a kernel or NIC that cannot.
//         kPermissionDenied    see CheckZcrx().
//         and those of NicSetup::Open().
absl::StatusOr<std::unique_ptr<Session>> OpenZcrxSession(
    const SessionOptions& options, absl::string_view why = "the caller asked for it");

// The same on a NIC and a kernel of the caller's; `system` outlives the session.
absl::StatusOr<std::unique_ptr<Session>> OpenZcrxSession(const SessionOptions& options,
                                                         absl::string_view why,
                                                         std::unique_ptr<KernelNic> nic,
                                                         ZcrxSystem* system);

}  // namespace devmem
