// SPDX-License-Identifier: Apache-2.0
//
// Time as the NICs see it: a count of nanoseconds since a start that the caller chooses, as in the
// TCP engine, which declares the same name for itself because it knows no NIC.

#pragma once

#include <cstdint>

namespace devmem {

// A point in time or a duration.
using Nanos = int64_t;

}  // namespace devmem
