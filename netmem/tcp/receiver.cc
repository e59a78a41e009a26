// SPDX-License-Identifier: Apache-2.0
//
// The receiving half of a connection: trimming, queueing, and the FIN.

#include "netmem/tcp/receiver.h"

#include <algorithm>

namespace devmem {

bool Receiver::Acceptable(SeqNum seq, uint32_t length) const {
  const uint32_t window = outstanding_bytes();
  if (seq == rcv_nxt_) return true;
  if (length == 0) return seq.InWindow(rcv_nxt_, window);
  return seq.InWindow(rcv_nxt_, window) || (seq + (length - 1)).InWindow(rcv_nxt_, window);
}

uint32_t Receiver::AppendInOrder(PieceStore& store, std::span<const Piece> pieces, uint32_t bytes) {
  if (pieces.size() == 1 && store.Append(in_order_, pieces.front())) [[likely]] {
    rcv_nxt_ += bytes;
    return bytes;
  }
  uint32_t queued = 0;
  for (size_t next = 0; next < pieces.size();) {
    // The NIC packs payload without gaps, so the pieces of a run mostly become one here.
    Piece piece = pieces[next++];
    while (next < pieces.size() && store.Merge(piece, pieces[next])) ++next;
    if (!store.Append(in_order_, piece)) [[unlikely]] {
      store.Put(piece);
      store.Put(pieces.subspan(next));
      rcv_nxt_ += queued;
      return queued;
    }
    queued += piece.length_bytes;
  }
  rcv_nxt_ += bytes;
  return bytes;
}

// The segment's pieces as a queue of its own. When the piece array is used up, out-of-order data
// makes room for data at rcv_nxt; what still finds no entry is put back and counts as cut off.
PieceQueue Receiver::Collect(const ReceiveMemory& memory, const Segment& segment,
                             ReceiveResult* result) {
  PieceQueue queue;
  for (size_t i = 0; i < segment.pieces.size(); ++i) {
    bool kept = memory.store->Append(queue, segment.pieces[i]);
    while (!kept && segment.seq <= rcv_nxt_ && GiveUpFarthest(memory)) {
      result->gave_up_sacked = true;
      kept = memory.store->Append(queue, segment.pieces[i]);
    }
    if (!kept) {
      for (const Piece& piece : segment.pieces.subspan(i)) {
        result->forgotten_bytes += piece.length_bytes;
        memory.store->Put(piece);
      }
      break;
    }
  }
  return queue;
}

ReceiveResult Receiver::Receive(const ReceiveMemory& memory, const Segment& segment) {
  ReceiveResult result;
  PieceQueue pieces = Collect(memory, segment, &result);
  SeqNum seq = segment.seq;
  bool fin = segment.fin() && result.forgotten_bytes == 0;

  // Left of the window: here before.
  if (seq < rcv_nxt_ && !pieces.empty()) {
    const uint32_t old =
        static_cast<uint32_t>(std::min<uint64_t>(rcv_nxt_.value() - seq.value(), pieces.bytes()));
    sack_.OnDuplicate(seq, seq + old);
    memory.store->DropFront(pieces, old);
    result.duplicate_bytes = old;
    seq += old;
  }
  // Right of the window, which was never promised, or behind the end that the peer has named.
  const SeqNum edge = fin_waits_ ? fin_seq_ : right_edge_;
  const uint32_t room = seq <= edge ? edge.value() - seq.value() : 0;
  const bool whole = memory.whole_segments && !fin_waits_ && seq <= rcv_nxt_ && in_order_.empty();
  if (pieces.bytes() > room && !whole) {
    memory.store->DropBack(pieces, pieces.bytes() - (memory.whole_segments ? 0 : room));
    result.beyond_window = true;
    fin = false;
  }
  const SeqNum end = seq + static_cast<uint32_t>(pieces.bytes());
  if (!pieces.empty()) ReceiveSlowly(memory, seq, pieces, &result);
  if (fin && end >= rcv_nxt_ && result.reserve_bytes + result.forgotten_bytes == 0) {
    if (!fin_waits_) fin_seq_ = end;
    fin_waits_ = true;
    if (fin_seq_ > rcv_nxt_) {
      result.out_of_order = true;
      sack_.OnFin(fin_seq_);
    }
  }
  if (right_edge_ < rcv_nxt_) right_edge_ = rcv_nxt_;
  TakeFin(&result);
  return result;
}

void Receiver::ReceiveSlowly(const ReceiveMemory& memory, SeqNum seq, PieceQueue& pieces,
                             ReceiveResult* result) {
  const uint32_t bytes = static_cast<uint32_t>(pieces.bytes());
  const bool at_edge = seq == rcv_nxt_;
  if (at_edge && reassembly_.empty()) {
    memory.store->Splice(in_order_, pieces);
    rcv_nxt_ += bytes;
    result->advanced_bytes = bytes;
    return;
  }
  if (!at_edge) {
    result->out_of_order = true;
    if (memory.OnlyReserveLeft(memory.store->Front(pieces).netmem)) {
      memory.store->DropAll(pieces);
      result->reserve_bytes = bytes;
      return;
    }
  }
  SeqRange dropped;
  const InsertResult insert =
      reassembly_.Insert(*memory.ranges, *memory.store, seq, pieces, at_edge, &dropped);
  if (!dropped.empty()) {
    sack_.OnDropped(dropped.left, dropped.right);
    result->gave_up_sacked = true;
  }
  result->forgotten_bytes += insert.forgotten_bytes;
  // Of several parts of a segment that were here already, the first is reported (RFC 2883 4.2.3).
  if (!insert.duplicate.empty() && result->duplicate_bytes == 0) {
    sack_.OnDuplicate(insert.duplicate.left, insert.duplicate.right);
  }
  result->duplicate_bytes += insert.duplicate_bytes;
  // What begins at rcv_nxt is delivered below, and must not push a block out of a full option.
  if (!insert.block.empty() && !at_edge) {
    const bool ends_at_fin = fin_waits_ && insert.block.right == fin_seq_;
    sack_.OnOutOfOrder(insert.block.left, insert.block.right + (ends_at_fin ? 1 : 0));
  }
  const uint64_t drained = reassembly_.Drain(*memory.ranges, *memory.store, rcv_nxt_, in_order_);
  if (drained == 0) return;
  rcv_nxt_ += static_cast<uint32_t>(drained);
  sack_.OnAdvance(rcv_nxt_);
  result->advanced_bytes = static_cast<uint32_t>(drained);
  result->hole_filled = true;
}

// RFC 9293 section 3.10.7.4, eighth step, for a FIN that has been reached in order.
void Receiver::TakeFin(ReceiveResult* result) {
  if (!fin_waits_ || fin_seq_ > rcv_nxt_) return;
  fin_waits_ = false;
  // Data behind a FIN, which a peer that keeps the rules never sends: its end is not at the FIN.
  if (fin_seq_ < rcv_nxt_) return;
  ++rcv_nxt_;
  sack_.OnAdvance(rcv_nxt_);
  sack_.ForgetDuplicate();
  if (right_edge_ < rcv_nxt_) right_edge_ = rcv_nxt_;
  result->fin_reached = true;
}

bool Receiver::GiveUpFarthest(const ReceiveMemory& memory) {
  if (reassembly_.empty()) return false;
  const SeqRange gone = reassembly_.DropLast(*memory.ranges, *memory.store);
  sack_.OnDropped(gone.left, gone.right);
  return true;
}

void Receiver::Clear(const ReceiveMemory& memory) {
  memory.store->DropAll(in_order_);
  reassembly_.DropAll(*memory.ranges, *memory.store);
}

}  // namespace devmem
