// SPDX-License-Identifier: Apache-2.0
// Making dma-bufs of pages that lie in a memfd, by the kernel's udmabuf driver. Called by the
// provider udmabuf and by regions that are exported for importers in the kernel; control thread.
// linux/udmabuf.h, and the driver's two parameters.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/system_calls.h"
#include "provider/unique_fd.h"

namespace devmem {

// OK with what was found, or what is missing: the driver (kUnavailable) or the right to open it
// (kPermissionDenied).
absl::StatusOr<std::string> ProbeUdmabuf(const SystemCalls& calls);

// kOutOfRange with the parameter's name and how to raise it: the driver takes no dma-buf of so many
// bytes.
absl::Status CheckUdmabufBytes(const SystemCalls& calls, uint64_t bytes);

// A dma-buf of `bytes` bytes from `offset` of a memfd on, which is sealed against shrinking and not
// against writing. It pins the pages as long as it lives. The range has been checked against the
// file. Errors: those of the two above; kFailedPrecondition for a memfd that this kernel's driver
// does not take; kResourceExhausted.
absl::StatusOr<UniqueFd> CreateUdmabuf(const SystemCalls& calls, int memfd, uint64_t offset,
                                       uint64_t bytes);

}  // namespace devmem
