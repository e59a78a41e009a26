// SPDX-License-Identifier: Apache-2.0
// The walk over IPv6 extension headers to the transport header (RFC 8200 section 4). Called by the
// frame parser for IPv6 frames whose first next-header is no transport, on the polling thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace devmem {

// Next-header values of the extension headers that are walked over (RFC 8200 section 4).
inline constexpr uint8_t kIpv6HopByHop = 0;
inline constexpr uint8_t kIpv6Routing = 43;
inline constexpr uint8_t kIpv6Fragment = 44;
inline constexpr uint8_t kIpv6DestinationOptions = 60;

// A sender in good order uses at most five; a longer chain is an attempt to cost us time.
inline constexpr size_t kIpv6ExtensionsMax = 8;

enum class Ipv6WalkResult : uint8_t {
  kTransport,    // `protocol` begins at `bytes`.
  kFragment,     // A real fragment header was met; the walk ends there.
  kTruncated,    // A header runs past the end.
  kUnsupported,  // A chain, order, route or option that RFC 8200 has us discard.
};

struct Ipv6Walk {
  Ipv6WalkResult result = Ipv6WalkResult::kTransport;
  uint8_t protocol = 0;
  size_t bytes = 0;  // Length of the extension headers that were walked over.
};

// Walks `bytes`, which begins behind the fixed header with a header of kind `next_header`.
Ipv6Walk WalkIpv6Extensions(std::span<const uint8_t> bytes, uint8_t next_header);

}  // namespace devmem
