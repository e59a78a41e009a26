// SPDX-License-Identifier: Apache-2.0
//
// See lossy_path.h.

#include "selftests/lossy/lossy_path.h"

#include <utility>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "netmem/wire/tcp_header.h"

namespace devmem::lossy {
namespace {

constexpr size_t kEtherTypeOffset = 12;
constexpr size_t kV4ProtocolOffset = kEthernetHeaderBytes + 9;
constexpr size_t kV6NextHeaderOffset = kEthernetHeaderBytes + 6;
constexpr size_t kV6PayloadOffset = kEthernetHeaderBytes + kIpv6HeaderBytes;
constexpr size_t kTcpFlagsOffset = 13;

uint16_t EtherTypeOf(const Frame& frame) {
  return frame.size() < kEthernetHeaderBytes ? uint16_t{0} : LoadBe16(&frame[kEtherTypeOffset]);
}

}  // namespace

bool IsTcp(const Frame& frame) {
  if (frame.size() < kEthernetHeaderBytes + kIpv4HeaderBytesMin) return false;
  const uint16_t ether_type = LoadBe16(&frame[kEtherTypeOffset]);
  if (ether_type == kEtherTypeIpv4) return frame[kV4ProtocolOffset] == kIpProtocolTcp;
  return ether_type == kEtherTypeIpv6 && frame[kV6NextHeaderOffset] == kIpProtocolTcp;
}

bool IsSyn(const Frame& frame) {
  const size_t tcp = EtherTypeOf(frame) == kEtherTypeIpv6
                         ? kV6PayloadOffset
                         : kEthernetHeaderBytes + 4u * (frame[kEthernetHeaderBytes] & 0xfu);
  return frame.size() > tcp + kTcpFlagsOffset && (frame[tcp + kTcpFlagsOffset] & kTcpSyn) != 0;
}

bool IsNeighbour(const Frame& frame) {
  const uint16_t ether_type = EtherTypeOf(frame);
  if (ether_type == kEtherTypeArp) return true;
  if (ether_type != kEtherTypeIpv6 || frame.size() <= kV6PayloadOffset) return false;
  const uint8_t type = frame[kV6PayloadOffset];
  return frame[kV6NextHeaderOffset] == kIpProtocolIcmpV6 &&
         (type == kIcmpV6NeighbourSolicitation || type == kIcmpV6NeighbourAdvertisement);
}

void Corrupt(Frame& frame, uint64_t chance) {
  const size_t offset = kEthernetHeaderBytes + chance % (frame.size() - kEthernetHeaderBytes);
  frame[offset] = static_cast<uint8_t>(frame[offset] ^ (1 + (chance >> 32) % 255));
}

void LossyPath::Enter(Frame frame, Nanos now) {
  if (!IsTcp(frame)) {
    ++(IsNeighbour(frame) ? counts_.neighbours : counts_.others);
    return Wait(std::move(frame), now);
  }
  const FrameFate fate = impairment_.Next(now, frame.size());
  ++counts_.frames;
  counts_.syns += IsSyn(frame);
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
