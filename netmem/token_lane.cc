// SPDX-License-Identifier: Apache-2.0
//
// The lanes of the process.

#include "netmem/token_lane.h"

#include <array>
#include <mutex>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "netmem/limits.h"

namespace devmem {
namespace {

constexpr uint32_t kLanes = uint32_t{1} << (64 - kTokenSerialBits);  // Lane 0 is none.

struct Lanes {
  std::mutex mutex;
  uint32_t last = 0;
  // Of the next table in a lane, less 1; UINT64_MAX while one has it. Zero at first, so that only
  // lanes that were used cost memory.
  std::array<uint64_t, kLanes> serials_used;
};

Lanes& AllLanes() {
  static Lanes lanes = {};
  return lanes;
}

}  // namespace

absl::StatusOr<TokenLane> TokenLane::Take() {
  Lanes& lanes = AllLanes();
  const std::lock_guard<std::mutex> lock(lanes.mutex);
  for (uint32_t tries = 1; tries < kLanes; ++tries) {
    lanes.last = lanes.last + 1 == kLanes ? 1 : lanes.last + 1;
    uint64_t& used = lanes.serials_used[lanes.last];
    if (used >= kTokenSerialsMax) continue;  // In use, or used up.
    const uint64_t first_serial = used + 1;
    used = UINT64_MAX;
    return TokenLane(static_cast<uint16_t>(lanes.last), first_serial);
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("all ", kLanes - 1, " token lanes of the process are in use; unbind a queue"));
}

void TokenLane::GiveBack(uint64_t next_serial) {
  if (number_ == 0) return;
  Lanes& lanes = AllLanes();
  const std::lock_guard<std::mutex> lock(lanes.mutex);
  lanes.serials_used[std::exchange(number_, uint16_t{0})] = next_serial - 1;
}

}  // namespace devmem
