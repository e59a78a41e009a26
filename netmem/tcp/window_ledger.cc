// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the window ledger. Fixed point with 16 bits: a pool of at most 2^46 bytes keeps
// every product below 2^63.
#include "netmem/tcp/window_ledger.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

// One sample of the waste moves the estimate by this part of the difference.
constexpr uint64_t kWasteGainDivisor = 8;

}  // namespace

absl::StatusOr<WindowLedger> WindowLedger::Create(const Config& config) {
  if (config.capacity_bytes > kLedgerCapacityBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("window ledger over a pool of ", config.capacity_bytes, " bytes: at most ",
                     kLedgerCapacityBytesMax, "; bind a smaller range"));
  }
  if (config.reserve_bytes >= config.capacity_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("window ledger with a reserve of ",
                                                   config.reserve_bytes, " bytes: the pool has ",
                                                   config.capacity_bytes, "; bind a larger range"));
  }
  WindowLedger ledger(config);
  if (config.window_cap_bytes == 0) ledger.config_.window_cap_bytes = kWindowBytesMax;
  ledger.UpdateShare();
  return ledger;
}

void WindowLedger::Leave(uint64_t outstanding_bytes) {
  DEVMEM_CHECK(connection_count_ != 0, "more connections left the ledger than joined it");
  --connection_count_;
  UpdateShare();
  OnArrived(outstanding_bytes);
}

void WindowLedger::UpdateShare() {
  share_bytes_ = 2 * config_.capacity_bytes / std::max(connection_count_, 1u);
  reach_bytes_ = share_bytes_;
}

void WindowLedger::MeasureWaste(uint64_t held_bytes, uint64_t payload_bytes) {
  const uint64_t sample =
      (held_bytes + kWastePriorBytes) * kWasteOne / (payload_bytes + kWastePriorBytes);
  const uint64_t target = std::max(sample, kWasteOne);
  // Rounded so that a lasting rise is reached in full, while a fall may stop just short of it.
  if (target > waste_) {
    waste_ += (target - waste_ + kWasteGainDivisor - 1) / kWasteGainDivisor;
  } else {
    waste_ -= (waste_ - target) / kWasteGainDivisor;
  }
  inverse_waste_ = kWasteOne * kWasteOne / waste_;
}

}  // namespace devmem
