// SPDX-License-Identifier: Apache-2.0
//
// Which frames become one packet, and what its headers say then.

#include "netmem/gvnic/rx_coalescer.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "netmem/gvnic/limits.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

constexpr size_t kIpv4IdOffset = 4;
constexpr size_t kIpv4FlagsOffset = 6;  // RFC 791: flags and fragment offset.
constexpr size_t kTcpFlagsOffset = 13;
constexpr uint16_t kIpv4DontFragment = 0x4000;

const uint8_t* IpOf(const RxPacket& packet) {
  return packet.packet.bytes.data() + kEthernetHeaderBytes;
}
const uint8_t* TcpOf(const RxPacket& packet) {
  return packet.packet.bytes.data() + packet.layout.l4_offset;
}
uint32_t PayloadBytes(const RxPacket& packet) {
  return packet.layout.frame_bytes - packet.layout.header_bytes;
}
bool HasPush(const RxPacket& packet) { return (TcpOf(packet)[kTcpFlagsOffset] & kTcpPsh) != 0; }

// A frame with nothing but data to say, whose headers have no part that a merge would lose: no IP
// options or extensions, no flag but ACK, PSH and ECE. CWR marks a moment in the stream.
bool IsPlainData(const RxPacket& packet) {
  const FrameLayout& layout = packet.layout;
  const size_t ip_bytes = layout.l3 == L3Kind::kIpv6 ? kIpv6HeaderBytes : kIpv4HeaderBytesMin;
  if (!layout.is_tcp() || packet.packet.segment_bytes != 0 || packet.check != L4Check::kGood ||
      layout.l4_offset != kEthernetHeaderBytes + ip_bytes || PayloadBytes(packet) == 0) {
    return false;
  }
  const uint8_t flags = TcpOf(packet)[kTcpFlagsOffset];
  return (flags & ~(kTcpPsh | kTcpEce)) == kTcpAck;
}

bool SameBytes(const uint8_t* a, const uint8_t* b, size_t from, size_t to) {
  return std::memcmp(a + from, b + from, to - from) == 0;
}

// Of two frames of one flow: everything but lengths, checksums, the identification and the place in
// the stream. Addresses and ports are the flow's; the IP headers are as long as one another.
bool SameIpFields(const RxPacket& first, const RxPacket& next) {
  const uint8_t* const a = IpOf(first);
  const uint8_t* const b = IpOf(next);
  if (first.layout.l3 == L3Kind::kIpv6) {
    return SameBytes(a, b, 0, 4) && a[7] == b[7];  // Class, flow label; hop limit.
  }
  return a[1] == b[1] && SameBytes(a, b, kIpv4FlagsOffset, 9);  // TOS; DF; TTL.
}

bool SameTcpFields(const RxPacket& first, const RxPacket& next) {
  const uint8_t* const a = TcpOf(first);
  const uint8_t* const b = TcpOf(next);
  // The header's length, flags and window as one; then the urgent pointer and every option, time
  // stamps and all.
  return SameBytes(a, b, 8, 12) &&
         ((LoadBe32(a + 12) ^ LoadBe32(b + 12)) & ~(uint32_t{kTcpPsh} << 16)) == 0 &&
         SameBytes(a, b, 18, first.layout.header_bytes - first.layout.l4_offset);
}

bool SameHeaders(const RxPacket& first, const RxPacket& next) {
  return SameBytes(first.packet.bytes.data(), next.packet.bytes.data(), 0, kEthernetHeaderBytes) &&
         SameIpFields(first, next) && SameTcpFields(first, next);
}

uint16_t Ipv4Id(const RxPacket& packet) {
  return packet.layout.l3 == L3Kind::kIpv4 ? LoadBe16(IpOf(packet) + kIpv4IdOffset) : uint16_t{0};
}

