// SPDX-License-Identifier: Apache-2.0
// A short sorted array: every question is one walk over it.
#include "netmem/tcp/scoreboard.h"

#include <algorithm>

namespace devmem {
namespace {

uint32_t SizeOf(const SackBlock& range) { return range.right.value() - range.left.value(); }

}  // namespace

void Scoreboard::Erase(size_t first, size_t last) {
  for (size_t i = first; i < last; ++i) sacked_bytes_ -= SizeOf(ranges_[i]);
  std::copy(ranges_.data() + last, ranges_.data() + count_, ranges_.data() + first);
  count_ -= static_cast<uint32_t>(last - first);
}

uint32_t Scoreboard::Add(SeqNum left, SeqNum right) {
  size_t first = 0;
  while (first < count_ && ranges_[first].right < left) ++first;
  size_t last = first;
  const uint32_t before = sacked_bytes_;
  SackBlock merged{left, right};
  while (last < count_ && ranges_[last].left <= right) {
    merged.left = std::min(merged.left, ranges_[last].left);
    merged.right = std::max(merged.right, ranges_[last].right);
    ++last;
  }
  if (first == last && count_ == ranges_.size()) return 0;
  Erase(first, last);
  std::copy_backward(ranges_.data() + first, ranges_.data() + count_, ranges_.data() + count_ + 1);
  ranges_[first] = merged;
  ++count_;
  sacked_bytes_ += SizeOf(merged);
  return sacked_bytes_ - before;
}

void Scoreboard::OnAck(SeqNum snd_una) {
  size_t gone = 0;
  while (gone < count_ && ranges_[gone].right <= snd_una) ++gone;
  if (gone != 0) Erase(0, gone);
  if (count_ == 0 || ranges_[0].left >= snd_una) return;
  sacked_bytes_ -= snd_una.value() - ranges_[0].left.value();
  ranges_[0].left = snd_una;
}

void Scoreboard::Clear() {
  count_ = 0;
  sacked_bytes_ = 0;
}

bool Scoreboard::IsLost(SeqNum seq, uint32_t mss_bytes) const {
  uint32_t ranges_behind = 0;
  uint32_t bytes_behind = 0;
  for (size_t i = count_; i-- > 0 && ranges_[i].left > seq;) {
    ++ranges_behind;
    bytes_behind += SizeOf(ranges_[i]);
  }
  return ranges_behind >= kDuplicateAckThreshold ||
         bytes_behind > (kDuplicateAckThreshold - 1) * mss_bytes;
}

uint32_t Scoreboard::Pipe(SeqNum snd_una, SeqNum snd_max, SeqNum high_rxt,
                          uint32_t mss_bytes) const {
  uint32_t pipe = 0;
  uint32_t behind_bytes = sacked_bytes_;
  SeqNum at = snd_una;
  for (size_t i = 0; i <= count_; ++i) {
    const SeqNum end = i < count_ ? ranges_[i].left : snd_max;
    const uint32_t gap_bytes = end > at ? end.value() - at.value() : 0;
    const bool lost = count_ - i >= kDuplicateAckThreshold ||
                      behind_bytes > (kDuplicateAckThreshold - 1) * mss_bytes;
    if (!lost) pipe += gap_bytes;
    if (high_rxt > at) pipe += std::min(gap_bytes, high_rxt.value() - at.value());
    if (i == count_) break;
    behind_bytes -= SizeOf(ranges_[i]);
    at = ranges_[i].right;
  }
  return pipe;
}

std::optional<SackBlock> Scoreboard::NextGap(SeqNum from, bool only_lost,
                                             uint32_t mss_bytes) const {
  for (size_t i = 0; i < count_; ++i) {
    if (from < ranges_[i].left) {
      // Whatever lies farther is lost only if this is.
      if (only_lost && !IsLost(from, mss_bytes)) return std::nullopt;
      return SackBlock{from, ranges_[i].left};
    }
    from = std::max(from, ranges_[i].right);
  }
  return std::nullopt;
}

std::optional<SackBlock> Scoreboard::LastGap(SeqNum snd_una, SeqNum snd_max,
                                             uint32_t bytes_max) const {
  SeqNum end = snd_max;
  SeqNum begin = snd_una;
  for (size_t i = count_; i-- > 0;) {
    if (ranges_[i].right != end) {
      begin = ranges_[i].right;
      break;
    }
    end = ranges_[i].left;
  }
  if (begin >= end) return std::nullopt;
  return SackBlock{std::max(begin, end - std::min(bytes_max, end.value() - begin.value())), end};
}

uint32_t Scoreboard::SackedBelow(SeqNum seq) const {
  uint32_t bytes = 0;
  for (size_t i = 0; i < count_ && ranges_[i].left < seq; ++i) {
    bytes += std::min(ranges_[i].right, seq).value() - ranges_[i].left.value();
  }
  return bytes;
}

SeqNum Scoreboard::Skip(SeqNum seq) const {
  for (size_t i = 0; i < count_ && ranges_[i].left <= seq; ++i) {
    if (seq < ranges_[i].right) return ranges_[i].right;
  }
  return seq;
}

uint32_t Scoreboard::GapAfter(SeqNum seq) const {
  for (size_t i = 0; i < count_; ++i) {
    if (seq < ranges_[i].left) return ranges_[i].left.value() - seq.value();
  }
  return UINT32_MAX;
}

}  // namespace devmem
