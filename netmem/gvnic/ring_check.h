// SPDX-License-Identifier: Apache-2.0
//
// What both kinds of ring ask of a place in guest memory before they use it. Control path, on the
// thread of the device.

#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "netmem/gvnic/guest_memory.h"

namespace devmem {

struct RingPlace {
  absl::string_view name;  // In messages.
  uint64_t address = 0;
  uint32_t entries = 0;
  uint32_t entry_bytes = 0;
};

// Errors: kOutOfRange       the entries are no power of two within the bounds.
//         kInvalidArgument  the address is no multiple of an entry, or not all of the ring is in
//                           shared, writable memory.
absl::Status CheckRing(GuestMemory& memory, const RingPlace& place);

}  // namespace devmem
