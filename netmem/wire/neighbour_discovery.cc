// SPDX-License-Identifier: Apache-2.0
// Reading and writing neighbour discovery messages, on the thread of the worker that got or sends
// them.
#include "netmem/wire/neighbour_discovery.h"

#include <algorithm>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/ipv6.h"

namespace devmem {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t kUnitBytes = 8;  // In which options count their length (RFC 4861 section 4.6).
constexpr size_t kTargetOffset = 8;
constexpr uint8_t kSourceLinkAddress = 1;
constexpr uint8_t kTargetLinkAddress = 2;
constexpr uint8_t kSolicitedFlag = 0x40;
constexpr uint8_t kOverrideFlag = 0x20;

// Reads the option of kind `wanted`, the last if there are several, and steps over all others
// (RFC 4861 section 4.6). False if an option has no length or runs past the end.
bool ReadOptions(Bytes options, uint8_t wanted, std::optional<MacAddress>& link_address) {
  while (!options.empty()) {
    if (options.size() < kUnitBytes) return false;
    const size_t bytes = kUnitBytes * options[1];
    if (bytes == 0 || bytes > options.size()) return false;
    // On Ethernet the option is one unit; a longer one names another kind of link.
    if (options[0] == wanted && bytes == kLinkAddressOptionBytes) {
      link_address = MacAddress::FromBytes(options.subspan(2));
    }
    options = options.subspan(bytes);
  }
  return true;
}

// RFC 4861 section 7.1.1.
bool IsValidSolicitation(const NeighbourMessage& message, const IpAddress& destination) {
  if (!message.source.is_unspecified()) return true;
  const bool to_group = destination == SolicitedNodeGroup(message.target);
  return to_group && !message.link_address.has_value();
}

// RFC 4861 section 7.1.2: what goes to everybody answers nobody's question.
bool IsValidAdvertisement(const NeighbourMessage& message, const IpAddress& destination) {
  return !(destination.is_multicast() && message.solicited);
}

}  // namespace

IpAddress LinkLocalAddress(const MacAddress& mac) {
  const auto& bytes = mac.bytes();
  // The universal bit is inverted, and ff:fe stands in the middle.
  const uint64_t front = uint64_t{bytes[0] ^ 2u} << 16 | uint64_t{bytes[1]} << 8 | bytes[2];
  const uint64_t back = uint64_t{bytes[3]} << 16 | uint64_t{bytes[4]} << 8 | bytes[5];
  return IpAddress::FromHalves(0xfe80'0000'0000'0000, front << 40 | uint64_t{0xfffe} << 24 | back);
}

std::optional<NeighbourMessage> ParseNeighbourMessage(std::span<const uint8_t> whole,
                                                      const FrameHeaders& frame) {
  if (frame.kind != FrameKind::kIcmpV6 || frame.ttl != kNeighbourHopLimit) return std::nullopt;
  if (frame.l4_offset != kEthernetHeaderBytes + kIpv6HeaderBytes) return std::nullopt;
  const Bytes bytes = CheckedIcmpMessage(whole, frame);
  if (bytes.size() < kNeighbourMessageBytes) return std::nullopt;
  const IcmpHeader icmp = *IcmpHeader::Parse(bytes);
  if (icmp.code() != 0) return std::nullopt;

  NeighbourMessage message;
  message.is_solicitation = icmp.type() == kIcmpV6NeighbourSolicitation;
  if (!message.is_solicitation && icmp.type() != kIcmpV6NeighbourAdvertisement) {
    return std::nullopt;
  }
  message.source = frame.flow.remote;
  message.target = IpAddress::FromV6(bytes.subspan(kTargetOffset));
  if (message.target.is_multicast() || message.target.is_v4()) return std::nullopt;
  if (message.source.is_multicast()) return std::nullopt;
  const uint8_t wanted = message.is_solicitation ? kSourceLinkAddress : kTargetLinkAddress;
  if (!ReadOptions(bytes.subspan(kNeighbourMessageBytes), wanted, message.link_address)) {
    return std::nullopt;
  }
  // A group is nobody's own address; whoever says so would have us send to all.
  if (message.link_address.has_value() && message.link_address->is_multicast()) {
    return std::nullopt;
  }
  const IpAddress& destination = frame.flow.local;
  if (message.is_solicitation) {
    if (!IsValidSolicitation(message, destination)) return std::nullopt;
    return message;
  }
  message.solicited = (bytes[4] & kSolicitedFlag) != 0;
  message.overrides = (bytes[4] & kOverrideFlag) != 0;
  if (!IsValidAdvertisement(message, destination)) return std::nullopt;
  return message;
}

size_t EmitNeighbourMessage(const NeighbourFields& fields, std::span<uint8_t> out) {
  constexpr size_t kBytes = kNeighbourMessageBytes + kLinkAddressOptionBytes;
  if (out.size() < kBytes) return 0;
  std::fill_n(out.begin(), kTargetOffset, uint8_t{0});
  out[0] = fields.type;
  out[4] = static_cast<uint8_t>((fields.solicited ? kSolicitedFlag : 0) |
                                (fields.overrides ? kOverrideFlag : 0));
  fields.target.StoreTo(&out[kTargetOffset]);
  const bool solicits = fields.type == kIcmpV6NeighbourSolicitation;
  out[kNeighbourMessageBytes] = solicits ? kSourceLinkAddress : kTargetLinkAddress;
  out[kNeighbourMessageBytes + 1] = 1;
  std::copy_n(fields.link_address.bytes().begin(), MacAddress::kBytes,
              out.begin() + kNeighbourMessageBytes + 2);
  return kBytes;
}

}  // namespace devmem
