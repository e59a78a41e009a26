// SPDX-License-Identifier: Apache-2.0
//
// The link between two wire NICs: the schedule of frames on their way, what happens to them there,
// and the trace.

#include "netmem/nic/wire_link.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/flow_key.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

constexpr size_t kTcpChecksumOffset = 16;
// Bits are flipped behind the two Ethernet addresses: a frame for another machine is merely lost.
constexpr size_t kCorruptFromByte = 2 * MacAddress::kBytes;

absl::Status CheckRange(absl::string_view what, uint64_t value, uint64_t least, uint64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat(what, " is ", value, "; choose a value from ", least, " to ", most));
}

absl::Status CheckNic(const WireNicConfig& config) {
  for (const absl::Status& status :
       {CheckRange("queue count", config.queue_count, 1, kQueuesMax),
        CheckRange("ring size in frames", config.ring_frames, 1, kWireSlotsMax),
        CheckRange("slot count in frames", config.slot_frames, 1, kWireSlotsMax)}) {
    if (!status.ok()) return status;
  }
  if (!std::has_single_bit(config.ring_frames)) {
    return absl::InvalidArgumentError(absl::StrCat("ring size of ", config.name, " is ",
                                                   config.ring_frames,
                                                   " frames; choose a power of two"));
  }
  if (!config.write_payload && !config.checksum_offload) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.name, " writes no payload, so it cannot sum what it wrote; leave ",
                     "checksum_offload on"));
  }
  return absl::OkStatus();
}

