// SPDX-License-Identifier: Apache-2.0
//
// The process that imports another's region, binds it to a session of its own and receives into it.
// Runs in a child of the test; one thread, virtual time.

#pragma once

#include <cstdint>

#include "selftests/two_process/exporter.h"
#include "selftests/two_process/messages.h"

namespace devmem::testing {

// Receives the whole stream, whether or not the exporter lives to read it. Ends the process: 0 when
// every byte landed, and the session held nothing in the end.
[[noreturn]] void RunImporter(ChildLines lines, uint64_t seed, LifeLine life);

}  // namespace devmem::testing
