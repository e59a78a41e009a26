// SPDX-License-Identifier: Apache-2.0
//
// Stream content that both ends can compute, and the check that what landed is that content. Two
// kinds:
//
//   mod:N            byte i of the stream is i % N: what the kernel's ncdevmem sends and checks
//   with -v. demo-block:SEED  one block of 256 KiB of seeded noise, again and again, in which the
//   first eight bytes
//                    of each 4 KiB are the number of that 4 KiB since the stream's start,
//                    little-endian. No two stretches of 4 KiB are the same, and making it costs the
//                    sender nothing.
//
// A Pattern is used by one thread.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace devmem {

inline constexpr uint32_t kPatternBlockBytes = 256u << 10;
inline constexpr uint32_t kPatternStampEveryBytes = 4096;
inline constexpr uint32_t kPatternModulusMax = 256;  // A byte has no more values.

struct PatternSpec {
  enum class Kind { kModulo, kDemoBlock };
  Kind kind = Kind::kModulo;
  uint64_t parameter = 1;  // N, or the seed.

  friend bool operator==(const PatternSpec&, const PatternSpec&) = default;
};

// "mod:N" or "demo-block:SEED".
absl::StatusOr<PatternSpec> ParsePatternSpec(absl::string_view text, absl::string_view option);

class Pattern {
 public:
  explicit Pattern(const PatternSpec& spec);

  // What the stream holds from byte `offset` on: at least one byte, at most `bytes_max`. Valid
  // until the next call. A caller that asks for kPatternBlockBytes at a multiple of it gets them.
  std::span<const uint8_t> At(uint64_t offset, uint64_t bytes_max);

 private:
  std::span<const uint8_t> StampedAt(uint64_t offset, uint64_t bytes_max);

  const PatternSpec spec_;
  std::vector<uint8_t>
      block_;  // A whole number of periods; its stamps are written as they are needed.
};

// Compares a stream, given piece by piece, with a pattern.
class PatternChecker {
 public:
  explicit PatternChecker(const PatternSpec& spec) : pattern_(spec) {}

  // The next bytes of the stream. False from the first wrong byte on.
  bool Check(std::span<const uint8_t> bytes);

  bool ok() const { return !first_wrong_offset_.has_value(); }
  uint64_t checked_bytes() const { return checked_bytes_; }
  std::optional<uint64_t> first_wrong_offset() const { return first_wrong_offset_; }
  // "byte 4096 of the stream is 0x07, expected 0x01"; empty while all is right.
  const std::string& complaint() const { return complaint_; }

 private:
  void Complain(std::span<const uint8_t> bytes, std::span<const uint8_t> expected);

  Pattern pattern_;
  uint64_t checked_bytes_ = 0;  // Right bytes from the stream's start on.
  std::optional<uint64_t> first_wrong_offset_;
  std::string complaint_;
};

}  // namespace devmem
