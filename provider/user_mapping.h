// SPDX-License-Identifier: Apache-2.0
// UserMapping: device memory in the application's own address space, and TranslateUserRange(),
// which says what region bytes lie behind addresses of it. The one deliberate door through which an
// address of a region comes out. Both for any thread. Documentation/memory.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/mapped_memory.h"
#include "provider/region.h"

namespace devmem {

// Invariants:
//   1. Addresses of two mappings that can be translated are disjoint.
//   2. The memory stays mapped as long as the mapping or a guard of it lives.
//   3. Once the region is revoked, the addresses show private zeroes: nothing faults, and nothing
//      reaches the region.
// A mapping for reading follows memory that moves.
class UserMapping {
 public:
  // Maps a range of a region, in whole pages of it. With `at`, the range is put there, in place of
  // whatever the caller had reserved: so that several regions are neighbours.
  //
  // Errors: kInvalidArgument    zero bytes, or not in pages.
  //         kOutOfRange         outside the region.
  //         kFailedPrecondition memory that may move, for writing: what is stored in the middle of
  //                             a move would be lost. The region is being removed.
  //         kAlreadyExists      `at` overlaps another mapping.
  //         kAborted            the region was revoked.
  //         the provider's, where the processor cannot map the memory.
  static absl::StatusOr<UserMapping> Map(const Region& region, uint64_t offset, uint64_t bytes,
                                         MapAccess access, void* at = nullptr);

  ~UserMapping();
  UserMapping(UserMapping&& other) noexcept = default;
  UserMapping& operator=(UserMapping&& other) noexcept {
    std::swap(range_, other.range_);
    return *this;
  }

  void* address() const;
  size_t bytes() const;

 private:
  friend class UserRangeGuard;
  friend class UserRangeTable;
  class Range;

  explicit UserMapping(std::shared_ptr<Range> range) : range_(std::move(range)) {}

  std::shared_ptr<Range> range_;  // Null once moved from.
};

// Part of an address range: so many bytes of a region.
struct UserRangePiece {
  uint32_t region_id = 0;
  uint64_t offset = 0;  // In the region.
  uint64_t bytes = 0;
  bool operator==(const UserRangePiece&) const = default;
};

// What TranslateUserRange() found. While it lives the memory stays mapped, also without its
// UserMapping, and does not change its place (RegionLife::TryPin()): it is for one operation, such
// as a transfer, not for keeping. Used by one thread at a time.
class UserRangeGuard {
 public:
  ~UserRangeGuard();
  UserRangeGuard(UserRangeGuard&& other) noexcept { Swap(other); }
  UserRangeGuard& operator=(UserRangeGuard&& other) noexcept {
    Swap(other);
    return *this;
  }

  // In the order of the addresses; at least one.
  size_t piece_count() const { return count_; }
  const UserRangePiece& piece(size_t index) const { return HeldAt(index).piece; }

  // False once one of the regions was revoked. Asked after an access, true says that the access
  // reached the region. A guard does not hold up a revoke.
  bool valid() const;

 private:
  friend class UserRangeTable;
  static constexpr size_t kInlinePieces = 4;  // So that common ranges need no heap.

  struct Held {
    std::shared_ptr<UserMapping::Range> range;
    UserRangePiece piece;
  };

  UserRangeGuard() = default;
  void Swap(UserRangeGuard& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(more_, other.more_);
    std::swap(count_, other.count_);
  }
  const Held& HeldAt(size_t index) const {
    return index < kInlinePieces ? first_[index] : more_[index - kInlinePieces];
  }
  void Add(Held held);

  std::array<Held, kInlinePieces> first_;
  std::vector<Held> more_;
  size_t count_ = 0;
};

// The region bytes behind [address, address + bytes), over as many neighbouring mappings as that
// takes. Touches none of the memory, mapped or not.
//
// Errors: kInvalidArgument zero bytes.
//         kOutOfRange      the range ends behind the last address.
//         kNotFound        part of the range is no device memory; the message has the first address
//                          that is not.
//         kUnavailable     the memory is on its way to another place; try again.
//         kAborted, kFailedPrecondition  the region was revoked, or is being removed.
absl::StatusOr<UserRangeGuard> TranslateUserRange(const void* address, uint64_t bytes);

}  // namespace devmem
