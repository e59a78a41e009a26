// SPDX-License-Identifier: Apache-2.0
// Four blocks at most, so every operation is a walk over a line of memory.
#include "netmem/tcp/sack.h"

#include <algorithm>

namespace devmem {
namespace {

bool Overlap(const SackBlock& a, const SackBlock& b) {
  return a.left < b.right && b.left < a.right;
}

bool Contains(const SackBlock& outer, const SackBlock& inner) {
  return outer.left <= inner.left && inner.right <= outer.right;
}

}  // namespace

void SackGenerator::Remove(size_t index) {
  std::copy(&blocks_[index] + 1, blocks_.data() + count_, &blocks_[index]);
  --count_;
}

void SackGenerator::InsertAt(size_t index, SackBlock block) {
  if (index >= kSackBlocksMax) return;
  if (count_ == kSackBlocksMax) --count_;
  std::copy_backward(&blocks_[index], blocks_.data() + count_, blocks_.data() + count_ + 1);
  blocks_[index] = block;
  ++count_;
}

void SackGenerator::OnOutOfOrder(SeqNum left, SeqNum right) {
  const SackBlock arrived{left, right};
  for (size_t i = count_; i-- > 0;) {
    if (Overlap(blocks_[i], arrived)) Remove(i);
  }
  InsertAt(0, arrived);
}

void SackGenerator::OnFin(SeqNum fin) {
  SackBlock arrived{fin, fin + 1};
  for (size_t i = count_; i-- > 0;) {
    // What ends where the FIN lies goes on over it.
    if (blocks_[i].left > fin || blocks_[i].right < fin) continue;
    arrived = {blocks_[i].left, std::max(blocks_[i].right, arrived.right)};
    Remove(i);
  }
  InsertAt(0, arrived);
}

void SackGenerator::OnDuplicate(SeqNum left, SeqNum right) {
  duplicate_ = {left, right};
  duplicate_pending_ = true;
  for (size_t i = 0; i < count_; ++i) {
    const SackBlock block = blocks_[i];
    if (!Contains(block, duplicate_)) continue;
    Remove(i);
    InsertAt(0, block);
    return;
  }
}

void SackGenerator::OnAdvance(SeqNum rcv_nxt) {
  for (size_t i = count_; i-- > 0;) {
    SackBlock& block = blocks_[i];
    if (block.right <= rcv_nxt) {
      Remove(i);
    } else if (block.left < rcv_nxt) {
      block.left = rcv_nxt;
    }
  }
}

void SackGenerator::OnDropped(SeqNum left, SeqNum right) {
  const SackBlock dropped{left, right};
  if (duplicate_pending_ && Overlap(duplicate_, dropped)) duplicate_pending_ = false;
  for (size_t i = count_; i-- > 0;) {
    const SackBlock block = blocks_[i];
    if (!Overlap(block, dropped)) continue;
    Remove(i);
    if (right < block.right) InsertAt(i, {right, block.right});
    if (block.left < left) InsertAt(i, {block.left, left});
  }
}

std::optional<SeqNum> SackGenerator::right_edge() const {
  if (count_ == 0) return std::nullopt;
  SeqNum edge = blocks_[0].right;
  for (size_t i = 1; i < count_; ++i) edge = std::max(edge, blocks_[i].right);
  return edge;
}

size_t SackGenerator::Fill(std::span<SackBlock> out) {
  size_t filled = 0;
  if (duplicate_pending_ && !out.empty()) {
    out[filled++] = duplicate_;
    duplicate_pending_ = false;
  }
  for (size_t i = 0; i < count_ && filled < out.size(); ++i) out[filled++] = blocks_[i];
  return filled;
}

}  // namespace devmem
