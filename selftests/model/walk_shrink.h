// SPDX-License-Identifier: Apache-2.0
//
// Makes a failing script short: leaves out operations (delta debugging, Zeller and Hildebrandt,
// "Simplifying and Isolating Failure-Inducing Input", 2002), then makes numbers small, as long as
// the walk fails in the same way. Used by the tests of selftests/model when a walk fails.

#pragma once

#include <cstdint>
#include <functional>

#include "selftests/model/walk_script.h"

namespace devmem::testing {

// Whether this script still shows the failure.
using StillFails = std::function<bool(const WalkScript&)>;

// `script` fails. Stops after `runs_max` tries at the latest.
WalkScript Shrink(const WalkScript& script, const StillFails& still_fails,
                  uint32_t runs_max = 4000);

}  // namespace devmem::testing
