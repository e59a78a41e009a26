// SPDX-License-Identifier: Apache-2.0
// When one connection acknowledges: RFC 9293 section 3.8.6.3, RFC 5681 section 4.2, and fewer than
// those for frames that carry many segments (RFC 2525 section 2.13 calls it stretch ACKs; every NIC
// that merges segments makes them). The receiver reports what arrived, on the worker's thread, and
// asks at the end of the batch.
#pragma once

#include <algorithm>
#include <cstdint>

#include "netmem/tcp/limits.h"
#include "netmem/tcp/time.h"

namespace devmem {

enum class AckDecision : uint8_t {
  kNone,     // Nothing to acknowledge.
  kDelayed,  // Let the delayed-ACK timer run: kDelayedAckMax from the first unacknowledged byte.
  kNow,      // Send one acknowledgment now.
};

// What may be chosen about it. The defaults are eager; `frugal` is what Linux does.
struct AckOptions {
  // Two segments are answered at once whatever their size; else only what is more than one full
  // segment's bytes is.
  bool count_segments = true;
  // Segments (or, if they are not counted, acknowledgments) at the start of a connection without
  // delay: the peer is in slow start, where a delayed ACK costs it a round trip of growth.
  uint8_t quick_count = kQuickAckSegments;
  // Who sends within the delay of what it received is answering: from then on acknowledgments wait
  // for the next answer, that of the peer's FIN included, until something is out of order.
  bool wait_for_answers = false;
  Nanos delay_max = kDelayedAckMax;

  static constexpr AckOptions Frugal() {
    return {.count_segments = false, .wait_for_answers = true};
  }
};

// The rule:
//   at once       out of order, duplicate, a hole filled: the peer's loss recovery counts these
//                 acknowledgments, and each repeats what a lost one said.
//   every second  full-sized segment, for the next kCarefulAcks acknowledgments after that, as RFC
//                 5681 has it: on a path that loses segments it loses acknowledgments too, and a
//                 peer with few segments in flight stands still when the only one is lost.
//   end of batch  two segments or more are unacknowledged, or two full segments' worth of bytes; a
//                 FIN came; the window opened.
//   end of batch  the first kQuickAckSegments segments of a connection: the peer is in slow start,
//                 where each delayed ACK costs it a round trip of growth or the whole delay.
//   delayed       one single segment.
// The receiver asks at the end of a batch, and in its middle when batch_full().
class AckPolicy {
 public:
  AckPolicy() = default;
  // `mss_bytes` is what we announced: no segment of the peer is larger.
  explicit AckPolicy(uint32_t mss_bytes, const AckOptions& options = {})
      : mss_bytes_(std::max(mss_bytes, kMssBytesMin)),
        // Linux takes a peer's segments for small ones until it has seen others.
        rcv_mss_bytes_(options.count_segments ? kMssBytesMin
                                              : std::min(mss_bytes_, kMssBytesDefault)),
        quick_left_(options.quick_count),
        count_segments_(options.count_segments),
        wait_for_answers_(options.wait_for_answers) {}

  // rcv_nxt moved over `bytes` that arrived as `segment_count` segments, in one frame or several.
  void OnInOrder(uint32_t bytes, uint32_t segment_count) {
    pending_bytes_ = SaturatingAdd(pending_bytes_, bytes);
    pending_segments_ = SaturatingAdd(pending_segments_, segment_count);
    data_was_last_ = true;
    // What teaches nothing, as nearly every segment, is spared the division.
    if (uint64_t{segment_count} * rcv_mss_bytes_ < bytes && segment_count != 0) [[unlikely]] {
      LearnSegment(bytes / segment_count);
    }
  }
  void OnOutOfOrder() { OnTrouble(); }
  void OnDuplicate() { OnTrouble(); }   // Also for segments outside of the window.
  void OnHoleFilled() { OnTrouble(); }  // RFC 5681 section 4.2: all or part of a gap.
  // `answer_may_follow`: the peer sent something, and our own side has not been closed.
  void OnFin(bool answer_may_follow) {
    if (!wait_for_answers_ || !answer_may_follow) {
      now_ = true;
      return;
    }
    answering_ = true;
    pending_bytes_ = SaturatingAdd(pending_bytes_, 1);
  }
  // The window opened by enough that the peer should hear of it.
  void OnWindowOpened() { now_ = true; }

