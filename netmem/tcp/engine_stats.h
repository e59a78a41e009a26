// SPDX-License-Identifier: Apache-2.0
//
// What one engine counts: traffic, and each reason for which a segment or a part of one was not
// taken. Written by the worker, readable from any thread.

#pragma once

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "netmem/counter.h"

namespace devmem {

enum class TcpDrop : uint8_t {
  kNoConnection,     // Nothing listens and nothing is open; answered with RST.
  kOutsideWindow,    // Wholly outside of the window: old copies, and what was never promised.
  kBeyondWindow,     // A part right of the window, trimmed.
  kPaws,             // RFC 7323 section 5.
  kBadAck,           // RFC 5961 section 5.
  kBadSack,          // SACK blocks that name what was never sent; the rest of the segment counts.
  kBadEcho,          // A timestamp echo from the future; no sample, the rest of the segment counts.
  kBadOptions,       // Options that break off; those before the break count.
  kNoAckFlag,        // Every segment of a synchronized connection has it.
  kUnexpectedSyn,    // RFC 5961 section 4; answered with a challenge ACK.
  kBadReset,         // RFC 5961 section 3; in the window but not at rcv_nxt.
  kBacklogFull,      // A SYN for a listener with too many half-open connections, without cookies.
  kAcceptQueueFull,  // A SYN or the last ACK of a handshake, and too many wait to be accepted.
  kBadCookie,        // An ACK for a listener that has sent SYN cookies, and this is none of them.
  kNoSlot,           // A SYN, and every connection slot is in use.
  kSynPayload,       // Payload on a SYN; it is not acknowledged and comes again.
  kMemoryReserve,    // Out-of-order payload, and only the reserve is left.
  kNoMemory,         // Payload: the page pool was empty, or too much of it lies unread.
  kPieceArray,       // Payload, and the piece or range arrays are used up.
  kSackedGivenUp,    // Times that out-of-order data was dropped again to make room.
  kAfterClose,       // Payload behind a FIN, or for a connection that its user has closed.
  kUrgent,           // Segments with URG: the pointer is ignored, the data is stream data.
  kCount,
};
absl::string_view ToString(TcpDrop drop);

struct EngineStats {
  Counter segments_in;
  Counter segments_short_path;  // In order, on an established connection, nothing special.
  Counter segments_out;
  Counter acks_out;          // Of these, bare acknowledgments.
  Counter payload_bytes_in;  // Stream bytes that rcv_nxt moved over.
  Counter payload_bytes_out;
  Counter duplicate_bytes;  // Payload that came again.
  Counter out_of_order_segments;
  Counter retransmits;
  Counter loss_probes;          // Tail loss probes (RFC 8985), also those with new data.
  Counter sack_blocks_ignored;  // Of the peer's: what it cannot have.
  Counter duplicates_reported;  // ACKs that say that something of ours arrived twice (RFC 2883).
  Counter timeouts;             // Retransmission timeouts.
  Counter zero_windows_sent;
  Counter segments_marked;  // Payload that came with CE (RFC 3168).
  Counter ecn_reductions;   // Times that the peer's ECE halved our window.
  Counter resets_in;
  Counter resets_out;
  Counter opened_active;
  Counter opened_passive;
  Counter closed;
  Counter cookies_sent;   // SYN-ACKs that left no state behind (RFC 4987).
  Counter cookies_valid;  // Connections that they became.
  Counter challenge_acks_limited;
  Counter invalid_answers_limited;  // ACKs for unacceptable segments without payload, held back.
  // ICMP errors: believed, and why not.
  Counter icmp_closed;         // Ended a connection that was opening.
  Counter icmp_mtu_lowered;    // The path takes less than we thought.
  Counter icmp_no_connection;  // Ignored: quotes a segment of no connection,
  Counter icmp_bad_sequence;   // or a sequence number that is not in flight (RFC 5927 section 4.1),
  Counter icmp_mtu_ignored;    // or an MTU that is not below what we use,
  Counter icmp_soft;           // or may pass,
  Counter icmp_hard_late;      // or comes when the connection is open.
  std::array<Counter, static_cast<size_t>(TcpDrop::kCount)> drops;

  Counter& drop(TcpDrop reason) { return drops[static_cast<size_t>(reason)]; }
  uint64_t drop(TcpDrop reason) const { return drops[static_cast<size_t>(reason)].value(); }
};

}  // namespace devmem
