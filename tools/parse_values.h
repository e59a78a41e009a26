// SPDX-License-Identifier: Apache-2.0
//
// Numbers, sizes and choices from the command line of the programs in this folder. Each refusal
// says the option, the value, its bounds and what to write instead. Called at start-up.

#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace devmem {

// What an option takes, for the message: "--mtu 70000 is out of range: 576 to 65521 bytes".
struct ValueBounds {
  absl::string_view option;
  uint64_t min = 0;
  uint64_t max = UINT64_MAX;
  absl::string_view unit = "";  // In the plural.
};

// A decimal number.
absl::StatusOr<uint64_t> ParseNumber(absl::string_view text, const ValueBounds& bounds);
// A number of bytes: "4096", "64K", "64M", "4G", "1T", with powers of 1024.
absl::StatusOr<uint64_t> ParseBytes(absl::string_view text, const ValueBounds& bounds);
// The place of `text` in `choices`.
absl::StatusOr<size_t> ParseChoice(absl::string_view text, absl::string_view option,
                                   std::span<const absl::string_view> choices);

}  // namespace devmem
