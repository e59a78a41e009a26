// SPDX-License-Identifier: Apache-2.0
//
// Token lanes: the top bits of a token say which table made it. No two tables that live have the
// same lane, and a lane that is used again goes on with the serials after those that its earlier
// tables gave out. So a token that outlives its table stays dead, whatever is bound afterwards.
// Control threads; a lane is taken when a queue is bound.

#pragma once

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"

namespace devmem {

// A lane taken by one table. Moves with it.
class TokenLane {
 public:
  // The lane that was taken longest ago comes first. kResourceExhausted when all are in use.
  static absl::StatusOr<TokenLane> Take();

  TokenLane() = default;  // None.
  TokenLane(TokenLane&& other) noexcept { *this = std::move(other); }
  TokenLane& operator=(TokenLane&& other) noexcept {
    std::swap(number_, other.number_);
    std::swap(first_serial_, other.first_serial_);
    return *this;
  }

  uint16_t number() const { return number_; }
  uint64_t first_serial() const { return first_serial_; }

  // For other tables, which begin with `next_serial`. Nothing where there is none.
  void GiveBack(uint64_t next_serial);

 private:
  TokenLane(uint16_t number, uint64_t first_serial)
      : number_(number), first_serial_(first_serial) {}

  uint16_t number_ = 0;
  uint64_t first_serial_ = 1;
};

}  // namespace devmem
