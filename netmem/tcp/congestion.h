// SPDX-License-Identifier: Apache-2.0
// Congestion control of what one connection sends: slow start and congestion avoidance (RFC 5681)
// by acknowledged bytes (RFC 3465), limited transmit (RFC 3042), and NewReno fast recovery (RFC
// 6582). The sender calls it on the worker's thread; it decides how much may be
// in flight and when to send the first unacknowledged segment again, and knows neither segments nor
// timers.
#pragma once

#include <cstdint>

#include "netmem/tcp/limits.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

// What to do after a duplicate acknowledgment.
enum class DupAckResult : uint8_t {
  kNone,        // Nothing to do: the losses of a timeout are being repaired.
  kMaySend,     // window_bytes() grew by one segment: try to send new data.
  kRetransmit,  // The third one: send the segment at snd_una again now.
};

// What to do after an acknowledgment of new data.
enum class AckResult : uint8_t {
  kAdvanced,          // No recovery is going on.
  kPartial,           // Fast recovery: send the segment at the new snd_una again now.
  kFirstPartial,      // As kPartial, and restart the retransmission timer (RFC 6582 section 3.2).
  kRecoveryFinished,  // Fast recovery ended with this acknowledgment.
};

//   snd_una                       snd_max
//      |-------- flight_bytes --------|
//      |---------------- window_bytes() ---------------|    send while flight < window
//
// Invariants:
//   1. mss_bytes <= cwnd_bytes() <= kCongestionWindowBytesMax.
//   2. ssthresh_bytes() >= 2 * mss_bytes.
//   3. recover_ means something only while has_recover_: snd_max at the last loss.
class NewReno {
 public:
  NewReno() : NewReno(kMssBytesDefault) {}
  // `mss_bytes` is the largest payload of a segment that we send.
  explicit NewReno(uint32_t mss_bytes);

  uint32_t cwnd_bytes() const { return cwnd_bytes_; }
  uint32_t ssthresh_bytes() const { return ssthresh_bytes_; }
  bool in_recovery() const { return in_recovery_; }
  // What was sent before the last timeout is not all acknowledged.
  bool after_timeout() const { return after_timeout_; }
  // What was sent before the last mark is not all acknowledged.
  bool in_marked() const { return in_marked_; }
  // How much may be in flight: cwnd plus what limited transmit allows.
  uint32_t window_bytes() const { return cwnd_bytes_ + limited_transmit_bytes_; }

  // What the duplicate acknowledgments since the last new one say has arrived.
  uint32_t duplicate_bytes() const { return duplicate_acks_ * mss_bytes_; }

  // Our SYN or SYN-ACK was lost: the initial window is one segment (RFC 5681 section 3.1).
  void OnSynLost() { cwnd_bytes_ = mss_bytes_; }

  // The path's MTU changed. Windows in bytes stay as they are, within the invariants.
  void SetMss(uint32_t mss_bytes);

  // Something was sent; `flight_bytes` are outstanding now. `limited`: more is queued, and only
  // cwnd holds it back.
  void OnSent(SeqNum snd_una, SeqNum snd_max, uint32_t flight_bytes, bool limited);

  // New data was acknowledged: `snd_una` is the new value, `acked_bytes` how far it moved,
  // `flight_bytes` what is still outstanding after it. `told_bytes` of what moved it had been told
  // of before, by SACK or by duplicate acknowledgments.
  AckResult OnAck(SeqNum snd_una, uint32_t acked_bytes, uint32_t flight_bytes,
                  uint32_t told_bytes = 0);

  // A duplicate acknowledgment in the sense of RFC 5681 section 2 (all five conditions are the
  // caller's). `snd_max` is one past the highest number ever sent.
  DupAckResult OnDuplicateAck(SeqNum snd_una, SeqNum snd_max, uint32_t flight_bytes);

  // An ACK echoed a mark of the path (RFC 3168 section 6.1.2): as a loss, but nothing goes again.
  // Once per window of data. Returns whether cwnd was reduced.
  bool OnEcnEcho(SeqNum snd_una, SeqNum snd_max, uint32_t flight_bytes);

  // As OnDuplicateAck(), for an ACK whose SACK blocks say something new (RFC 6675 section 5);
  // `first_is_lost` says that they prove the segment at snd_una lost. The recovery that it starts
  // keeps cwnd as it is, and the sender counts what is in the network.
  DupAckResult OnSackNews(SeqNum snd_una, SeqNum snd_max, uint32_t flight_bytes,
                          bool first_is_lost);

  // The retransmission timer expired: one segment is sent again, everything else waits.
  void OnTimeout(SeqNum snd_max, uint32_t flight_bytes);

  // Nothing was sent for longer than the retransmission timeout: RFC 5681 section 4.1.
  void OnIdleRestart();

 private:
  uint32_t InitialWindow() const;
  uint32_t HalfOf(uint32_t flight_bytes) const;
  void Grow(uint32_t acked_bytes, uint32_t peak_flight_bytes);
  void EnterRecovery(SeqNum snd_max);
  AckResult OnAckInRecovery(SeqNum snd_una, uint32_t acked_bytes, uint32_t flight_bytes);
  void SetCwnd(uint64_t bytes);

  uint32_t mss_bytes_;
  uint32_t cwnd_bytes_;
  uint32_t ssthresh_bytes_ = kCongestionWindowBytesMax;
  uint32_t avoidance_bytes_ = 0;  // Acknowledged since cwnd last grew in congestion avoidance.
  uint32_t limited_transmit_bytes_ = 0;
  // Flight at the first duplicate ACK: what limited transmit adds later must not count (RFC 5681
  // section 3.2, step 2). During recovery, the most that duplicate ACKs may still inflate cwnd by:
  // there cannot be more of them than segments were in flight.
  uint32_t flight_at_loss_bytes_ = 0;
  // The most that was in flight in the window of data that ends at window_end_.
  uint32_t peak_flight_bytes_ = 0;
  SeqNum window_end_;
  SeqNum recover_;
  SeqNum marked_until_;  // snd_max when a mark halved cwnd last; means something while in_marked_.
  uint8_t duplicate_acks_ = 0;  // Stops at kDuplicateAckThreshold.
  bool has_recover_ = false;
  bool in_recovery_ = false;
  bool saw_partial_ = false;
  bool by_sack_ = false;          // The recovery is that of RFC 6675.
  bool in_marked_ = false;        // Until marked_until_ is acknowledged, cwnd does not move.
  bool after_timeout_ = false;    // Until recover_ is acknowledged.
  bool cwnd_limited_ = false;     // In that window of data, cwnd held something back.
  bool timeout_repeats_ = false;  // No progress since the last timeout.
};

}  // namespace devmem
