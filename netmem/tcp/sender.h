// SPDX-License-Identifier: Apache-2.0
//
// The sending half of one connection: what may be sent now, what an acknowledgment means, and what
// to send again (RFC 9293 sections 3.8.1 and 3.10.7.4, fifth step; RFC 5681, 6582, 6298). Sends
// from host memory; good enough for requests, replies and a clean close. Called by the engine on
// the worker's thread; the engine builds the segments and keeps the timers.
//
//      acknowledged     in flight          queued, not sent
//   ................|================|- - - - - - - - - - -|(FIN)
//                snd_una          snd_nxt            end of buffer
//
// Invariants:
//   1. snd_una <= snd_nxt <= snd_max. snd_nxt falls back to snd_una when the timer expires.
//   2. The buffer's first byte has sequence number snd_una, once the SYN is acknowledged.
//   3. Our FIN takes the number behind the last byte queued; it is sent only after all of them.

#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "netmem/tcp/congestion.h"
#include "netmem/tcp/rto.h"
#include "netmem/tcp/segment.h"
#include "netmem/tcp/send_buffer.h"
#include "netmem/tcp/time.h"
#include "netmem/tcp/timestamps.h"
#include "netmem/tcp/window.h"

namespace devmem {

// What an acceptable ACK did.
struct AckOutcome {
  bool advanced = false;  // New data, or our SYN or FIN, was acknowledged.
  bool fin_acked = false;
  bool retransmit = false;     // Send the segment at snd_una again, now.
  bool restart_timer = false;  // Arm the retransmission timer anew.
  bool window_opened = false;  // The peer's window was shut and is not any more.
  bool reduced = false;        // The congestion window was halved.
};

// One segment's worth to send; `bytes` may be 0 when only the FIN goes.
struct SendPlan {
  SeqNum seq;
  std::span<const uint8_t> payload;
  bool fin = false;
  uint16_t gso_segment_bytes = 0;
};

class Sender {
 public:
  Sender() = default;

  // Before the SYN goes out. `mss_bytes` is what our path takes; the peer's MSS lowers it later.
  void Start(SeqNum iss, SendBuffer buffer);
  // The handshake told the peer's options and first window.
  void OnHandshake(const Segment& segment, uint32_t mss_bytes, uint8_t peer_window_scale);

  SeqNum iss() const { return iss_; }
  SeqNum snd_una() const { return snd_una_; }
  SeqNum snd_nxt() const { return snd_nxt_; }
  SeqNum snd_max() const { return snd_max_; }
  uint32_t mss_bytes() const { return mss_bytes_; }
  uint32_t flight_bytes() const { return snd_nxt_.value() - snd_una_.value(); }
  bool all_acked() const { return snd_una_ == snd_max_; }
  const SendBuffer& buffer() const { return buffer_; }
  const RtoEstimator& rto() const { return rto_; }
  RtoEstimator& rto() { return rto_; }
  const NewReno& congestion() const { return congestion_; }
  uint32_t peer_window_bytes() const { return window_.bytes; }

  // Takes what fits of the user's bytes; see SendBuffer::Write.
  size_t Queue(std::span<const uint8_t> bytes) { return buffer_.Write(bytes); }
  // The user closed: a FIN follows the last byte.
  void QueueFin() { fin_queued_ = true; }
  bool fin_queued() const { return fin_queued_; }
  bool syn_acked() const { return syn_acked_; }
  void set_no_delay(bool no_delay) { no_delay_ = no_delay; }

  // RFC 5961 section 5.2: an ACK older than the largest window, or for what was never sent, is no
  // ACK of this connection.
  bool AckAcceptable(SeqNum ack) const {
    return ack <= snd_max_ && ack >= snd_una_ - window_.bytes_max;
  }
  // Nothing in it is new, so the short path of the receiver need not ask further.
  bool AckIsOld(SeqNum ack, uint32_t window_bytes) const {
    return ack == snd_una_ && window_bytes == window_.bytes && all_acked();
  }
  // That segment's sequence number: a window of later segments is compared with it, and would look
  // old to one that fell behind by 2^31.
  void OnOldAck(SeqNum seq) { window_.wl1 = seq; }
  // An acceptable ACK. Retransmission timing uses the echo when the connection has timestamps.
  AckOutcome OnAck(const Segment& segment, uint8_t peer_window_scale,
                   const TimestampState& timestamps, Nanos now);

  // That ACK, which the sender has taken, had ECE. Returns whether it halved the congestion window.
  bool OnEcnEcho() {
    return congestion_.OnEcnEcho(snd_una_, snd_max_, snd_max_.value() - snd_una_.value());
  }

  // The next segment of new (or, after a timeout, old) data, at most `segment_bytes_max` long, or
  // nothing when windows, Nagle or the lack of data say no.
  std::optional<SendPlan> NextToSend(uint32_t segment_bytes_max);
  // The segment at snd_una, for fast retransmission.
  std::optional<SendPlan> FirstUnacked();
  // One segment that the persist timer forces past the rules about small ones (RFC 9293 section
  // 3.8.6.2.1, the override timeout); nothing when the peer's window is shut.
  std::optional<SendPlan> Forced();
  // A plan was sent. Starts the clock for a round-trip sample when none is running. Returns how
  // many of its payload bytes went for the first time.
  uint32_t OnSent(const SendPlan& plan, Nanos now);
  void OnSynSent(Nanos now);
  // A SYN cookie went, at a time that nobody noted.
  void OnSynSentUnseen(Nanos now) {
    OnSynSent(now);
    timing_ = false;
  }

  // After NextToSend() said no: data is queued and nothing is in flight to bring news of the peer's
  // window, so the persist timer must ask (RFC 9293 section 3.8.6.1).
  bool NeedsPersist() const;
  // The retransmission timer expired: back to snd_una, one segment at a time.
  void OnTimeout();
  void OnSynTimeout();
  // The path takes segments of `mss_bytes` only, which is less than mss_bytes(): what is in flight
  // was too large, and goes again from snd_una on.
  void OnPathMtu(uint32_t mss_bytes);
  // Before new data goes out: a window that was not used for a while has proven nothing (RFC 5681
  // section 4.1).
  void RestartAfterIdle(Nanos now);

 private:
  std::optional<SendPlan> PlanAt(uint32_t offset, uint32_t bytes_max);
  uint32_t end_offset() const { return static_cast<uint32_t>(buffer_.size()); }
  void SampleRtt(const Segment& segment, const TimestampState& timestamps, Nanos now);

  SeqNum iss_;
  SeqNum snd_una_;
  SeqNum snd_nxt_;
  SeqNum snd_max_;
  SendWindow window_;
  uint32_t mss_bytes_ = kMssBytesDefault;
  bool syn_acked_ = false;
  bool syn_lost_ = false;  // Our SYN had to go again.
  bool fin_queued_ = false;
  bool fin_acked_ = false;
  bool no_delay_ = false;
  bool timing_ = false;  // A segment without timestamps is being timed (Karn: sent once only).
  SeqNum timed_seq_;     // The first number behind it.
  Nanos timed_at_ = 0;
  Nanos sent_at_ = 0;  // When a segment of the stream went last.
  SendBuffer buffer_;
  RtoEstimator rto_;
  NewReno congestion_;
};

}  // namespace devmem
