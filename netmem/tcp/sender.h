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
//   4. What only sending payload needs is behind stream_, which the first Queue() allocates.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "netmem/tcp/congestion.h"
#include "netmem/tcp/rto.h"
#include "netmem/tcp/scoreboard.h"
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
  bool retransmit = false;          // Send the segment at snd_una again, now.
  bool restart_timer = false;       // Arm the retransmission timer anew.
  bool window_opened = false;       // The peer's window was shut and is not any more.
  bool reduced = false;             // The congestion window was halved.
  bool duplicate_reported = false;  // A D-SACK: something that we sent arrived twice.
  uint8_t bogus_sacks = 0;          // SACK blocks that cannot be true, ignored.
  uint32_t sacked_bytes = 0;        // That the ACK says for the first time.
};

// One segment's worth to send; `bytes` may be 0 when only the FIN goes.
struct SendPlan {
  SeqNum seq;
  std::span<const uint8_t> payload;
  bool fin = false;
  bool rescue = false;  // RFC 6675 section 4, rule (4): says nothing of what lies before it.
  bool pushed = false;  // It ends what is queued.
  uint16_t gso_segment_bytes = 0;
};

// The state of a send buffer, as others than the sender see it.
struct SendQueueView {
  uint32_t size_bytes = 0;
  uint32_t capacity_bytes = 0;

  size_t size() const { return size_bytes; }
  size_t free() const { return capacity_bytes - size_bytes; }
  bool empty() const { return size_bytes == 0; }
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
  // What is queued, acknowledged bytes aside, and how much more fits.
  SendQueueView buffer() const {
    return {stream_ != nullptr ? static_cast<uint32_t>(stream_->buffer.size()) : 0,
            capacity_bytes_};
  }
  const RtoEstimator& rto() const { return rto_; }
  RtoEstimator& rto() { return rto_; }
  NewReno congestion() const { return stream_ != nullptr ? stream_->congestion : FirstWindow(); }
  // Of what is in flight, what the peer has told that it has.
  uint32_t sacked_bytes() const { return stream_ != nullptr ? stream_->sacked.sacked_bytes() : 0; }
  uint32_t peer_window_bytes() const { return window_.bytes; }

  // Takes what fits of the user's bytes; see SendBuffer::Write. Allocates.
  size_t Queue(std::span<const uint8_t> bytes);
  // What is queued now ends a record: nothing that follows shares a segment with it, and it is
  // pushed (RFC 9293 section 3.9.1.2; MSG_EOR of sockets). Allocates.
  void EndRecord();
  // The user closed: a FIN follows the last byte.
  void QueueFin() { fin_queued_ = true; }
  bool fin_queued() const { return fin_queued_; }
  // Whether there is anything that is not acknowledged yet, sent or not.
  bool has_queued() const { return !buffer().empty() || fin_queued_; }
  bool syn_acked() const { return syn_acked_; }
  void set_no_delay(bool no_delay) { no_delay_ = no_delay; }
  // Both SYNs allow SACK: losses are repaired as RFC 6675 says.
  void set_sack(bool sack) { sack_ = sack; }
  // Only full segments leave until it is taken off again, or the persist timer runs out.
  void set_cork(bool cork) { cork_ = cork; }
  // Retransmission leaves kRtoMin beside a round trip, and not only in all.
  void set_patient(bool patient) { patient_ = patient; }
  // More is to follow what is queued now: it is not pushed.
  void set_more_follows(bool more_follows) { more_follows_ = more_follows; }

