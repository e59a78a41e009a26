// SPDX-License-Identifier: Apache-2.0
// See suballocator.h.
#include "provider/suballocator.h"

#include <bit>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

constexpr uint64_t kGranule = kSuballocationGranuleBytes;

absl::Status NotInGranules(uint64_t bytes) {
  return absl::InvalidArgumentError(
      absl::StrCat("a piece of ", bytes, " bytes is refused: pieces are a positive multiple of ",
                   kGranule, " bytes; ask for ", (bytes / kGranule + 1) * kGranule));
}

// In functions of their own, so that the calls that succeed build no text.
[[gnu::cold, gnu::noinline]] absl::Status BadAlignment(uint64_t alignment) {
  return absl::InvalidArgumentError(absl::StrCat("a piece aligned to ", alignment,
                                                 " bytes is refused: an alignment is a power of "
                                                 "two and at least ",
                                                 kGranule, " bytes"));
}

[[gnu::cold, gnu::noinline]] absl::Status NoRoom(const Suballocator& from, uint64_t bytes,
                                                 uint64_t alignment) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "no ", bytes, " bytes aligned to ", alignment, " are free side by side in a grant of ",
      from.granted_bytes(), " bytes: ", from.free_bytes(), " bytes are free, at most ",
      from.longest_free_bytes(), " of them in one run, beside ", from.live_pieces(),
      " pieces; give pieces back, or ask for less"));
}

[[gnu::cold, gnu::noinline]] absl::Status Outside(const Suballocator& from, uint64_t offset,
                                                  uint64_t bytes) {
  return absl::OutOfRangeError(absl::StrCat("a piece of ", bytes, " bytes at ", offset,
                                            " is not taken back: the grant has ",
                                            from.granted_bytes(), " bytes at ", from.offset()));
}

}  // namespace

absl::StatusOr<Suballocator> Suballocator::Create(uint64_t offset, uint64_t bytes) {
  if (bytes > kRegionBytesMax || offset > kRegionBytesMax - bytes) {
    return absl::OutOfRangeError(absl::StrCat("a grant of ", bytes, " bytes at ", offset,
                                              " is refused: no region is larger than ",
                                              kRegionBytesMax, " bytes; grant less"));
  }
  if (bytes == 0 || bytes % kGranule != 0 || offset % kGranule != 0) {
    return absl::InvalidArgumentError(absl::StrCat("a grant of ", bytes, " bytes at ", offset,
                                                   " is refused: both must be multiples of ",
                                                   kGranule, " bytes, and the size positive"));
  }
  Suballocator made(offset, bytes / kGranule);
  if (made.map_.ok()) return made;
  return absl::ResourceExhaustedError(absl::StrCat(
      "there is no address space for the books of a grant of ", bytes, " bytes; grant less"));
}

absl::StatusOr<uint64_t> Suballocator::Alloc(uint64_t bytes, uint64_t alignment) {
  if (bytes == 0 || bytes % kGranule != 0) return NotInGranules(bytes);
  if (alignment < kGranule || !std::has_single_bit(alignment)) return BadAlignment(alignment);
  const uint64_t count = bytes / kGranule;
  // No offset is a multiple of more, but for 0; and sums with it stay small.
  if (count > map_.count() || alignment > 2 * kRegionBytesMax) {
    return NoRoom(*this, bytes, alignment);
  }
  const uint64_t first = map_.Find(count, alignment / kGranule, offset_ / kGranule);
  if (first == PieceMap::kNone) return NoRoom(*this, bytes, alignment);
  map_.Take(first, count);
  free_granules_ -= count;
  ++live_pieces_;
  return offset_ + first * kGranule;
}

absl::Status Suballocator::Free(uint64_t offset, uint64_t bytes) {
  const uint64_t granted = granted_bytes();
  if (offset < offset_ || offset - offset_ >= granted || bytes > granted - (offset - offset_)) {
    return Outside(*this, offset, bytes);
  }
  if (bytes == 0 || bytes % kGranule != 0) return NotInGranules(bytes);
  if (offset % kGranule != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a piece at ", offset, " is not taken back: ", "pieces begin at multiples of ",
                     kGranule, " bytes"));
  }
  const uint64_t first = (offset - offset_) / kGranule;
  if (!map_.Begins(first)) {
    return absl::NotFoundError(absl::StrCat("no piece begins at ", offset, ": it was given back ",
                                            "before, or never handed out"));
  }
  const uint64_t count = map_.EndOfPiece(first) - first;
  if (count != bytes / kGranule) {
    return absl::InvalidArgumentError(absl::StrCat("the piece at ", offset, " has ",
                                                   count * kGranule, " bytes, and not ", bytes,
                                                   "; give all of it back"));
  }
  map_.Give(first, count);
  free_granules_ += count;
  --live_pieces_;
  return absl::OkStatus();
}

}  // namespace devmem
