// SPDX-License-Identifier: Apache-2.0
//
// Opens sessions of the backend `kernel`: Linux devmem TCP on a NIC of this machine. Called by
// Session::Open().

#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/devmem.h"
#include "uapi/kernel_calls.h"
#include "uapi/kernel_nic.h"

namespace devmem {

// Of `options` it heeds the device, the host bytes, the budget of held bytes, the clock and the
// threading; addresses and windows are the kernel's (ip-address(8), net.ipv4.tcp_rmem). `why` is
// the sentence for SessionInfo::why. Looks at the NIC and changes nothing: that comes with Bind().
// Errors: NicSetup::Open(), each with cause and fix.
absl::StatusOr<std::unique_ptr<Session>> OpenKernelSession(
    const SessionOptions& options, absl::string_view why = "the caller asked for it");

// The same on a NIC and a kernel of the caller's; `calls` outlives the session.
absl::StatusOr<std::unique_ptr<Session>> OpenKernelSession(const SessionOptions& options,
                                                           absl::string_view why,
                                                           std::unique_ptr<KernelNic> nic,
                                                           KernelCalls* calls);

}  // namespace devmem