  // A segment without data was heard, and the one before it at `before`: for OnDataSent().
  void OnHeardNoData(Nanos before) {
    if (data_was_last_) data_heard_ms_ = static_cast<uint32_t>(before / kMillisecond);
    data_was_last_ = false;
  }
  // New data leaves; the last segment of the peer was heard at `last_heard_at`.
  void OnDataSent(Nanos last_heard_at, Nanos now, Nanos delay_max) {
    if (!wait_for_answers_) return;
    if (now - data_heard_at(last_heard_at, now) < delay_max) answering_ = true;
  }
  // Before Decide(): whether more than half of what may wait to be read does. Then nothing is
  // gained by telling the peer soon.
  void SetHalfFull(bool half_full) {
    half_full_ = half_full;
    if (half_full) quick_left_ = 0;
  }
  // The user has read all there was.
  void OnAllRead() {
    if (wait_for_answers_ && !answering_ && pending_bytes_ != 0) now_ = true;
  }
  // The delay is over, so no answer came.
  void OnDelayOver() {
    answering_ = false;
    now_ = true;
  }
  // The user's wish (TCP_QUICKACK): off delays every acknowledgment that may be.
  void SetQuick(bool quick) {
    answering_ = !quick;
    quick_left_ = quick ? kQuickAckSegments : uint8_t{0};
    if (quick && pending_bytes_ != 0) now_ = true;
  }
  bool quick() const { return !answering_; }
  bool waits_for_answers() const { return wait_for_answers_; }

  AckDecision Decide() const {
    if (now_) return AckDecision::kNow;
    if (pending_segments_ == 0 && pending_bytes_ == 0) return AckDecision::kNone;
    if (count_segments_) {
      if (pending_segments_ >= 2 || pending_bytes_ >= 2 * rcv_mss_bytes_) return AckDecision::kNow;
    } else if (pending_bytes_ > rcv_mss_bytes_ && !half_full_) {
      return AckDecision::kNow;
    }
    return quick_left_ != 0 && !answering_ ? AckDecision::kNow : AckDecision::kDelayed;
  }
  bool batch_full() const { return pending_bytes_ >= batch_bytes_max_; }

  // Whether every second segment is acknowledged, so that frames must not be merged.
  bool careful() const { return careful_acks_left_ != 0; }

  // Any segment with ACK left: everything is acknowledged.
  void OnAckSent() {
    const uint32_t spent = count_segments_ ? pending_segments_ : (pending_bytes_ != 0 ? 1 : 0);
    quick_left_ = static_cast<uint8_t>(quick_left_ - std::min<uint32_t>(quick_left_, spent));
    pending_bytes_ = 0;
    pending_segments_ = 0;
    now_ = false;
    if (careful_acks_left_ == 0) return;
    --careful_acks_left_;
    batch_bytes_max_ = careful_acks_left_ != 0 ? 2 * rcv_mss_bytes_ : kAckBatchBytesMax;
  }

  uint32_t pending_bytes() const { return pending_bytes_; }
  // The peer's segment size as far as we have seen it.
  uint32_t rcv_mss_bytes() const { return rcv_mss_bytes_; }
  // When the peer's last data was heard, to the millisecond; `last_heard_at` is that of any
  // segment.
  Nanos data_heard_at(Nanos last_heard_at, Nanos now) const {
    if (data_was_last_) return last_heard_at;
    return now - static_cast<uint32_t>(now / kMillisecond - data_heard_ms_) * kMillisecond;
  }

 private:
  void OnTrouble() {
    now_ = true;
    answering_ = false;
    if (wait_for_answers_) quick_left_ = kQuickAckSegments;
    careful_acks_left_ = kCarefulAcks;
    batch_bytes_max_ = 0;
  }
  static uint32_t SaturatingAdd(uint32_t a, uint32_t b) { return a + b < a ? UINT32_MAX : a + b; }
  void LearnSegment(uint32_t bytes) {
    rcv_mss_bytes_ = std::clamp(bytes, rcv_mss_bytes_, std::max(mss_bytes_, rcv_mss_bytes_));
  }
  uint32_t mss_bytes_ = kMssBytesDefault;
  uint32_t rcv_mss_bytes_ = kMssBytesMin;
  uint32_t pending_bytes_ = 0;
  uint32_t pending_segments_ = 0;
  // 0 while an acknowledgment is due at once, so that the short path has one number to look at.
  uint32_t batch_bytes_max_ = kAckBatchBytesMax;
  uint8_t quick_left_ = kQuickAckSegments;
  uint8_t careful_acks_left_ = 0;
  bool now_ = false;
  bool count_segments_ = true;
  bool wait_for_answers_ = false;
  bool answering_ = false;  // Acknowledgments wait for an answer to carry them.
  bool half_full_ = false;
  bool data_was_last_ = false;  // The peer's last segment had data.
  uint32_t data_heard_ms_ = 0;  // Unless data_was_last_.
};

}  // namespace devmem
