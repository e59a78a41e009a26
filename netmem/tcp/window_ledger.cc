// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the window ledger. Fixed point with 16 bits: a pool of at most 2^46 bytes keeps
// every product below 2^63.
#include "netmem/tcp/window_ledger.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "netmem/tcp/window.h"
#include "provider/check.h"

namespace devmem {
namespace {

// One sample of the waste moves the estimate by this part of the difference.
constexpr uint64_t kWasteGainDivisor = 8;

// `unit` is a power of two: no division, since every acknowledgment passes here.
constexpr uint64_t RoundDown(uint64_t bytes, uint64_t unit) { return bytes & ~(unit - 1); }
constexpr uint64_t RoundUp(uint64_t bytes, uint64_t unit) {
  return RoundDown(bytes + unit - 1, unit);
}

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

// Twice an equal share: half of the connections are idle as a rule, and the others may use it.
void WindowLedger::UpdateShare() {
  share_bytes_ = 2 * config_.capacity_bytes / std::max(connection_count_, 1u);
}

void WindowLedger::OnArrived(uint64_t bytes) {
  DEVMEM_CHECK(bytes <= promised_bytes_, "more arrived than the ledger had promised");
  promised_bytes_ -= bytes;
}

uint64_t WindowLedger::PromiseLimit(uint64_t available_bytes) const {
  const uint64_t free_bytes = std::min(available_bytes, config_.capacity_bytes);
  if (free_bytes <= config_.reserve_bytes) return 0;
  if (waste_ == kWasteOne) return free_bytes - config_.reserve_bytes;
  return (free_bytes - config_.reserve_bytes) * kWasteOne / waste_;
}

uint64_t WindowLedger::Target(const GrantRequest& request, uint64_t floor_bytes) const {
  const uint64_t wish_bytes =
      std::min({request.wanted_bytes, config_.window_cap_bytes, share_bytes_});
  const uint64_t unit_bytes = uint64_t{1} << request.window_scale;
  const uint64_t target_bytes =
      std::max(RoundDown(wish_bytes, unit_bytes), RoundUp(floor_bytes, unit_bytes));
  return std::min(target_bytes, uint64_t{65535} << request.window_scale);
}

WindowLedger::GrantResult WindowLedger::Grant(const GrantRequest& request) {
  DEVMEM_CHECK(request.outstanding_bytes <= promised_bytes_,
               "a connection has more outstanding than all together");
  const uint64_t unit_bytes = uint64_t{1} << request.window_scale;
  const uint64_t outstanding_bytes = request.outstanding_bytes;
  const uint64_t floor_bytes = std::min({uint64_t{kWindowFloorSegments} * request.mss_bytes,
                                         request.available_bytes, request.wanted_bytes});
  const uint64_t target_bytes = Target(request, floor_bytes);

  const uint64_t limit_bytes = PromiseLimit(request.available_bytes);
  const uint64_t room_bytes = limit_bytes - std::min(limit_bytes, promised_bytes_);
  const uint64_t funded_bytes = RoundDown(outstanding_bytes + room_bytes, unit_bytes);
  const uint64_t offer_bytes =
      std::min(target_bytes, std::max(funded_bytes, RoundUp(floor_bytes, unit_bytes)));

  GrantResult result;
  result.limited = offer_bytes < target_bytes;
  const uint64_t kept_bytes = RoundUp(outstanding_bytes, unit_bytes);
  const bool advances =
      offer_bytes > kept_bytes &&
      ReceiverMayAdvance(offer_bytes - outstanding_bytes, target_bytes, request.mss_bytes);
  result.window_bytes = advances ? offer_bytes : kept_bytes;
  promised_bytes_ += result.window_bytes - outstanding_bytes;
  return result;
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
}

}  // namespace devmem
