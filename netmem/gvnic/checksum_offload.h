// SPDX-License-Identifier: Apache-2.0
//
// The layer-4 checksums that a virtual gVNIC makes for its guest and verifies for it. Called by the
// data path and by ports that lead out of this machine, on the thread of the device.

#pragma once

#include <cstdint>
#include <span>

#include "netmem/gvnic/frame_layout.h"

namespace devmem {

enum class L4Check : uint8_t {
  kNone,  // Nothing to verify: no TCP, UDP or ICMP, a fragment, or UDP sent without a checksum.
  kGood,
  kBad,
};

// Sums the whole of layer 4. `layout` was read from `frame`.
L4Check VerifyL4Checksum(std::span<const uint8_t> frame, const FrameLayout& layout);

// Writes the checksum of TCP or UDP, from the frame's own headers: what stands in the field (the
// pseudo-header's sum, with or without the length) does not matter. False: the frame is neither, or
// only a part of one; it is unchanged.
bool FinishL4Checksum(std::span<uint8_t> frame, const FrameLayout& layout);

// Writes the sum of the pseudo-header alone, the length included: what the kernel expects in a
// frame whose checksum it is asked to finish. False as above.
bool WritePseudoSum(std::span<uint8_t> frame, const FrameLayout& layout);

// Where the checksum stands, from the start of a TCP or UDP header (RFC 9293 section 3.1, RFC 768).
constexpr uint16_t L4ChecksumOffset(const FrameLayout& layout) { return layout.is_tcp() ? 16 : 6; }

// Writes the header checksum of the IPv4 packet behind the Ethernet header, whose header is whole.
void FinishIpv4Checksum(std::span<uint8_t> frame);

}  // namespace devmem
