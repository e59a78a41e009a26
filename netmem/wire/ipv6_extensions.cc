// SPDX-License-Identifier: Apache-2.0
// The walk over IPv6 extension headers: it runs on the polling thread, for IPv6 frames that have
// any, and is bounded in headers and, by their 8-bit lengths, in bytes.
#include "netmem/wire/ipv6_extensions.h"

#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

constexpr size_t kUnitBytes = 8;  // Extension headers are whole units (RFC 8200 section 4).
constexpr uint8_t kOptionPad1 = 0;

// Whether every option may be skipped (RFC 8200 section 4.2): we know only padding, and of the
// others those whose two highest bits are 00 allow it. All others oblige us to discard the packet.
bool OptionsAreHarmless(std::span<const uint8_t> options) {
  while (!options.empty()) {
    if (options[0] == kOptionPad1) {
      options = options.subspan(1);
      continue;
    }
    if (options[0] >> 6 != 0 || options.size() < 2) return false;
    const size_t bytes = size_t{2} + options[1];
    if (bytes > options.size()) return false;
    options = options.subspan(bytes);
  }
  return true;
}

// Whether one header of this kind, which lies wholly in `header`, may be stepped over. We route
// nothing, so a route with segments left is not ours to follow (RFC 8200 section 4.4).
bool MaySkip(std::span<const uint8_t> header, uint8_t kind) {
  if (kind == kIpv6Routing) return header[3] == 0;
  if (kind == kIpv6Fragment) return true;
  return OptionsAreHarmless(header.subspan(2));
}

bool IsExtension(uint8_t kind) {
  return kind == kIpv6HopByHop || kind == kIpv6Routing || kind == kIpv6Fragment ||
         kind == kIpv6DestinationOptions;
}

// A fragment header that says "the first part, and no more follow" belongs to a whole packet
// (RFC 6946) and is stepped over. The reserved bits between offset and flag are ignored.
bool IsPartOfPacket(std::span<const uint8_t> header) {
  return (LoadBe16(&header[2]) & 0xfff9) != 0;
}

}  // namespace

Ipv6Walk WalkIpv6Extensions(std::span<const uint8_t> bytes, uint8_t next_header) {
  Ipv6Walk walk;
  walk.protocol = next_header;
  for (size_t count = 0; IsExtension(walk.protocol); ++count) {
    const std::span<const uint8_t> rest = bytes.subspan(walk.bytes);
    const uint8_t kind = walk.protocol;
    // Hop-by-hop options stand first or not at all (RFC 8200 section 4.1).
    if (count == kIpv6ExtensionsMax || (kind == kIpv6HopByHop && count != 0)) {
      walk.result = Ipv6WalkResult::kUnsupported;
      return walk;
    }
    const bool has_length = kind != kIpv6Fragment;
    const size_t units = rest.size() < kUnitBytes || !has_length ? 1 : size_t{1} + rest[1];
    if (units * kUnitBytes > rest.size()) {
      walk.result = Ipv6WalkResult::kTruncated;
      return walk;
    }
    const std::span<const uint8_t> header = rest.first(units * kUnitBytes);
    if (!MaySkip(header, kind)) {
      walk.result = Ipv6WalkResult::kUnsupported;
      return walk;
    }
    walk.protocol = header[0];
    walk.bytes += header.size();
    if (kind == kIpv6Fragment && IsPartOfPacket(header)) {
      walk.result = Ipv6WalkResult::kFragment;
      return walk;
    }
  }
  return walk;
}

}  // namespace devmem
