// SPDX-License-Identifier: Apache-2.0
//
// One TCP connection as the engine keeps it (the TCB of RFC 9293 section 3.3.1): its state, its two
// halves, its negotiated options and its timers. Plain state; the engine's files say what happens
// to it. Owned by one worker.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/string_view.h"
#include "netmem/tcp/accept_queue.h"
#include "netmem/tcp/ack_policy.h"
#include "netmem/tcp/ecn.h"
#include "netmem/tcp/listener_table.h"
#include "netmem/tcp/receiver.h"
#include "netmem/tcp/sender.h"
#include "netmem/tcp/socket_options.h"
#include "netmem/tcp/tcp_state.h"
#include "netmem/tcp/time.h"
#include "netmem/tcp/timestamps.h"
#include "netmem/wire/flow_key.h"

namespace devmem {

// Which connection. The generation makes a handle to a slot that was used again name nothing.
struct ConnectionId {
  uint32_t index = UINT32_MAX;
  uint32_t generation = 0;

  friend constexpr bool operator==(ConnectionId, ConnectionId) = default;
};

// Why a connection ended before both sides had closed it.
enum class CloseReason : uint8_t {
  kNone,         // Open, or closed in order.
  kReset,        // The peer sent RST.
  kRefused,      // RST before both sides had agreed.
  kTimedOut,     // Retransmissions, probes or the handshake went unanswered.
  kAborted,      // The user, or the end of the session.
  kUnreachable,  // ICMP said so before both sides had agreed.
  kDeviceGone,   // The network device was taken away.
  kMemoryGone,   // The memory that it received into was revoked or removed by its exporter.
};
absl::string_view ToString(CloseReason reason);

// Where a connection of a listener stands.
enum class BacklogPlace : uint8_t {
  kNone,      // Accepted, or opened actively.
  kHalfOpen,  // Our SYN-ACK is not acknowledged.
  kQueued,    // Waits to be accepted.
};

// What a timer of a connection is for. One wheel entry serves them all: it is armed at the
// earliest.
enum TimerKind : uint8_t {
  kTimerRetransmit,  // RFC 6298; also for SYN and FIN.
  kTimerPersist,     // RFC 9293 section 3.8.6.1.
  kTimerLifetime,    // TIME-WAIT, and FIN-WAIT-2 that nobody waits for.
  kTimerKeepalive,   // RFC 9293 section 3.8.4.
  kTimerDelayedAck,  // The only one that receiving touches, and so kept apart from the others.
  kTimerKinds,
};

// In the order of the receive path: what receiving in order and acknowledging it touches comes
// first and, with the 16 bytes of its slot in front, fills five cache lines.
struct TcpConnection {
  FlowKey flow;
  TcpState state = TcpState::kClosed;
  bool bound = false;     // Payload belongs into the queue's binding, not into host memory.
  bool attached = false;  // The user holds it. Else it is freed as soon as it is closed.
  bool sack_permitted : 1 = false;
  bool window_scaling : 1 = false;  // Both SYNs carried the option.
  bool joined_ledger : 1 = false;
  bool ack_now = false;   // Something other than the policy wants an ACK.
  uint8_t rcv_scale = 0;  // Shift of the windows that we announce.
  uint8_t snd_scale = 0;  // Shift of the peer's.
  EcnState ecn;

  Receiver receiver;
  AckPolicy ack_policy;
  TimestampState timestamps;
  SeqNum last_ack_sent;
  SeqNum announced_edge;  // The right edge that the peer was told last; see OnConsumed().
  uint32_t window_target_bytes = 0;  // The most that it may be promised now; see RightSize().
  SeqNum sizing_seq;                 // Where the round began in which that is measured,
  uint32_t sizing_ms = 0;            // and when.
  Nanos last_heard_at = 0;
  uint64_t payload_bytes_received = 0;
  SocketOptionsRef options;
  Nanos armed_at = kNever;  // What the wheel holds; may be earlier than any deadline.
  Nanos delayed_ack_at = kNever;
  Sender sender;

  Nanos other_deadlines[kTimerDelayedAck] = {kNever, kNever, kNever, kNever};
  SeqNum irs;
  uint32_t generation = 1;
  uint32_t invalid_answered_ms = 0;  // When an unacceptable segment was answered last; 0: never.
  ListenerId listener = 0;           // That it came from and was not accepted from yet; 0: none.
  AcceptLinks accept_links;          // While backlog_place is kQueued.
  CloseReason close_reason = CloseReason::kNone;
  bool first_promise = false;  // The ledger counts what the handshake promised; see GrantFirst().
  BacklogPlace backlog_place = BacklogPlace::kNone;
  uint8_t retries = 0;       // Of the segment at snd_una, or of the probe, without an answer.
  int16_t system_error = 0;  // The errno of the last ICMP error that was believed; 0: none.
  uint64_t payload_bytes_sent = 0;

  // When a timer is due; kNever: it does not run.
  Nanos deadline(TimerKind kind) const {
    return kind == kTimerDelayedAck ? delayed_ack_at : other_deadlines[kind];
  }
  Nanos first_deadline() const {
    return std::min(delayed_ack_at,
                    *std::min_element(std::begin(other_deadlines), std::end(other_deadlines)));
  }
  void set_deadline(TimerKind kind, Nanos due) {
    (kind == kTimerDelayedAck ? delayed_ack_at : other_deadlines[kind]) = due;
  }
};

// An idle connection's cost, but for its table entry and timer.
static_assert(sizeof(TcpConnection) <= 512);
static_assert(offsetof(TcpConnection, sender) + 40 + 16 <= 5 * 64,
              "what receiving touches has outgrown its five cache lines");

}  // namespace devmem
