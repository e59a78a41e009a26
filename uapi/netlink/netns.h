// SPDX-License-Identifier: Apache-2.0
//
// Runs a function in a network namespace: sockets belong to the namespace that they are opened in,
// and keep it. The function runs on a thread of its own, so the caller's namespace never changes.

#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace devmem {

// `path` is a namespace's file such as /run/netns/name; empty: the caller's, and then `function`
// runs on the calling thread. Errors: kNotFound, kPermissionDenied, and those of `function`.
absl::Status InNetns(absl::string_view path, const std::function<absl::Status()>& function);

}  // namespace devmem
