// SPDX-License-Identifier: Apache-2.0
//
// Listening Unix stream sockets, for the vfio-user server and the control socket of gvnicd. Called
// while a program starts, and by the event loop when somebody connects.

#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "provider/unique_fd.h"

namespace devmem {

// Listens at `path` without blocking, in place of a socket on which nobody listens any more.
//
// Errors: kInvalidArgument  the path is empty or does not fit into a socket's address.
//         kAlreadyExists    somebody listens there, or something else than a socket is there.
//         others            as socket(2), bind(2) and listen(2) have them.
absl::StatusOr<UniqueFd> ListenUnix(const std::string& path);

// The next client's socket, which does not block, or one that owns nothing if none waits.
UniqueFd AcceptUnix(int listening);

}  // namespace devmem
