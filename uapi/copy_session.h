// SPDX-License-Identifier: Apache-2.0
//
// The copy backend: the kernel's TCP, recv() and a copy into the region. It works on any machine
// and saves nothing; the stack's results are measured against it. Called by Session::Open().

#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/devmem.h"

namespace devmem {

// Of `options` it heeds the clock and the threading; addresses, queue sizes and windows are the
// kernel's (ip-address(8), net.ipv4.tcp_rmem). `why` is the sentence for SessionInfo::why.
absl::StatusOr<std::unique_ptr<Session>> OpenCopySession(
    const SessionOptions& options, absl::string_view why = "the caller asked for it");

}  // namespace devmem
