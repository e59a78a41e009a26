// SPDX-License-Identifier: Apache-2.0
// What the peer has told us by SACK about the data that we sent (RFC 2018 section 5), and what RFC
// 6675 section 4 concludes: what is lost, and how much is still in the network. It belongs to the
// sender of one connection, exists once that has sent data, and is used on the worker's thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/tcp/limits.h"
#include "netmem/wire/seq_num.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

//   snd_una                                                        snd_max
//      |...gap...[==SACKed==]...gap...[=SACKed=]....not told of....|
//
// Invariants:
//   1. ranges_[0 .. count_) are in sequence order, none is empty, and no two touch or overlap.
//   2. They lie within [snd_una, snd_max), as the caller tells by Add() and OnAck().
class Scoreboard {
 public:
  bool empty() const { return count_ == 0; }
  size_t range_count() const { return count_; }
  uint32_t sacked_bytes() const { return sacked_bytes_; }

  // The peer has [left, right). Returns how much of that is news; 0 also when there are as many
  // ranges as fit, and then nothing is remembered: such data counts as not received.
  uint32_t Add(SeqNum left, SeqNum right);
  // What lies below is acknowledged.
  void OnAck(SeqNum snd_una);
  // RFC 2018 section 8: after a timeout the peer may have given up what it had told of.
  void Clear();

  // IsLost() of RFC 6675 section 4, for a number that is not SACKed: three ranges, or more than two
  // full segments, lie behind it.
  bool IsLost(SeqNum seq, uint32_t mss_bytes) const;
  // SetPipe(): bytes of [snd_una, snd_max) that are in the network. What was sent again up to
  // `high_rxt` counts once more.
  uint32_t Pipe(SeqNum snd_una, SeqNum snd_max, SeqNum high_rxt, uint32_t mss_bytes) const;

  // The first gap at or behind `from` with SACKed data behind it; with `only_lost`, if it is lost.
  // Rules (1) and (3) of NextSeg().
  std::optional<SackBlock> NextGap(SeqNum from, bool only_lost, uint32_t mss_bytes) const;
  // The last bytes that are not SACKed, at most `bytes_max`, of what was sent: rule (4).
  std::optional<SackBlock> LastGap(SeqNum snd_una, SeqNum snd_max, uint32_t bytes_max) const;

  // SACKed bytes below `seq`.
  uint32_t SackedBelow(SeqNum seq) const;
  // `seq`, or the end of the range that holds it.
  SeqNum Skip(SeqNum seq) const;
  // How far it is from `seq`, which is not SACKed, to the next range; UINT32_MAX behind the last.
  uint32_t GapAfter(SeqNum seq) const;

  std::span<const SackBlock> ranges() const { return {ranges_.data(), count_}; }

 private:
  void Erase(size_t first, size_t last);

  std::array<SackBlock, kScoreboardRangesMax> ranges_{};
  uint32_t count_ = 0;
  uint32_t sacked_bytes_ = 0;
};

}  // namespace devmem
