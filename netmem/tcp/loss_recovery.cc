// SPDX-License-Identifier: Apache-2.0
//
// Loss recovery of the sender with the help of SACK: RFC 6675 section 5. A peer without SACK is
// served by NewReno, in sender.cc and congestion.cc.

#include <algorithm>

#include "netmem/tcp/sender.h"

namespace devmem {
namespace {

bool IsInside(const SackBlock& inner, const SackBlock& outer) {
  return outer.left <= inner.left && inner.right <= outer.right;
}

}  // namespace

// Section 5 (A): the blocks of an acceptable ACK, whose number is SND.UNA already. A block that
// names what was never sent, ends before it begins, or holds the very byte that the ACK asks for is
// a mistake or an attack, and teaches nothing.
void Sender::TakeSacks(const Segment& segment, AckOutcome* outcome) {
  const std::span<const SackBlock> blocks = segment.options.sacks();
  for (size_t i = 0; i < blocks.size(); ++i) {
    const SackBlock& block = blocks[i];
    if (block.right <= block.left || block.right > snd_max_) {
      ++outcome->bogus_sacks;
      continue;
    }
    // RFC 2883 section 4: what the first block says twice arrived twice.
    const bool duplicate =
        block.right <= snd_una_ || (blocks.size() > 1 && IsInside(block, blocks[1]));
    if (i == 0 && duplicate) {
      outcome->duplicate_reported = true;
      continue;
    }
    if (block.right <= snd_una_) continue;  // Told by an ACK that was overtaken.
    if (block.left <= snd_una_) {
      ++outcome->bogus_sacks;
      continue;
    }
    outcome->sacked_bytes += stream_->sacked.Add(block.left, block.right);
  }
}

// Section 5, steps (1) to (4): an ACK that SACKs something new counts as a duplicate one. Whether
// the segment at snd_una goes again, now.
bool Sender::OnSackNews() {
  Stream& stream = *stream_;
  const uint32_t in_flight = snd_max_.value() - snd_una_.value();
  const bool lost = stream.sacked.IsLost(snd_una_, mss_bytes_);
  if (stream.congestion.OnSackNews(snd_una_, snd_max_, in_flight, lost) !=
      DupAckResult::kRetransmit) {
    return false;
  }
  stream.high_rxt = snd_una_;
  stream.rescued = false;
  snd_nxt_ = snd_max_;
  return true;
}

// NextSeg() of section 4, while cwnd - pipe has room for a segment (section 5, (C)).
std::optional<SendPlan> Sender::NextInRecovery() {
  Stream& stream = *stream_;
  const Scoreboard& sacked = stream.sacked;
  const uint32_t cwnd = stream.congestion.cwnd_bytes();
  const uint32_t pipe = sacked.Pipe(snd_una_, snd_max_, stream.high_rxt, mss_bytes_);
  if (pipe + mss_bytes_ > cwnd) return std::nullopt;
  const SeqNum from = std::max(stream.high_rxt, snd_una_);
  std::optional<SackBlock> gap = sacked.NextGap(from, true, mss_bytes_);
  if (!gap.has_value()) {
    if (std::optional<SendPlan> plan = NextNew(mss_bytes_, cwnd - pipe)) return plan;
    gap = sacked.NextGap(from, false, mss_bytes_);
  }
  if (gap.has_value()) {
    return PlanAt(gap->left.value() - snd_una_.value(),
                  std::min(mss_bytes_, gap->right.value() - gap->left.value()));
  }
  // The end of what was sent may be lost, too, and nothing behind it would ever tell.
  if (stream.rescued) return std::nullopt;
  gap = sacked.LastGap(snd_una_, snd_max_, mss_bytes_);
  if (!gap.has_value() || gap->left < from) return std::nullopt;
  // No more than was sent: what follows is for the peer's window to allow.
  std::optional<SendPlan> plan =
      PlanAt(gap->left.value() - snd_una_.value(),
             std::min(mss_bytes_, gap->right.value() - gap->left.value()));
  if (plan.has_value()) plan->rescue = true;
  return plan;
}

}  // namespace devmem