// Whether an identification may be so far behind the one before it: cutting the packet makes them
// count up. Of packets that are never fragmented it means nothing (RFC 6864), and may stand still.
bool StepIsSound(const RxPacket& packet, uint16_t step, std::optional<uint16_t> before) {
  if (packet.layout.l3 != L3Kind::kIpv4) return true;
  const uint16_t flags = LoadBe16(IpOf(packet) + kIpv4FlagsOffset);
  if ((flags & kIpv4DontFragment) == 0) return step == 1;
  return step <= 1 && step == before.value_or(step);
}

// Makes the headers of the first frame those of the whole.
void FinishHeaders(RxPacket& packet) {
  std::vector<uint8_t>& bytes = packet.packet.bytes;
  uint8_t* const ip = &bytes[kEthernetHeaderBytes];
  const size_t ip_bytes = bytes.size() - kEthernetHeaderBytes;
  if (packet.layout.l3 == L3Kind::kIpv6) {
    StoreBe16(ip + 4, static_cast<uint16_t>(ip_bytes - kIpv6HeaderBytes));
  } else {
    StoreBe16(ip + 2, static_cast<uint16_t>(ip_bytes));
    FinishIpv4Checksum(bytes);
  }
  FinishL4Checksum(bytes, packet.layout);
}

uint64_t& CountOf(DataPathStats& stats, RscEnd why) {
  switch (why) {
    case RscEnd::kPush: return stats.rx_rsc_end_push;
    case RscEnd::kSegmentSize: return stats.rx_rsc_end_segment_size;
    case RscEnd::kOrder: return stats.rx_rsc_end_order;
    case RscEnd::kHeaders: return stats.rx_rsc_end_headers;
    case RscEnd::kNotData: return stats.rx_rsc_end_not_data;
    case RscEnd::kFull: return stats.rx_rsc_end_full;
    case RscEnd::kEvicted: return stats.rx_rsc_end_evicted;
    case RscEnd::kBatch: return stats.rx_rsc_end_batch;
    case RscEnd::kStop: break;
  }
  return stats.rx_rsc_end_stop;
}

}  // namespace

RxCoalescer::RxCoalescer(const RxRingConfig& queue, DataPathStats& stats, RxSink& sink)
    : queue_(queue), stats_(stats), sink_(sink) {
  open_.reserve(kRscContextsMax);
}

void RxCoalescer::Offer(RxPacket packet) {
  ++now_;
  // A fragment may be of any flow between its addresses.
  if (packet.layout.is_fragment) EndAll(RscEnd::kNotData);
  const std::optional<size_t> found = Find(packet);
  if (!IsPlainData(packet)) {
    if (found) End(*found, RscEnd::kNotData);
    Pass(std::move(packet));
    return;
  }
  if (found) {
    Context& context = open_[*found];
    const std::optional<RscEnd> why_not = WhyNot(context, packet);
    if (!why_not) {
      Append(context, packet);
      if (HasPush(packet)) return End(*found, RscEnd::kPush);
      if (PayloadBytes(packet) < context.segment_bytes) End(*found, RscEnd::kSegmentSize);
      return;
    }
    End(*found, *why_not);
  }
  if (HasPush(packet)) return Pass(std::move(packet));
  Open(std::move(packet));
}

std::optional<size_t> RxCoalescer::Find(const RxPacket& packet) const {
  if (!packet.layout.is_tcp()) return std::nullopt;
  for (size_t i = 0; i < open_.size(); ++i) {
    if (open_[i].packet.layout.flow == packet.layout.flow) return i;
  }
  return std::nullopt;
}

// The reason why the frame, plain data of the context's flow, is no part of its packet.
std::optional<RscEnd> RxCoalescer::WhyNot(const Context& context, const RxPacket& packet) const {
  if (SeqNum(LoadBe32(TcpOf(packet) + 4)) != context.next_seq) return RscEnd::kOrder;
  const uint16_t step = static_cast<uint16_t>(Ipv4Id(packet) - context.last_id);
  if (!SameHeaders(context.packet, packet) || !StepIsSound(packet, step, context.id_step)) {
    return RscEnd::kHeaders;
  }
  if (PayloadBytes(packet) > context.segment_bytes) return RscEnd::kSegmentSize;
  if (!HasRoom(context, packet)) return RscEnd::kFull;
  return std::nullopt;
}

