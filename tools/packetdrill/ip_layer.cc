// SPDX-License-Identifier: Apache-2.0
//
// Packets of the in-memory host: what comes in is parsed, checked and handed to the engine; what
// the engine sends gets its IP header and checksums. The frame code of netmem/wire does both, so a
// packet wears an Ethernet header inside this file.

#include <algorithm>
#include <array>

#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/tcp_header.h"
#include "tools/packetdrill/host_stack.h"

namespace devmem::packetdrill {
namespace {

constexpr size_t kEthernetBytes = 14;

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
  TakePayload(payload, &segment);
  engine_->Input(segment, now_);
}

void HostStack::Emit(const OutSegment& segment) {
  TcpFrameSpec spec;
  spec.flow = segment.flow;
  spec.seq = segment.seq;
  spec.ack = segment.ack;
  spec.flags = segment.flags;
  spec.window = segment.window;
  spec.ecn = segment.ecn;
  spec.options = segment.options;
  spec.payload_bytes = static_cast<uint32_t>(segment.payload.size());
  spec.payload_sum = PartialSum(segment.payload);
  std::array<uint8_t, kTcpFrameHeaderBytesMax> header;
  const size_t header_bytes = BuildTcpFrame(spec, header);
  if (header_bytes == 0) return;
  OutPacket packet;
  packet.sent_at = now_;
  packet.bytes.assign(header.begin() + kEthernetBytes,
                      header.begin() + static_cast<ptrdiff_t>(header_bytes));
  packet.bytes.insert(packet.bytes.end(), segment.payload.begin(), segment.payload.end());
  out_.push_back(std::move(packet));
}

}  // namespace devmem::packetdrill
