// SPDX-License-Identifier: Apache-2.0
//
// What the application gets for received payload: where it lies, and the token to give back when it
// is done with it. Frags of bytes that never reached the bound region (spill, or a connection
// without a binding) carry the id of the session's host region. Plain data.

#pragma once

#include <cstdint>

#include "netmem/token_table.h"

namespace devmem {

struct Frag {
  uint32_t region_id = 0;  // Region::id(), or Session::host_region_id().
  uint32_t length_bytes = 0;
  uint64_t offset = 0;  // In bytes from the region's start.
  Token token = 0;      // Good for one Release(); 0 never is.
};
static_assert(sizeof(Frag) == 24);

}  // namespace devmem
