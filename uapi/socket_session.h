// SPDX-License-Identifier: Apache-2.0
//
// A session whose TCP is the kernel's: sockets, bindings and waiting are written once here, and a
// SocketBackend makes them copy, kernel or zcrx. Called by the functions that open these.

#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "uapi/devmem.h"
#include "uapi/socket_backend.h"

namespace devmem {

// Of `options` it heeds the clock and the threading.
absl::StatusOr<std::unique_ptr<Session>> OpenSocketSession(const SessionOptions& options,
                                                           std::unique_ptr<SocketBackend> backend);

}  // namespace devmem
