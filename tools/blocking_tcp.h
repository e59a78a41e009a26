// SPDX-License-Identifier: Apache-2.0
//
// Plain blocking sockets of the kernel, and the process's own cost, for the measuring programs of
// this folder: the sender and the baseline. One thread.

#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "provider/unique_fd.h"

namespace devmem {

// Listens, tells `ready_fd` (if not negative) with one byte and closes it, and waits for one
// connection.
absl::StatusOr<UniqueFd> AcceptOne(const std::string& address, uint16_t port, int ready_fd);

// Connects. `congestion_control` is a name like "reno"; empty: the system's default.
absl::StatusOr<UniqueFd> ConnectTo(const std::string& address, uint16_t port,
                                   const std::string& congestion_control);

}  // namespace devmem
