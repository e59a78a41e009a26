// SPDX-License-Identifier: Apache-2.0
// Reading the packet that an ICMP error quotes. Routers cut it off, so every header is asked for
// before it is read; its own checksums say nothing, because it was changed on its way.
#include "netmem/wire/icmp_quote.h"

#include <array>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "netmem/wire/ipv6_extensions.h"

namespace devmem {
namespace {

using Bytes = std::span<const uint8_t>;

// Ports and sequence number: what RFC 792 has every router quote of layer 4.
constexpr size_t kTcpQuoteBytes = 8;

std::optional<IcmpErrorType> TypeOfV4(const IcmpHeader& icmp) {
  switch (icmp.type()) {
    case kIcmpDestinationUnreachable:
      return icmp.code() == kIcmpCodeFragmentationNeeded ? IcmpErrorType::kTooBig
                                                         : IcmpErrorType::kUnreachable;
    case kIcmpTimeExceeded: return IcmpErrorType::kTimeExceeded;
    case kIcmpParameterProblem: return IcmpErrorType::kParameterProblem;
    default: return std::nullopt;
  }
}

std::optional<IcmpErrorType> TypeOfV6(const IcmpHeader& icmp) {
  switch (icmp.type()) {
    case kIcmpV6DestinationUnreachable: return IcmpErrorType::kUnreachable;
    case kIcmpV6PacketTooBig: return IcmpErrorType::kTooBig;
    case kIcmpV6TimeExceeded: return IcmpErrorType::kTimeExceeded;
    case kIcmpV6ParameterProblem: return IcmpErrorType::kParameterProblem;
    default: return std::nullopt;
  }
}

// The largest MTU in use below that of a packet which did not pass (RFC 1191 table 7-1).
uint32_t PlateauBelow(uint32_t packet_bytes) {
  constexpr std::array<uint32_t, 11> kPlateaus = {65535, 32000, 17914, 8166, 4352, 2002,
                                                  1492,  1006,  508,   296,  68};
  for (const uint32_t plateau : kPlateaus) {
    if (plateau < packet_bytes) return plateau;
  }
  return kPlateaus.back();
}

// Reads ports and sequence number from where layer 4 begins in the quote.
bool ReadTcp(Bytes tcp, IcmpQuote& quote) {
  if (tcp.size() < kTcpQuoteBytes) return false;
  quote.flow.local_port = LoadBe16(&tcp[0]);
  quote.flow.remote_port = LoadBe16(&tcp[2]);
  quote.seq = SeqNum(LoadBe32(&tcp[4]));
  return true;
}

bool ReadQuoteV4(const IcmpHeader& icmp, IcmpQuote& quote) {
  const std::optional<Ipv4Header> ip = Ipv4Header::Parse(icmp.body());
  if (!ip || ip->protocol() != kIpProtocolTcp || ip->fragment_offset_bytes() != 0) return false;
  quote.flow.local = ip->source();
  quote.flow.remote = ip->destination();
  if (quote.type == IcmpErrorType::kTooBig) {
    quote.mtu_bytes = icmp.next_hop_mtu_bytes();
    if (quote.mtu_bytes == 0) quote.mtu_bytes = PlateauBelow(ip->total_bytes());
  }
  return ReadTcp(icmp.body().subspan(ip->header_bytes()), quote);
}

bool ReadQuoteV6(const IcmpHeader& icmp, IcmpQuote& quote) {
  const std::optional<Ipv6Header> ip = Ipv6Header::Parse(icmp.body());
  if (!ip) return false;
  quote.flow.local = ip->source();
  quote.flow.remote = ip->destination();
  if (quote.flow.local.is_v4() || quote.flow.remote.is_v4()) return false;
  if (quote.type == IcmpErrorType::kTooBig) quote.mtu_bytes = icmp.mtu_bytes();
  const Bytes payload = icmp.body().subspan(kIpv6HeaderBytes);
  const Ipv6Walk walk = WalkIpv6Extensions(payload, ip->next_header());
  if (walk.result != Ipv6WalkResult::kTransport || walk.protocol != kIpProtocolTcp) return false;
  return ReadTcp(payload.subspan(walk.bytes), quote);
}

}  // namespace

std::optional<IcmpQuote> ParseIcmpQuote(std::span<const uint8_t> whole, const FrameHeaders& frame) {
  const std::optional<IcmpHeader> icmp = IcmpHeader::Parse(CheckedIcmpMessage(whole, frame));
  if (!icmp) return std::nullopt;
  const std::optional<IcmpErrorType> type = frame.is_v6 ? TypeOfV6(*icmp) : TypeOfV4(*icmp);
  if (!type) return std::nullopt;
  IcmpQuote quote{.type = *type, .code = icmp->code(), .is_v6 = frame.is_v6};
  const bool readable = frame.is_v6 ? ReadQuoteV6(*icmp, quote) : ReadQuoteV4(*icmp, quote);
  // An error goes to the source of what caused it (RFC 1122 section 3.2.2, RFC 4443 section 2.2).
  if (!readable || !(quote.flow.local == frame.flow.local)) return std::nullopt;
  return quote;
}

}  // namespace devmem
