// SPDX-License-Identifier: Apache-2.0
// What every provider asks of a request before it makes anything, so that all of them refuse the
// same mistake in the same words. Pure functions; control thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "provider/attachment_rules.h"

namespace devmem {

// How large a provider's regions may be.
struct SizeRule {
  absl::string_view provider_name;
  uint64_t page_bytes = 0;
  uint64_t available_bytes = 0;  // In all, of which some may be in use.
  std::string where = "this machine";
};

// kOutOfRange for more than kRegionBytesMax or than there is, kInvalidArgument for 0 and for what
// is no multiple of a page; the message says what would be taken.
absl::Status CheckRegionBytes(uint64_t bytes, const SizeRule& rule);

// kInvalidArgument for more than kRegionLabelBytesMax bytes.
absl::Status CheckRegionLabel(const std::string& label);

// kFailedPrecondition: this provider's memory cannot make that promise; `why` in words for a
// person.
absl::Status RefuseKind(absl::string_view provider_name, AttachmentKind kind,
                        absl::string_view why);

// A range of something that is `size_bytes` long: inside, not empty, both ends on a multiple of
// `page_bytes`. Sums that do not fit 64 bits are outside. `what` names what is refused.
// kInvalidArgument, kOutOfRange.
absl::Status CheckRange(absl::string_view what, uint64_t offset, uint64_t bytes,
                        uint64_t size_bytes, uint64_t page_bytes);

// All the memory of this machine.
uint64_t MachineBytes();

}  // namespace devmem