bool RxCoalescer::HasRoom(const Context& context, const RxPacket& packet) const {
  FrameLayout grown = context.packet.layout;
  const uint32_t buffers = BuffersFor(queue_, grown);
  grown.frame_bytes += PayloadBytes(packet);
  if (grown.frame_bytes > kEthernetHeaderBytes + kRscIpBytesMax) return false;
  const uint32_t more = BuffersFor(queue_, grown) - buffers;
  return more == 0 || promised_ + more <= sink_.free_buffers();
}

void RxCoalescer::Append(Context& context, const RxPacket& packet) {
  RxPacket& whole = context.packet;
  std::vector<uint8_t>& bytes = whole.packet.bytes;
  promised_ -= BuffersFor(queue_, whole.layout);
  bytes.resize(whole.layout.frame_bytes);  // The first frame may have had padding.
  const auto begin = packet.packet.bytes.begin();
  bytes.insert(bytes.end(), begin + packet.layout.header_bytes, begin + packet.layout.frame_bytes);
  if (HasPush(packet)) bytes[whole.layout.l4_offset + kTcpFlagsOffset] |= kTcpPsh;
  whole.layout.frame_bytes = static_cast<uint32_t>(bytes.size());
  promised_ += BuffersFor(queue_, whole.layout);

  const uint16_t id = Ipv4Id(packet);
  context.id_step = static_cast<uint16_t>(id - context.last_id);
  context.last_id = id;
  context.next_seq = context.next_seq + PayloadBytes(packet);
  context.used = now_;
  ++context.frame_count;
}

void RxCoalescer::Open(RxPacket packet) {
  const uint32_t buffers = BuffersFor(queue_, packet.layout);
  EndFor(buffers);
  if (open_.size() == kRscContextsMax) End(LeastUsed(), RscEnd::kEvicted);
  promised_ += buffers;
  Context context{.packet = std::move(packet), .used = now_};
  context.segment_bytes = PayloadBytes(context.packet);
  context.next_seq = SeqNum(LoadBe32(TcpOf(context.packet) + 4)) + context.segment_bytes;
  context.last_id = Ipv4Id(context.packet);
  open_.push_back(std::move(context));
}

size_t RxCoalescer::LeastUsed() const {
  const auto before = [](const Context& a, const Context& b) { return a.used < b.used; };
  return static_cast<size_t>(std::min_element(open_.begin(), open_.end(), before) - open_.begin());
}

void RxCoalescer::Pass(RxPacket packet) {
  EndFor(BuffersFor(queue_, packet.layout));
  sink_.Take(std::move(packet));
}

// Before somebody takes `buffers` that open packets count on, these get theirs.
void RxCoalescer::EndFor(uint32_t buffers) {
  if (promised_ + buffers > sink_.free_buffers()) EndAll(RscEnd::kFull);
}

void RxCoalescer::End(size_t index, RscEnd why) {
  Context context = std::move(open_[index]);
  if (index + 1 != open_.size()) open_[index] = std::move(open_.back());
  open_.pop_back();
  promised_ -= BuffersFor(queue_, context.packet.layout);
  ++CountOf(stats_, why);
  if (context.frame_count > 1) {
    FinishHeaders(context.packet);
    context.packet.packet.segment_bytes = static_cast<uint16_t>(context.segment_bytes);
    context.packet.packet.header_bytes = static_cast<uint16_t>(context.packet.layout.header_bytes);
    ++stats_.rx_rsc_packets;
    stats_.rx_rsc_frames += context.frame_count;
  }
  sink_.Take(std::move(context.packet));
}

void RxCoalescer::EndAll(RscEnd why) {
  while (!open_.empty()) End(LeastUsed(), why);
}

uint64_t RxCoalescer::open_frames() const {
  uint64_t frames = 0;
  for (const Context& context : open_) frames += context.frame_count;
  return frames;
}

}  // namespace devmem
