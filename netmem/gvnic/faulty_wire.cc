// SPDX-License-Identifier: Apache-2.0
//
// The frames that are on their way, and what befalls them.

#include "netmem/gvnic/faulty_wire.h"

#include <algorithm>
#include <utility>

#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/segmenter.h"

namespace devmem {
namespace {

// Behind the addresses: a frame that goes to another machine is as good as lost.
constexpr uint64_t kAddressBits = 8 * 12;

void FlipBit(std::vector<uint8_t>& bytes, uint64_t random) {
  const uint64_t bits = 8 * bytes.size();
  if (bits <= kAddressBits) return;
  const uint64_t bit = kAddressBits + random % (bits - kAddressBits);
  bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ 1u << bit % 8);
}

}  // namespace

void FaultyWire::Transmit(Packet packet) {
  std::vector<Packet> frames = CutIntoFrames(std::move(packet));
  if (frames.empty()) {
    ++stats_.sent;
    ++stats_.dropped;
  }
  for (Packet& frame : frames) Send(std::move(frame));
}

void FaultyWire::Send(Packet frame) {
  ++stats_.sent;
  frame.checksum_good = false;  // What the wire does to it, nobody may vouch for.
  const FrameFate fate = impairment_.Next(now_, frame.bytes.size());
  if (fate.lost) {
    ++stats_.lost;
    return;
  }
  stats_.reordered += fate.reordered;
  if (fate.duplicated) {
    ++stats_.duplicated;
    Launch(frame, fate.duplicate_due);
  }
  if (fate.corrupted) {
    ++stats_.corrupted;
    FlipBit(frame.bytes, fate.corrupt_bit);
  }
  Launch(std::move(frame), fate.due);
}

void FaultyWire::Launch(Packet frame, Nanos due) {
  if (flying_bytes_ + frame.bytes.size() > kWireFlyingBytesMax) {
    ++stats_.dropped;
    return;
  }
  flying_bytes_ += frame.bytes.size();
  flying_.push_back({due, next_number_++, std::move(frame)});
  std::push_heap(flying_.begin(), flying_.end());
}

void FaultyWire::Advance(Nanos now) {
  now_ = std::max(now_, now);
  bool any = false;
  while (!flying_.empty() && flying_.front().due <= now_) {
    std::pop_heap(flying_.begin(), flying_.end());
    Packet frame = std::move(flying_.back().packet);
    flying_.pop_back();
    flying_bytes_ -= frame.bytes.size();
    ++stats_.delivered;
    any = true;
    next_.Transmit(std::move(frame));
  }
  if (any) next_.EndBatch();
}

std::optional<Nanos> FaultyWire::NextDue() const {
  if (flying_.empty()) return std::nullopt;
  return flying_.front().due;
}

}  // namespace devmem