absl::Status CheckConfig(const WireConfig& config) {
  for (const absl::Status& status :
       {CheckRange("mtu in bytes", config.mtu, kMtuMin, kMtuMax), CheckNic(config.a),
        CheckNic(config.b), Impairment::Check(config.a_to_b), Impairment::Check(config.b_to_a)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Room for what a frame can carry behind its headers, in whole cache lines.
uint32_t SlotPayloadBytes(const WireConfig& config) {
  return config.gso ? kFramePayloadBytesMax : (config.mtu + 63) & ~63u;
}

WireNicConfig WithDefaults(WireNicConfig config, uint32_t end) {
  // The locally administered range; the last byte tells the two apart.
  if (config.mac.is_zero()) {
    config.mac = MacAddress({0x02, 0, 0, 0, 0, static_cast<uint8_t>(end + 1)});
  }
  if (end == 1 && config.name == WireNicConfig{}.name) config.name = "wire1";
  return config;
}

// Replaces the pseudo-header sum of a GSO frame by a full checksum, as segmenting it would have.
void FinishChecksum(WireSlot& slot, std::span<const uint8_t> payload, uint16_t l4_offset) {
  const std::span<const uint8_t> tcp =
      std::span(slot.header).first(slot.header_bytes).subspan(l4_offset);
  const uint32_t sum = Combine(PartialSum(tcp), PartialSum(payload), false);
  StoreBe16(slot.header + l4_offset + kTcpChecksumOffset, ChecksumField(sum));
}

// What the line carries: GSO frames are cut, and every segment has its own headers.
uint64_t LineBytes(const TxFrame& frame, uint16_t segment_count) {
  return frame.payload.size() + uint64_t{segment_count} * frame.header.size();
}

uint16_t SegmentCount(const TxFrame& frame) {
  if (frame.gso_segment_bytes == 0 || frame.payload.empty()) return 1;
  const size_t segment_bytes = frame.gso_segment_bytes;
  return static_cast<uint16_t>((frame.payload.size() + segment_bytes - 1) / segment_bytes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WireLink>> WireLink::Create(const WireConfig& config) {
  absl::Status checked = CheckConfig(config);
  if (!checked.ok()) return checked;
  std::unique_ptr<WireLink> link(new WireLink(config));
  for (const auto& end : link->ends_) {
    if (end->ok()) continue;
    return absl::ResourceExhaustedError(
        absl::StrCat("no address space for ", end->config().slot_frames, " slots of ",
                     SlotPayloadBytes(config), " bytes; choose fewer slot_frames"));
  }
  return link;
}

WireLink::WireLink(const WireConfig& config)
    : impairments_{Impairment(config.a_to_b, config.seed, 0),
                   Impairment(config.b_to_a, config.seed, 1)},
      is_traced_(config.trace) {
  const std::array<const WireNicConfig*, 2> configs = {&config.a, &config.b};
  for (uint32_t end = 0; end < 2; ++end) {
    ends_[end] = std::make_unique<WireNic>(*this, end, WithDefaults(*configs[end], end), config.mtu,
                                           config.gso, SlotPayloadBytes(config));
  }
  schedule_.reserve(size_t{config.a.slot_frames} + config.b.slot_frames);
}

void WireLink::Send(uint32_t from, const TxFrame& frame) {
  const uint16_t segment_count = SegmentCount(frame);
  const FrameFate fate = impairments_[from].Next(now_, LineBytes(frame, segment_count));
  if (is_traced_) TraceSend(from, frame, fate);
  WireDirectionStats& stats = stats_[from];
  ++stats.sent;
  if (fate.reordered) ++stats.reordered;
  if (fate.duplicated) {
    ++stats.duplicated;
    Schedule(from, NewSlot(from, frame), fate.duplicate_due);
  }
  if (fate.lost) {
    ++stats.lost;
    return;
  }
  const uint32_t slot = NewSlot(from, frame);
  if (slot != WireSlots::kNone && fate.corrupted) {
    ++stats.corrupted;
    Corrupt(*ends_[1 - from], slot, frame, fate.corrupt_bit);
  }
  Schedule(from, slot, fate.due);
}

// Stores the frame at the receiving end. kNone when that end is full.
uint32_t WireLink::NewSlot(uint32_t from, const TxFrame& frame) {
  WireNic& to = *ends_[1 - from];
  const uint32_t index = to.slots().Alloc();
  if (index == WireSlots::kNone) return index;
  to.Store(index, frame.header, frame.payload);
  WireSlot& slot = to.slots()[index];
  slot.segment_count = SegmentCount(frame);
  // A GSO frame never was a packet, so nothing has happened to its bytes; the others are verified
  // where something may have, or where the receiver must do it by itself.
  slot.suspect = frame.gso_segment_bytes == 0 &&
                 (impairments_[from].config().corruption > 0 || !to.config().checksum_offload);
  return index;
}

void WireLink::Schedule(uint32_t from, uint32_t slot, Nanos due) {
  if (slot == WireSlots::kNone) {
    ++stats_[from].dropped;
    ends_[1 - from]->CountNoSlot();
    return;
  }
  schedule_.push_back({due, next_number_++, slot, from});
  std::push_heap(schedule_.begin(), schedule_.end());
}

void WireLink::Corrupt(WireNic& to, uint32_t index, const TxFrame& frame, uint64_t random) {
  WireSlot& slot = to.slots()[index];
  const std::span<uint8_t> payload =
      to.slots().payload(index).first(slot.frame_bytes - slot.header_bytes);
  if (frame.gso_segment_bytes != 0) FinishChecksum(slot, payload, frame.l4_offset);
  const uint64_t bit = random % (8 * uint64_t{slot.frame_bytes - kCorruptFromByte});
  const size_t byte = kCorruptFromByte + bit / 8;
  uint8_t& victim =
      byte < slot.header_bytes ? slot.header[byte] : payload[byte - slot.header_bytes];
  victim = static_cast<uint8_t>(victim ^ 1u << bit % 8);
  slot.suspect = true;
  slot.corrupted = true;
}

void WireLink::AdvanceTo(Nanos now) {
  while (!schedule_.empty() && schedule_.front().due <= now) {
    const Delivery next = schedule_.front();
    std::pop_heap(schedule_.begin(), schedule_.end());
    schedule_.pop_back();
    now_ = std::max(now_, next.due);
    const bool arrived = ends_[1 - next.from]->Arrive(next.slot);
    if (is_traced_) {
      Trace(static_cast<uint64_t>(next.due));
      Trace(next.number << 1 | (arrived ? 1 : 0));
    }
    ++(arrived ? stats_[next.from].delivered : stats_[next.from].dropped);
  }
  now_ = std::max(now_, now);
}

void WireLink::TraceSend(uint32_t from, const TxFrame& frame, const FrameFate& fate) {
  Trace(static_cast<uint64_t>(now_));
  Trace(static_cast<uint64_t>(fate.due));
  const uint32_t flags = (fate.lost ? 1u : 0) | (fate.duplicated ? 2u : 0) |
                         (fate.reordered ? 4u : 0) | (fate.corrupted ? 8u : 0) | from << 4;
  Trace(uint64_t{frame.header.size()} << 48 | uint64_t{frame.payload.size()} << 8 | flags);
  const std::span<const uint8_t> header = frame.header;
  size_t byte = 0;
  for (; byte + 8 <= header.size(); byte += 8) Trace(LoadBe64(&header[byte]));
  for (; byte < header.size(); ++byte) Trace(header[byte]);
}

void WireLink::Trace(uint64_t word) {
  // The digits of pi keep a word of zeroes from ending the chain at zero.
  trace_ =
      FoldedProduct(trace_ ^ 0x243f6a8885a308d3, word ^ 0x13198a2e03707344) ^ std::rotl(trace_, 1);
}

}  // namespace devmem
