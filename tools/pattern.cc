// SPDX-License-Identifier: Apache-2.0
//
// See pattern.h.

#include "tools/pattern.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): enough noise that no compressor and no comparison by chance
// mistakes one block for another.
uint64_t NextNoise(uint64_t* state) {
  uint64_t mixed = (*state += 0x9e3779b97f4a7c15);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

void StoreLe64(uint8_t* to, uint64_t value) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<uint8_t>(value >> (8 * i));
}

std::vector<uint8_t> MakeBlock(const PatternSpec& spec) {
  if (spec.kind == PatternSpec::Kind::kDemoBlock) {
    std::vector<uint8_t> block(kPatternBlockBytes);
    uint64_t state = spec.parameter;
    for (size_t i = 0; i < block.size(); i += 8) StoreLe64(&block[i], NextNoise(&state));
    return block;
  }
  // Whole periods, and from each place in the first a whole block behind it.
  const uint64_t periods = kPatternBlockBytes / spec.parameter + 2;
  std::vector<uint8_t> block(periods * spec.parameter);
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(i % spec.parameter);
  return block;
}

}  // namespace

absl::StatusOr<PatternSpec> ParsePatternSpec(absl::string_view text, absl::string_view option) {
  PatternSpec spec;
  absl::string_view parameter = text;
  ValueBounds bounds{.option = option};
  if (absl::ConsumePrefix(&parameter, "mod:")) {
    bounds.min = 1;
    bounds.max = kPatternModulusMax;
  } else if (absl::ConsumePrefix(&parameter, "demo-block:")) {
    spec.kind = PatternSpec::Kind::kDemoBlock;
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        option, " \"", text, "\" is no pattern: write mod:N or demo-block:SEED, like mod:7"));
  }
  const absl::StatusOr<uint64_t> value = ParseNumber(parameter, bounds);
  if (!value.ok()) return value.status();
  spec.parameter = *value;
  return spec;
}

Pattern::Pattern(const PatternSpec& spec) : spec_(spec), block_(MakeBlock(spec)) {}

std::span<const uint8_t> Pattern::At(uint64_t offset, uint64_t bytes_max) {
  if (spec_.kind == PatternSpec::Kind::kDemoBlock) return StampedAt(offset, bytes_max);
  const uint64_t phase = offset % spec_.parameter;
  return std::span(block_).subspan(phase, std::min<uint64_t>(bytes_max, block_.size() - phase));
}

std::span<const uint8_t> Pattern::StampedAt(uint64_t offset, uint64_t bytes_max) {
  const uint64_t in_block = offset % kPatternBlockBytes;
  const uint64_t bytes = std::min(bytes_max, kPatternBlockBytes - in_block);
  const uint64_t block_start = offset - in_block;
  const uint64_t first = in_block / kPatternStampEveryBytes;
  const uint64_t last = (in_block + bytes - 1) / kPatternStampEveryBytes;
  for (uint64_t i = first; i <= last; ++i) {
    StoreLe64(&block_[i * kPatternStampEveryBytes], block_start / kPatternStampEveryBytes + i);
  }
  return std::span(block_).subspan(in_block, bytes);
}

bool PatternChecker::Check(std::span<const uint8_t> bytes) {
  while (ok() && !bytes.empty()) {
    const std::span<const uint8_t> expected = pattern_.At(checked_bytes_, bytes.size());
    if (std::memcmp(bytes.data(), expected.data(), expected.size()) != 0) {
      Complain(bytes, expected);
      return false;
    }
    checked_bytes_ += expected.size();
    bytes = bytes.subspan(expected.size());
  }
  return ok();
}

void PatternChecker::Complain(std::span<const uint8_t> bytes, std::span<const uint8_t> expected) {
  const auto differ = std::mismatch(expected.begin(), expected.end(), bytes.begin());
  checked_bytes_ += static_cast<uint64_t>(differ.first - expected.begin());
  first_wrong_offset_ = checked_bytes_;
  complaint_ = absl::StrFormat("byte %d of the stream is 0x%02x, expected 0x%02x", checked_bytes_,
                               *differ.second, *differ.first);
}

}  // namespace devmem
