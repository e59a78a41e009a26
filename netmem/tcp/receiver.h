// SPDX-License-Identifier: Apache-2.0
//
// The receiving half of one connection: which segments are acceptable, what of their payload is
// new, and how rcv_nxt moves (RFC 9293 sections 3.4 and 3.10.7.4, first, seventh and eighth step).
// It queues payload by reference and never sees a byte of it. Called by the engine on the worker's
// thread.
//
//      read by the user      in_order           holes and ranges           credit not yet used
//   ...................|==================|   ====   =======   ........................|
//                                      rcv_nxt                                     right_edge
//                                         |<-------------- outstanding --------------->|
//
// Invariants:
//   1. right_edge never moves left, and rcv_nxt never passes it but for a FIN.
//   2. Bytes below rcv_nxt are in in_order or were given to the user; none is dropped.
//   3. While the reassembly queue is empty, no FIN waits and the user is not full, data at rcv_nxt
//      takes the short path.

#pragma once

#include <cstdint>
#include <span>

#include "netmem/piece_store.h"
#include "netmem/tcp/reassembly.h"
#include "netmem/tcp/sack.h"
#include "netmem/tcp/segment.h"

namespace devmem {

// What the engine lends a receiver for one call.
struct ReceiveMemory {
  ReassemblyRanges* ranges = nullptr;
  PieceStore* store = nullptr;
  // Out-of-order payload is not kept while its pool has less than this left, so that the data at
  // rcv_nxt, which alone makes progress, always finds room.
  uint64_t host_reserve_bytes = 0;
  uint64_t device_reserve_bytes = 0;
  bool whole_segments = false;  // What reaches beyond the window is not cut.

  bool OnlyReserveLeft(NetmemRef netmem) const {
    return store->PoolOf(netmem).available_bytes() <
           (netmem.is_device() ? device_reserve_bytes : host_reserve_bytes);
  }
};

struct ReceiveResult {
  uint32_t advanced_bytes = 0;   // How far rcv_nxt moved over payload.
  uint32_t duplicate_bytes = 0;  // Were here before.
  // New payload that found no room, so is not acknowledged and comes again: because of the reserve,
  // or because the piece or range entries are used up.
  uint32_t reserve_bytes = 0;
  uint32_t forgotten_bytes = 0;
  bool beyond_window = false;   // Some of it lay right of the window.
  bool out_of_order = false;    // It left or found a hole in front of it.
  bool hole_filled = false;     // It closed a hole, or a part of one.
  bool fin_reached = false;     // rcv_nxt moved over the peer's FIN, now.
  bool gave_up_sacked = false;  // Data that may have been SACKed was dropped to make room.
};

class Receiver {
 public:
  Receiver() = default;

  // The peer's SYN was `irs`, and it was promised `window_bytes`.
  void Start(SeqNum irs, uint32_t window_bytes) {
    rcv_nxt_ = irs + 1;
    right_edge_ = rcv_nxt_ + window_bytes;
  }

  SeqNum rcv_nxt() const { return rcv_nxt_; }
  SeqNum right_edge() const { return right_edge_; }
  uint32_t outstanding_bytes() const { return right_edge_.value() - rcv_nxt_.value(); }
  // The window was extended to this many bytes from rcv_nxt; never less than outstanding_bytes().
  void Extend(uint64_t window_bytes) {
    right_edge_ = rcv_nxt_ + static_cast<uint32_t>(window_bytes);
  }

  // Nothing takes the short path any more: the user may have left too much unread.
  void set_full(bool full) { full_ = full; }
  bool full() const { return full_; }

  // RFC 9293 section 3.10.7.4, first step, the table of four cases. One departure, shared with
  // Linux: a segment at rcv_nxt is looked at even when the window is closed, for its ACK and for a
  // FIN.
  bool Acceptable(SeqNum seq, uint32_t length) const;

  // The short path's condition for payload at `seq`.
  bool InOrderOnly(SeqNum seq, uint32_t bytes) const {
    return seq == rcv_nxt_ && reassembly_.empty() && !(fin_waits_ | full_) &&
           bytes <= outstanding_bytes();
  }
  // The short path: takes over the pieces. Returns the bytes queued; less than `bytes` when the
  // piece array is used up, and then the rest was put back.
  uint32_t AppendInOrder(PieceStore& store, std::span<const Piece> pieces, uint32_t bytes);

  // Any acceptable segment: takes over its pieces, keeps what is new and inside the window.
  ReceiveResult Receive(const ReceiveMemory& memory, const Segment& segment);

  // Gives up the farthest out-of-order range, for memory. False when there is none.
  bool GiveUpFarthest(const ReceiveMemory& memory);
  // Gives up all of it: what lies behind a hole will never be read.
  void ClearOutOfOrder(const ReceiveMemory& memory) {
    reassembly_.DropAll(*memory.ranges, *memory.store);
  }
  // Puts everything back: the connection is gone.
  void Clear(const ReceiveMemory& memory);

  // Whether the peer's FIN was seen, takes number `seq`, and waits for data before it.
  bool FinWaitsAt(SeqNum seq) const { return fin_waits_ && fin_seq_ == seq; }

  PieceQueue& in_order() { return in_order_; }
  const PieceQueue& in_order() const { return in_order_; }
  const Reassembly& reassembly() const { return reassembly_; }
  SackGenerator& sack() { return sack_; }
  const SackGenerator& sack() const { return sack_; }

 private:
  void ReceiveSlowly(const ReceiveMemory& memory, SeqNum seq, PieceQueue& pieces,
                     ReceiveResult* result);
  PieceQueue Collect(const ReceiveMemory& memory, const Segment& segment, ReceiveResult* result);
  void TakeFin(ReceiveResult* result);

  SeqNum rcv_nxt_;
  SeqNum right_edge_;
  SeqNum fin_seq_;              // Where the peer's FIN lies; means something while fin_waits_.
  bool fin_waits_ : 1 = false;  // It was seen, and data before it is missing. The first counts.
  bool full_ : 1 = false;       // See set_full().
  PieceQueue in_order_;
  Reassembly reassembly_;
  SackGenerator sack_;
};

}  // namespace devmem
