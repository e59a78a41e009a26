// SPDX-License-Identifier: Apache-2.0
// The window ledger of one rx queue: how many bytes we have promised to all peers together, and how
// much may be promised on top. It keeps what peers are allowed to send within what the queue's pool
// can hold. One per worker and used on its thread alone; O(1) and integers only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/statusor.h"
#include "netmem/tcp/limits.h"
#include "netmem/tcp/window.h"
#include "provider/check.h"

namespace devmem {

// Each connection knows its own outstanding promise, right edge - rcv_nxt, and passes it in; the
// ledger keeps the sum.
//
//      rcv_nxt                      right edge
//         |------ outstanding ----------|------ new credit ------|
//
// New credit is given only while, after it,
//
//      promised x waste <= free - reserve
//
// where `free` is what the pool has left and `waste` how many bytes of net_iovs a byte of payload
// really occupies: held / payload, measured over what is held now. The ratio counts as if one slab
// of perfectly packed payload were held beside it, so that a nearly empty queue with one small
// segment does not read as a waste of 40; a sample moves it by an eighth. It is never below 1.
//
// Two over-commits are allowed, because the spill always receives and a drop is legal:
//   - Every connection that wants it may be promised 2 MSS, or half of what the pool has left if
//     that is less: promised may exceed the bound by 2 MSS per connection. When the pool is empty,
//     windows close as they are used up.
//   - A promise is a multiple of the window unit (1 << scale), rounded up where it would move the
//     right edge left (RFC 7323 section 2.4): less than one unit per acknowledgment. For scaled
//     windows an eighth of the limit is kept back, which pays for it as long as segments have seven
//     units or more.
//
// Invariants:
//   1. promised_bytes() is the sum of the connections' outstanding promises.
//   2. The right edge never moves left: a grant is at least what is outstanding.
//   3. After a grant, promised x waste <= free - reserve, or the grant is at its 2-MSS floor or is
//      what was outstanding, rounded up to the unit. What the connection itself already holds of
//      its promise, behind a hole, does not count: it has its memory.
class WindowLedger {
 public:
  struct Config {
    uint64_t capacity_bytes = 0;    // Of the pool.
    uint64_t reserve_bytes = 0;     // Kept for segments at rcv_nxt: one largest frame.
    uint64_t window_cap_bytes = 0;  // The most that one connection is promised; 0: kWindowBytesMax.
  };

  struct GrantRequest {
    uint64_t outstanding_bytes = 0;  // right edge - rcv_nxt before the grant.
    uint64_t ahead_bytes = 0;        // Of these, what is here already, behind a hole.
    uint64_t wanted_bytes = 0;       // The window that this connection would like.
    uint64_t available_bytes = 0;    // What the pool has left, the reserve included.
    uint32_t mss_bytes = kMssBytesDefault;
    uint8_t window_scale = 0;
  };

  struct GrantResult {
    uint64_t window_bytes = 0;  // right edge - rcv_nxt from now on; a multiple of the window unit.
    // Memory was the reason for less than wanted: ask again when some is free.
    bool limited = false;
  };

  // Errors: kInvalidArgument  the reserve is not smaller than the capacity, or the capacity exceeds
  //                           kLedgerCapacityBytesMax.
  static absl::StatusOr<WindowLedger> Create(const Config& config);

  // A connection begins to count with its first payload: what its handshake promised is
  // `outstanding_bytes`. It ends with `outstanding_bytes` unused. Those that have only shaken hands
  // are over-committed: a million idle ones must not keep a few busy ones from the memory. All
  // promises together stay within twice the limit, but for two segments of each connection.
  void Join(uint64_t outstanding_bytes = 0) {
    ++connection_count_;
    promised_bytes_ += outstanding_bytes;
    UpdateShare();
  }
  void Leave(uint64_t outstanding_bytes);
  // The most that a handshake may promise now, `wanted_bytes` or two segments.
  uint64_t FirstPromise(uint64_t wanted_bytes, uint64_t available_bytes, uint32_t mss_bytes) const {
    const uint64_t promised_bytes = first_promised_bytes_ + promised_bytes_;
    if (promised_bytes + wanted_bytes <= 2 * PromiseLimit(available_bytes)) return wanted_bytes;
    return std::min(wanted_bytes, uint64_t{kWindowFloorSegments} * mss_bytes);
  }
  void OnFirstPromise(uint64_t bytes) { first_promised_bytes_ += bytes; }
  // Its connection joined or ended.
  void EndFirstPromise(uint64_t bytes) {
    DEVMEM_CHECK(bytes <= first_promised_bytes_, "handshakes promised less than what ends");
    first_promised_bytes_ -= bytes;
  }

  // rcv_nxt moved over `bytes` that lay inside the promise. (A FIN counts only if it does.)
  void OnArrived(uint64_t bytes) {
    DEVMEM_CHECK(bytes <= promised_bytes_, "more arrived than the ledger had promised");
    promised_bytes_ -= bytes;
  }

  // Extends one connection's right edge. Small steps are not worth a segment: credit below one MSS
  // and below half the window is held back (window.h, ReceiverMayAdvance).
  GrantResult Grant(const GrantRequest& request);
  // What Grant() would at most lead to now, as far as the last one could see: where connections
  // share the memory, one that has its share need not ask for more. `ahead_bytes` as in a request.
  uint64_t WithinReach(uint64_t wanted_bytes, uint64_t ahead_bytes, uint32_t mss_bytes) const {
    if (wanted_bytes <= reach_bytes_) [[likely]]
      return wanted_bytes;
    const uint64_t floor_bytes = uint64_t{kWindowFloorSegments} * mss_bytes;
    return std::min(wanted_bytes, std::max(reach_bytes_ + ahead_bytes, floor_bytes));
  }
  // What Grant() does when nothing is to be added: only rounds the promise up to the unit. Returns
  // the window.
  uint64_t Keep(uint64_t outstanding_bytes, uint8_t window_scale) {
    const uint64_t kept_bytes = RoundUp(outstanding_bytes, uint64_t{1} << window_scale);
    promised_bytes_ += kept_bytes - outstanding_bytes;
    return kept_bytes;
  }

