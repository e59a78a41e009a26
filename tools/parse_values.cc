// SPDX-License-Identifier: Apache-2.0
//
// See parse_values.h.

#include "tools/parse_values.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace devmem {
namespace {

absl::Status OutOfRange(absl::string_view text, const ValueBounds& bounds) {
  const std::string unit = bounds.unit.empty() ? "" : absl::StrCat(" ", bounds.unit);
  return absl::OutOfRangeError(absl::StrCat(bounds.option, " ", text, " is out of range: write ",
                                            bounds.min, " to ", bounds.max, unit));
}

// The power of two that a suffix stands for; nothing when it is none.
std::optional<uint32_t> ShiftOf(char suffix) {
  switch (suffix) {
    case 'k':
    case 'K': return 10;
    case 'm':
    case 'M': return 20;
    case 'g':
    case 'G': return 30;
    case 't':
    case 'T': return 40;
    default: return std::nullopt;
  }
}

// Digits only: no sign, no space, no 0x.
bool ParseDigits(absl::string_view text, uint64_t* value) {
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                   [](char c) { return c >= '0' && c <= '9'; });
  return digits && absl::SimpleAtoi(text, value);
}

}  // namespace

absl::StatusOr<uint64_t> ParseNumber(absl::string_view text, const ValueBounds& bounds) {
  uint64_t value = 0;
  if (!ParseDigits(text, &value)) {
    return absl::InvalidArgumentError(absl::StrCat(
        bounds.option, " \"", text, "\" is no number: write ", bounds.min, " to ", bounds.max));
  }
  if (value < bounds.min || value > bounds.max) return OutOfRange(text, bounds);
  return value;
}

absl::StatusOr<uint64_t> ParseBytes(absl::string_view text, const ValueBounds& bounds) {
  const std::optional<uint32_t> shift = text.empty() ? std::nullopt : ShiftOf(text.back());
  const absl::string_view digits = shift.has_value() ? text.substr(0, text.size() - 1) : text;
  uint64_t value = 0;
  if (!ParseDigits(digits, &value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(bounds.option, " \"", text,
                     "\" is no size: write a number of bytes, or one with K, M, G or T behind it, "
                     "like 64M"));
  }
  if (value > UINT64_MAX >> shift.value_or(0)) return OutOfRange(text, bounds);
  value <<= shift.value_or(0);
  if (value < bounds.min || value > bounds.max) return OutOfRange(text, bounds);
  return value;
}

absl::StatusOr<size_t> ParseChoice(absl::string_view text, absl::string_view option,
                                   std::span<const absl::string_view> choices) {
  const auto found = std::find(choices.begin(), choices.end(), text);
  if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
  return absl::InvalidArgumentError(
      absl::StrCat(option, " \"", text, "\" is none of: ", absl::StrJoin(choices, ", ")));
}

}  // namespace devmem
