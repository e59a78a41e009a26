// SPDX-License-Identifier: Apache-2.0
//
// Every bound of netmem/gvnic/, with its unit in its name and the assertions that relate them.

#pragma once

#include <cstdint>

#include "netmem/nic/limits.h"

namespace devmem {

// Ranges of guest memory that one device may be told of. A PC has about 20; what a guest maps and
// unmaps while its firmware runs never comes near it.
inline constexpr uint32_t kGuestRangesMax = 4096;

}  // namespace devmem