  // One look at the pool: `held_bytes` in net_iovs that have references, `payload_bytes` of stream
  // in them. Once per batch is often enough.
  void MeasureWaste(uint64_t held_bytes, uint64_t payload_bytes);

  uint64_t promised_bytes() const { return promised_bytes_; }
  uint64_t first_promised_bytes() const { return first_promised_bytes_; }
  uint32_t connection_count() const { return connection_count_; }
  // In units of 1 / kWasteOne.
  uint64_t waste() const { return waste_; }
  static constexpr uint64_t kWasteOne = 1u << 16;

  // The most that may be promised in all while the pool has `available_bytes` left.
  uint64_t PromiseLimit(uint64_t available_bytes) const {
    const uint64_t free_bytes = std::min(available_bytes, config_.capacity_bytes);
    if (free_bytes <= config_.reserve_bytes) return 0;
    return (free_bytes - config_.reserve_bytes) * inverse_waste_ / kWasteOne;
  }

 private:
  explicit WindowLedger(const Config& config) : config_(config) {}

  void UpdateShare();
  // `unit` is a power of two: no division, since every acknowledgment passes here.
  static constexpr uint64_t RoundDown(uint64_t bytes, uint64_t unit) { return bytes & ~(unit - 1); }
  static constexpr uint64_t RoundUp(uint64_t bytes, uint64_t unit) {
    return RoundDown(bytes + unit - 1, unit);
  }

  Config config_;
  uint64_t promised_bytes_ = 0;
  uint64_t first_promised_bytes_ = 0;  // Of connections that have not joined.
  uint64_t waste_ = kWasteOne;
  uint64_t inverse_waste_ = kWasteOne;  // kWasteOne^2 / waste_, kept for the same reason.
  uint64_t share_bytes_ = 0;            // Twice an equal share of the pool.
  uint64_t reach_bytes_ = 0;  // What the last grant went by: the equal share, or twice that.
  uint32_t connection_count_ = 0;
};

inline WindowLedger::GrantResult WindowLedger::Grant(const GrantRequest& request) {
  DEVMEM_CHECK(request.outstanding_bytes <= promised_bytes_,
               "a connection has more outstanding than all together");
  const uint64_t unit_bytes = uint64_t{1} << request.window_scale;
  const uint64_t outstanding_bytes = request.outstanding_bytes;
  // Nothing of it for windows that are not scaled.
  const uint64_t rounding_bytes =
      std::min(kRoundingUnits * (unit_bytes - 1), request.available_bytes);
  // At most half of what is left: what is dropped on the way takes room in the pool, too, and a
  // window that is used up while some is left is shut, so that its peer waits and does not time
  // out.
  const uint64_t floor_bytes =
      std::min({uint64_t{kWindowFloorSegments} * request.mss_bytes, request.wanted_bytes,
                (request.available_bytes - rounding_bytes) / 2});
  uint64_t limit_bytes = PromiseLimit(request.available_bytes);
  if (request.window_scale != 0) limit_bytes -= limit_bytes / kRoundingDivisor;
  // Half of the connections are idle as a rule, and the others may use their part; but once most of
  // the memory is promised, an equal share is what new credit leads to.
  const bool tight = 2 * promised_bytes_ > limit_bytes;
  const uint64_t share_bytes = tight ? share_bytes_ / 2 : share_bytes_;
  const uint64_t wish_bytes =
      std::min({request.wanted_bytes, config_.window_cap_bytes, share_bytes});
  const uint64_t floor_units = RoundUp(floor_bytes, unit_bytes);
  const uint64_t target_bytes = std::min(std::max(RoundDown(wish_bytes, unit_bytes), floor_units),
                                         uint64_t{65535} << request.window_scale);
  const uint64_t awaited_bytes = promised_bytes_ - request.ahead_bytes;
  const uint64_t room_bytes = limit_bytes - std::min(limit_bytes, awaited_bytes);
  // Of what may be promised, too: else those who ask first would use up what arrives for others.
  reach_bytes_ = tight ? limit_bytes / std::max(connection_count_, 1u) : share_bytes_;
  const uint64_t funded_bytes = RoundDown(
      std::min(outstanding_bytes + room_bytes, reach_bytes_ + request.ahead_bytes), unit_bytes);
  const uint64_t offer_bytes = std::min(target_bytes, std::max(funded_bytes, floor_units));

  GrantResult result;
  // Nor is a window of nothing all that was wanted, where a share is less than a unit.
  result.limited = offer_bytes < target_bytes || (offer_bytes == 0 && request.wanted_bytes != 0);
  const uint64_t kept_bytes = RoundUp(outstanding_bytes, unit_bytes);
  // Where segments are huge and the pool is small, an eighth of the pool is worth a step.
  const uint64_t whole_bytes = std::min(target_bytes, config_.capacity_bytes / 4);
  const bool advances =
      offer_bytes > kept_bytes &&
      ReceiverMayAdvance(offer_bytes - outstanding_bytes, whole_bytes, request.mss_bytes);
  result.window_bytes = advances ? offer_bytes : kept_bytes;
  promised_bytes_ += result.window_bytes - outstanding_bytes;
  return result;
}

}  // namespace devmem