  // RFC 5961 section 5.2: an ACK older than the largest window, or than all that was ever
  // acknowledged, or for what was never sent, is no ACK of this connection.
  bool AckAcceptable(SeqNum ack) const {
    const uint32_t acked = acked_much_ ? UINT32_MAX : snd_una_.value() - iss_.value();
    return ack <= snd_max_ && ack >= snd_una_ - std::min(window_.bytes_max, acked);
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
    return stream_ != nullptr &&
           stream_->congestion.OnEcnEcho(snd_una_, snd_max_, snd_max_.value() - snd_una_.value());
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

  // The one timer of what is in flight. ArmTimer() starts it anew and says when it is due;
  // `may_probe`: for a loss probe first (RFC 8985 section 7), if one may go.
  Nanos ArmTimer(Nanos now, bool may_probe);
  // It runs for a probe, and new data went out: when it is due now.
  bool probe_next() const { return probe_next_; }
  Nanos PutProbeOff(Nanos now) const;
  // It ran out. Whether that was for a probe; the next time is for the timeout.
  bool TakeProbe();
  // The probe to send now, or nothing when there is news of the peer that makes one needless.
  std::optional<SendPlan> LossProbe();
  // When the retransmission timeout ends that began when the timer was armed last.
  Nanos timeout_at() const { return stream_ != nullptr ? stream_->timeout_at : 0; }

  // Everything is acknowledged and nothing will follow: gives the memory of the stream back.
  void ReleaseStream() { stream_.reset(); }
  // Before new data goes out: a window that was not used for a while has proven nothing (RFC 5681
  // section 4.1).
  void RestartAfterIdle(Nanos now);

 private:
  struct Stream {
    Stream(SendBuffer ring, const NewReno& window) : buffer(std::move(ring)), congestion(window) {}

    SendBuffer buffer;
    NewReno congestion;
    Nanos sent_at = 0;                // When a segment of the stream went last.
    SeqNum small_end;                 // Where the last segment ends that was not full.
    SeqNum tail;                      // Where the last segment of what was sent begins.
    SeqNum probe_end;                 // RFC 8985's TLP.end_seq, while probing_.
    std::vector<SeqNum> record_ends;  // Behind snd_una, in order; as a rule none.
    Nanos timeout_at = 0;
    // RFC 6675 section 2: what the peer has; how far has been sent again in this recovery; and
    // whether its one rescue segment has gone.
    Scoreboard sacked;
    SeqNum high_rxt;
    bool rescued = false;
  };

  std::optional<SendPlan> PlanAt(uint32_t offset, uint32_t bytes_max);
  std::optional<SendPlan> NextNew(uint32_t segment_bytes_max, uint32_t room_bytes);
  std::optional<SendPlan> NextInRecovery();
  uint32_t RecordBytes(uint32_t offset) const;
  void TakeSacks(const Segment& segment, AckOutcome* outcome);
  bool OnSackNews();
  void OnNothingNew(const Segment& segment, bool window_moved, AckOutcome* outcome);
  bool RecoversBySack() const {
    return stream_ != nullptr && sack_ && stream_->congestion.in_recovery();
  }
  void NoteFlight();
  bool MayProbe() const;
  Nanos ProbeTimeout() const;
  bool OnAckOfProbe(const Segment& segment, const AckOutcome& outcome, uint32_t acked_bytes);
  NewReno FirstWindow() const;
  uint32_t end_offset() const {
    return stream_ != nullptr ? static_cast<uint32_t>(stream_->buffer.size()) : 0;
  }
  void SampleRtt(const Segment& segment, const TimestampState& timestamps, Nanos now);

  // What a receiver of data looks at comes first, in 40 bytes; see TcpConnection.
  SeqNum snd_una_;
  SeqNum snd_max_;
  SendWindow window_;
  std::unique_ptr<Stream> stream_;
  bool syn_acked_ : 1 = false;
  bool syn_lost_ : 1 = false;  // Our SYN had to go again.
  bool fin_queued_ : 1 = false;
  bool fin_acked_ : 1 = false;
  bool no_delay_ : 1 = false;
  bool sack_ : 1 = false;
  bool cork_ : 1 = false;
  bool more_follows_ : 1 = false;
  bool patient_ : 1 = false;
  bool timing_ : 1 = false;  // A segment without timestamps is being timed (Karn: sent once only).
  bool acked_much_ : 1 = false;   // More than any window is acknowledged.
  bool probe_next_ : 1 = false;   // The timer runs for a loss probe.
  bool probing_ : 1 = false;      // A loss probe went, and its outcome is open.
  bool probe_again_ : 1 = false;  // It was no new data.
  uint32_t mss_bytes_ = kMssBytesDefault;
  SeqNum snd_nxt_;
  SeqNum iss_;
  SeqNum timed_seq_;  // The first number behind what is being timed.
  uint32_t capacity_bytes_ = 0;
  Nanos timed_at_ = 0;
  RtoEstimator rto_;
};
static_assert(sizeof(Sender) <= 112);

}  // namespace devmem
