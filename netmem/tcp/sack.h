// SPDX-License-Identifier: Apache-2.0
// Which SACK blocks our next acknowledgment carries: RFC 2018 section 4, with duplicates reported
// as RFC 2883 says. The receiver tells it what arrived, on the worker's thread; the reassembly
// queue stays the one who knows what is held.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/tcp/limits.h"
#include "netmem/wire/seq_num.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

//   rcv_nxt
//      |....hole....[====block 1====]....[==block 0==]....       block 0: most recent arrival
//
// Invariants:
//   1. blocks_[0 .. count_) are not empty, lie above rcv_nxt and neither overlap nor touch.
//   2. Their order is that of their last arrival, latest first.
class SackGenerator {
 public:
  // A segment was queued out of order: [left, right) is the whole range that now holds it, after
  // merging with what it overlaps or touches. Blocks inside it are part of it from now on.
  void OnOutOfOrder(SeqNum left, SeqNum right);

  // [left, right) arrived although we had it already. It is reported in the next acknowledgment and
  // only there (RFC 2883 section 4); the latest duplicate wins. If the range lies above rcv_nxt,
  // the block that contains it is reported right after it (RFC 2883 section 4, rule 4).
  void OnDuplicate(SeqNum left, SeqNum right);

  // The peer's FIN, which takes number `fin`, was seen behind a hole: it is reported like a byte,
  // so that the peer need not send it again, and finds what is missing before it without a timeout.
  void OnFin(SeqNum fin);

  // The peer's FIN was reached: what came again with it is no news that would help it.
  void ForgetDuplicate() { duplicate_pending_ = false; }

  // rcv_nxt moved: blocks at or below it go.
  void OnAdvance(SeqNum rcv_nxt);

  // Queued data [left, right) was dropped again for lack of memory (RFC 2018 section 8): it is in
  // no later SACK. A block that is cut in its middle becomes two.
  void OnDropped(SeqNum left, SeqNum right);

  // Whether the next acknowledgment should carry the option at all.
  bool empty() const { return count_ == 0 && !duplicate_pending_; }
  size_t block_count() const { return count_; }
  // The end of the block that reaches farthest.
  std::optional<SeqNum> right_edge() const;

  // Writes the blocks for one acknowledgment to `out`, the pending duplicate first, and forgets
  // that duplicate. Returns how many: at most out.size(), which is 3 beside a timestamp, else 4.
  size_t Fill(std::span<SackBlock> out);

 private:
  void Remove(size_t index);
  // Puts a block at `index`; the one reported longest ago goes when there is no room.
  void InsertAt(size_t index, SackBlock block);

  uint8_t count_ = 0;
  bool duplicate_pending_ = false;
  SackBlock duplicate_;
  std::array<SackBlock, kSackBlocksMax> blocks_{};
};

}  // namespace devmem
