// SPDX-License-Identifier: Apache-2.0
// The one place where the system's errno becomes an absl::Status. Every file that makes a system
// call includes this and nothing else for the purpose, so that one errno has one status code in the
// whole system. Any thread; allocates, so never on the receive path.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace devmem {

// The status for a failed system call: `what` names the call, its object and, where the reader can
// do something about it, the remedy; the system's own words for `err` follow after a colon.
//
// Read errno into a local first: building `what` may change it. An `err` of 0 is refused as
// kInternal, because a failure without a reason is a mistake of the caller.
absl::Status ErrnoToStatus(int err, const std::string& what);

}  // namespace devmem
