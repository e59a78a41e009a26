// SPDX-License-Identifier: Apache-2.0
// Neighbour solicitations and advertisements (RFC 4861 sections 4.3, 4.4), by which IPv6 hosts ask
// for and tell Ethernet addresses, read with all of the checks that the RFC demands and written.
// Called by the stack's neighbour code and the frame builder on the worker's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/frame.h"
#include "netmem/wire/ip_address.h"
#include "netmem/wire/mac_address.h"

namespace devmem {

// Nobody off the link can send a packet that arrives with it (RFC 4861 section 3.1).
inline constexpr uint8_t kNeighbourHopLimit = 255;

inline constexpr size_t kNeighbourMessageBytes = 24;  // Without options.
inline constexpr size_t kLinkAddressOptionBytes = 8;

inline constexpr IpAddress kIpv6AllNodes =
    IpAddress::FromHalves(0xff02'0000'0000'0000, 1);  // ff02::1

// ff02::1:ffXX:XXXX, the group in which a node listens for questions about `address` (RFC 4291
// section 2.7.1).
constexpr IpAddress SolicitedNodeGroup(const IpAddress& address) {
  return IpAddress::FromHalves(0xff02'0000'0000'0000,
                               uint64_t{0x0001'ff00'0000} | (address.low() & 0xff'ffff));
}

// The link-local address that a host makes from its Ethernet address (RFC 4291 appendix A).
IpAddress LinkLocalAddress(const MacAddress& mac);

// A message that passed every check of RFC 4861 section 7.1.
struct NeighbourMessage {
  bool is_solicitation = false;  // Else an advertisement.
  bool solicited = false;        // The flags of an advertisement: it answers a question, ...
  bool overrides = false;        // ... and may replace what is known already.
  IpAddress source = {};         // Of the packet; unspecified in duplicate address detection.
  IpAddress target = {};         // Whose Ethernet address this is about.
  // Of the source in a solicitation, of the target in an advertisement.
  std::optional<MacAddress> link_address = {};
};

// Reads the message in `whole`, a frame with all of its bytes that was parsed as `frame`. Nothing
// for what is neither, and for what RFC 4861 section 7.1 has us discard in silence; that the
// checksum is wrong is among the reasons. Extension headers are among them too: these messages have
// no use for any, and RFC 6980 forbids the one that matters.
std::optional<NeighbourMessage> ParseNeighbourMessage(std::span<const uint8_t> whole,
                                                      const FrameHeaders& frame);

struct NeighbourFields {
  uint8_t type = 0;  // kIcmpV6NeighbourSolicitation or kIcmpV6NeighbourAdvertisement.
  bool solicited = false;
  bool overrides = false;
  IpAddress target = {};
  MacAddress link_address = {};
};

// Writes the message with its one option to the start of `out`, the checksum field as zero. Returns
// the bytes written: 32, or 0 if `out` is shorter.
size_t EmitNeighbourMessage(const NeighbourFields& fields, std::span<uint8_t> out);

}  // namespace devmem
