// SPDX-License-Identifier: Apache-2.0
//
// See lossy_path.h.

#include "selftests/lossy/lossy_path.h"

#include <utility>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"

namespace devmem::lossy {
namespace {

constexpr size_t kEtherTypeOffset = 12;
constexpr size_t kV4ProtocolOffset = kEthernetHeaderBytes + 9;
constexpr size_t kV6NextHeaderOffset = kEthernetHeaderBytes + 6;

}  // namespace

bool IsTcp(const Frame& frame) {
  if (frame.size() < kEthernetHeaderBytes + kIpv4HeaderBytesMin) return false;
  const uint16_t ether_type = LoadBe16(&frame[kEtherTypeOffset]);
  if (ether_type == kEtherTypeIpv4) return frame[kV4ProtocolOffset] == kIpProtocolTcp;
  return ether_type == kEtherTypeIpv6 && frame[kV6NextHeaderOffset] == kIpProtocolTcp;
}

void Corrupt(Frame& frame, uint64_t chance) {
  const size_t offset = kEthernetHeaderBytes + chance % (frame.size() - kEthernetHeaderBytes);
  frame[offset] = static_cast<uint8_t>(frame[offset] ^ (1 + (chance >> 32) % 255));
}

void LossyPath::Enter(Frame frame, Nanos now) {
  if (!IsTcp(frame)) return Wait(std::move(frame), now);
  const FrameFate fate = impairment_.Next(now, frame.size());
  ++counts_.frames;
  counts_.dropped += fate.lost;
  counts_.duplicated += fate.duplicated;
  counts_.reordered += !fate.lost && fate.reordered;
  counts_.corrupted += !fate.lost && fate.corrupted;
  // The duplicate is of the frame as it was sent, and travels by itself.
  if (fate.duplicated) Wait(frame, fate.duplicate_due);
  if (fate.lost) return;
  if (fate.corrupted) Corrupt(frame, fate.corrupt_bit);
  Wait(std::move(frame), fate.due);
}

std::optional<Frame> LossyPath::Leave(Nanos now) {
  if (waiting_.empty() || waiting_.top().due > now) return std::nullopt;
  Frame frame = waiting_.top().frame;
  waiting_.pop();
  return frame;
}

std::optional<Nanos> LossyPath::next_due() const {
  if (waiting_.empty()) return std::nullopt;
  return waiting_.top().due;
}

}  // namespace devmem::lossy
