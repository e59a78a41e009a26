// SPDX-License-Identifier: Apache-2.0
//
// Packets of the in-memory host: what comes in is parsed, checked and handed to the engine; what
// the engine sends gets its IP header and checksums. The frame code of netmem/wire does both, so a
// packet wears an Ethernet header inside this file.

#include <errno.h>

#include <algorithm>
#include <array>

#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/icmp_quote.h"
#include "netmem/wire/tcp_header.h"
#include "tools/packetdrill/host_stack.h"

namespace devmem::packetdrill {
namespace {

constexpr size_t kEthernetBytes = 14;

// The errno that Linux makes of it (net/ipv4/icmp.c, net/ipv6/icmp.c), by the code.
int ErrnoOf(const IcmpQuote& quote) {
  constexpr int kV4[] = {ENETUNREACH,  EHOSTUNREACH, ENOPROTOOPT,  ECONNREFUSED,
                         EMSGSIZE,     EOPNOTSUPP,   ENETUNREACH,  EHOSTDOWN,
                         ENONET,       ENETUNREACH,  EHOSTUNREACH, ENETUNREACH,
                         EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH};
  constexpr int kV6[] = {ENETUNREACH,  EACCES, EHOSTUNREACH, EHOSTUNREACH,
                         ECONNREFUSED, EACCES, EACCES};
  switch (quote.type) {
    case IcmpErrorType::kTooBig: return EMSGSIZE;
    case IcmpErrorType::kTimeExceeded: return EHOSTUNREACH;
    case IcmpErrorType::kParameterProblem: return EPROTO;
    case IcmpErrorType::kUnreachable: break;
  }
  const std::span<const int> table =
      quote.is_v6 ? std::span<const int>(kV6) : std::span<const int>(kV4);
  return quote.code < table.size() ? table[quote.code] : EPROTO;
}

uint16_t EtherTypeOf(uint8_t first_byte) { return first_byte >> 4 == 6 ? 0x86dd : 0x0800; }

}  // namespace

bool HostStack::IsOurs(const IpAddress& address) const {
  if (address.is_multicast() || address.is_broadcast() || address.is_unspecified()) return false;
  const std::optional<IpAddress>& named = address.is_v4() ? knobs_.address_v4 : knobs_.address_v6;
  return !named.has_value() || *named == address;
}

void HostStack::Inject(std::span<const uint8_t> packet) {
  if (packet.empty()) return;
  std::vector<uint8_t> frame(kEthernetBytes + packet.size());
  StoreBe16(&frame[12], EtherTypeOf(packet[0]));
  std::copy(packet.begin(), packet.end(), frame.begin() + kEthernetBytes);
  const FrameHeaders headers = ParseFrame(frame, static_cast<uint32_t>(frame.size()));
  if (headers.kind == FrameKind::kTcp) InjectTcp(frame, headers);
  if (headers.kind == FrameKind::kIcmp || headers.kind == FrameKind::kIcmpV6) {
    InjectIcmp(frame, headers);
  }
}

void HostStack::InjectTcp(std::span<const uint8_t> frame, const FrameHeaders& headers) {
  const FlowKey& flow = headers.flow;
  if (!IsOurs(flow.local) || flow.remote.is_multicast() || flow.remote.is_broadcast()) return;
  const std::span<const uint8_t> payload =
      frame.subspan(headers.header_bytes, headers.payload_bytes);
  if (!VerifyTcpChecksum(frame, headers, PartialSum(payload))) return;
  const std::optional<TcpHeader> tcp = TcpHeader::Parse(frame.subspan(headers.l4_offset));
  if (!tcp.has_value()) return;
  LearnAddress(flow.local);
  Segment segment;
  segment.flow = flow;
  segment.seq = tcp->seq();
  segment.ack = tcp->ack();
  segment.flags = tcp->flags();
  segment.window = tcp->window();
  segment.ecn = headers.ecn;
  segment.options = ParseTcpOptions(tcp->options());
  // What the knob forbids was never said.
  if (!knobs_.window_scaling) segment.options.window_scale.reset();
  segment.payload_bytes = headers.payload_bytes;
  if (!defer_accept_.Hears(segment, now_)) return;
  TakePayload(payload, &segment);
  engine_->Input(segment, now_);
}

void HostStack::InjectIcmp(std::span<const uint8_t> frame, const FrameHeaders& headers) {
  const std::optional<IcmpQuote> quote = ParseIcmpQuote(frame, headers);
  if (!quote.has_value()) return;
  IcmpError error;
  error.flow = quote->flow;
  error.seq = quote->seq;
  error.mtu_bytes = quote->mtu_bytes;
  error.system_error = ErrnoOf(*quote);
  // Linux gives up an opening connection for whichever of them, and an open one for none.
  error.kind =
      quote->type == IcmpErrorType::kTooBig ? IcmpErrorKind::kTooBig : IcmpErrorKind::kUnreachable;
  engine_->InputIcmp(error, now_);
}

// A super-frame leaves as the segments that a NIC would make of it: what may stand only once, FIN
// and PSH, is in the last one, CWR in the first.
void HostStack::Emit(const OutSegment& segment) {
  const uint32_t bytes = static_cast<uint32_t>(segment.payload.size());
  const uint32_t step = segment.gso_segment_bytes != 0 ? segment.gso_segment_bytes : bytes;
  uint32_t offset = 0;
  do {
    const uint32_t length = std::min(step, bytes - offset);
    uint8_t flags = segment.flags;
    if (offset + length != bytes) flags &= static_cast<uint8_t>(~(kTcpFin | kTcpPsh));
    if (offset != 0) flags &= static_cast<uint8_t>(~kTcpCwr);
    EmitPacket(segment, segment.payload.subspan(offset, length), offset, flags);
    offset += length;
  } while (offset < bytes);
}

void HostStack::EmitPacket(const OutSegment& segment, std::span<const uint8_t> payload,
                           uint32_t offset, uint8_t flags) {
  if (!defer_accept_.MayLeave(segment.flow, flags, now_)) return;
  TcpFrameSpec spec;
  spec.flow = segment.flow;
  spec.seq = segment.seq + offset;
  spec.ack = segment.ack;
  spec.flags = flags;
  spec.window = segment.window;
  spec.ecn = segment.ecn;
  spec.options = segment.options;
  if (!knobs_.window_scaling) spec.options.window_scale.reset();
  spec.payload_bytes = static_cast<uint32_t>(payload.size());
  spec.payload_sum = PartialSum(payload);
  std::array<uint8_t, kTcpFrameHeaderBytesMax> header;
  const size_t header_bytes = BuildTcpFrame(spec, header);
  if (header_bytes == 0) return;
  OutPacket packet;
  packet.sent_at = now_;
  packet.bytes.assign(header.begin() + kEthernetBytes,
                      header.begin() + static_cast<ptrdiff_t>(header_bytes));
  packet.bytes.insert(packet.bytes.end(), payload.begin(), payload.end());
  out_.push_back(std::move(packet));
}

}  // namespace devmem::packetdrill
