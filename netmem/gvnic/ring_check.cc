// SPDX-License-Identifier: Apache-2.0
//
// The checks of a ring's size and place.

#include "netmem/gvnic/ring_check.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "netmem/gvnic/limits.h"

namespace devmem {

absl::Status CheckRing(GuestMemory& memory, const RingPlace& place) {
  if (place.entries < kRingEntriesMin || place.entries > kRingEntriesMax ||
      !std::has_single_bit(place.entries)) {
    return absl::OutOfRangeError(absl::StrCat("the ", place.name, " has ", place.entries,
                                              " entries; choose a power of two from ",
                                              kRingEntriesMin, " to ", kRingEntriesMax));
  }
  if (place.address % place.entry_bytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", place.name, " is at 0x", absl::Hex(place.address),
                     ", which is no multiple of its entries' ", place.entry_bytes, " bytes"));
  }
  const uint64_t ring_bytes = uint64_t{place.entries} * place.entry_bytes;
  if (memory.Write(place.address, ring_bytes) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", place.name, " is at 0x", absl::Hex(place.address), ", and its ",
                     ring_bytes, " bytes there are not all in the guest's writable memory"));
  }
  return absl::OkStatus();
}

}  // namespace devmem
