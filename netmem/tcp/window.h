// SPDX-License-Identifier: Apache-2.0
// Windows on the wire: scaling (RFC 7323 section 2), silly-window avoidance on both sides (RFC 9293
// section 3.8.6.2), and which segment may set our send window (section 3.10.7.4). Pure functions,
// called by the sender and the receiver on the worker's thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/statusor.h"
#include "netmem/tcp/limits.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

// Picks the smallest window scale shift that can advertise a whole receive buffer.
//
// Units:  `buffer_bytes` is in bytes; the result is a shift count, 0 to kWindowScaleMax.
// Errors: kInvalidArgument  `buffer_bytes` is 0.
//         kOutOfRange       `buffer_bytes` exceeds kWindowBytesMax, 65535 << 14.
// Source: RFC 7323 section 2.3.
absl::StatusOr<uint8_t> WindowScaleFor(uint64_t buffer_bytes);

// The number for a header's window field; `scale` is 0 in a SYN. It rounds up and stops at 65535:
// rounding down would pull the right edge left by up to (1 << scale) - 1 bytes each time rcv_nxt
// moves by an odd amount (RFC 7323 section 2.4). No more is announced than was granted all the
// same, because the ledger only grants multiples of 1 << scale: it rounds an outstanding promise
// up, too, and counts the difference as promised. Behind the peer's FIN nothing is granted any
// more, and there the difference means nothing.
constexpr uint16_t EncodeWindow(uint64_t window_bytes, uint8_t scale) {
  const uint64_t units = (window_bytes + (uint64_t{1} << scale) - 1) >> scale;
  return static_cast<uint16_t>(std::min<uint64_t>(units, 65535));
}

// The bytes that a header's window field means; `scale` is 0 for a SYN.
constexpr uint32_t DecodeWindow(uint16_t field, uint8_t scale) { return uint32_t{field} << scale; }

// Whether moving the right edge by `advance_bytes` is worth it: a full segment, or half of the
// whole window (section 3.8.6.2.2). `window_bytes` is the largest window that this connection may
// have.
constexpr bool ReceiverMayAdvance(uint64_t advance_bytes, uint64_t window_bytes,
                                  uint32_t mss_bytes) {
  return advance_bytes != 0 && advance_bytes >= std::min<uint64_t>(mss_bytes, window_bytes / 2);
}

// What the sender knows when it asks whether to send a segment of new data now.
struct SendQuestion {
  uint32_t queued_bytes = 0;      // D: queued and not yet sent.
  uint32_t usable_bytes = 0;      // U: what the peer's window and ours still allow.
  uint32_t window_bytes_max = 0;  // The largest window that the peer has ever offered.
  uint32_t mss_bytes = kMssBytesDefault;
  bool nothing_in_flight = false;  // SND.NXT == SND.UNA.
  bool no_delay = false;           // The user switched Nagle's algorithm off.
  bool cork = false;               // The user wants full segments only.
  bool last = false;               // A FIN follows these bytes: nothing will ever join them.
};

// Section 3.8.6.2.1 with Nagle's algorithm (section 3.7.4). Everything that is queued counts as
// pushed. A "no" while nothing is in flight needs the persist timer, or nothing would ask again.
bool MaySendNow(const SendQuestion& question);

// The peer's window as we know it.
//
// Invariant: bytes <= bytes_max.
struct SendWindow {
  uint32_t bytes = 0;      // SND.WND, already scaled.
  uint32_t bytes_max = 0;  // The largest ever offered.
  SeqNum wl1;              // SEG.SEQ and SEG.ACK of the segment that set it last.
  SeqNum wl2;

  // Takes the window of the handshake.
  void Start(SeqNum seq, SeqNum ack, uint32_t window_bytes);
  // Takes the window of an acceptable ACK, SND.UNA <= `ack` <= SND.NXT, unless the segment is older
  // than the one that set it last (section 3.10.7.4, fifth step; and as Linux does, one that
  // acknowledges more is never older). Returns whether it was taken.
  bool Update(SeqNum seq, SeqNum ack, uint32_t window_bytes);
};

}  // namespace devmem
