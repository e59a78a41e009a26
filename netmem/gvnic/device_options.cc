// SPDX-License-Identifier: Apache-2.0
//
// Checks what a virtual gVNIC is asked to be, before anything of it is made.

#include "netmem/gvnic/device_options.h"

#include <bit>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

absl::Status CheckRange(const GvnicOptions& options, absl::string_view what, uint64_t value,
                        uint64_t min, uint64_t max, absl::string_view unit) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("device ", options.name, ": ", what, " ", value,
                                            " is out of range: ", min, " to ", max, " ", unit));
}

absl::Status CheckRing(const GvnicOptions& options, absl::string_view what, uint32_t entries) {
  absl::Status checked =
      CheckRange(options, what, entries, kOfferedRingEntriesMin, kOfferedRingEntriesMax, "entries");
  if (!checked.ok() || std::has_single_bit(entries)) return checked;
  return absl::InvalidArgumentError(absl::StrCat("device ", options.name, ": ", what, " ", entries,
                                                 " is no power of two; choose ",
                                                 std::bit_floor(entries), " entries"));
}

}  // namespace

absl::Status GvnicOptions::Check() const {
  if (mac.is_multicast() || mac == MacAddress()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "device ", name, ": ", mac.ToString(),
        " is no interface's MAC address; choose a local one, such as 02:00:00:00:00:01"));
  }
  if (buffer_bytes != 2048 && buffer_bytes != 4096) {
    return absl::InvalidArgumentError(absl::StrCat("device ", name, ": rx buffers of ",
                                                   buffer_bytes, " bytes are not in the format, ",
                                                   "which has 2048 and 4096"));
  }
  absl::Status checks[] = {
      CheckRange(*this, "queues", queues, 1, kGvnicQueuesMax, "queues"),
      CheckRange(*this, "mtu", mtu_bytes, kGvnicMtuMin, kGvnicMtuMax, "bytes"),
      CheckRange(*this, "header buffers", header_buffer_bytes, 0, kRxHeaderBytesMax, "bytes"),
      CheckRange(*this, "flow rules", flow_rules_max, 0, kMaskedRulesMax, "rules"),
      CheckRing(*this, "tx ring", tx_ring_entries),
      CheckRing(*this, "rx ring", rx_ring_entries),
  };
  for (absl::Status& status : checks) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace devmem
