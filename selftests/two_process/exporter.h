// SPDX-License-Identifier: Apache-2.0
//
// The process that allocates a region, passes it on, and reads on its device, which is a mapping,
// what another process received there. Runs in a child of the test; one thread.

#pragma once

#include <cstdint>

#include "selftests/two_process/messages.h"

namespace devmem::testing {

// The descriptors of a child: what it was born with.
struct ChildLines {
  UniqueFd referee;
  UniqueFd other;  // The other child.
};

// Works until the importer has sent everything or is gone, then uses the region by itself. Ends
// the process: 0 when every byte that was announced was right. `alive` hangs up at the referee's
// when nobody has the region any more.
[[noreturn]] void RunExporter(ChildLines lines, UniqueFd alive, uint64_t seed, LifeLine life);

}  // namespace devmem::testing
