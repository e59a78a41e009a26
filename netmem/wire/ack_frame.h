// SPDX-License-Identifier: Apache-2.0
// The frame that a receiver sends most: an acknowledgment without payload, with a timestamp and
// SACK blocks as they come. It says the same as BuildTcpFrame() (frame_builder.h) would, in a
// fraction of the time, because every checksum comes from the values that are being written. Called
// by the stack on the thread of the worker that sends; allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "netmem/wire/flow_key.h"
#include "netmem/wire/mac_address.h"
#include "netmem/wire/seq_num.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

// Ethernet, IPv6, and TCP with all its options.
inline constexpr size_t kAckFrameBytesMax = 14 + 40 + 60;

struct AckFields {
  const FlowKey* flow = nullptr;  // `local` is the source; both addresses are of one family.
  SeqNum seq = {};
  SeqNum ack = {};
  uint16_t window = 0;  // As sent: already scaled down.
  uint8_t flags = 0;
  bool has_timestamps = false;
  TcpTimestamps timestamps = {};          // Read only with has_timestamps.
  std::span<const SackBlock> sacks = {};  // At most 4, or 3 beside timestamps.
};

// Writes the frame to `out`, which has kAckFrameBytesMax bytes, and returns its length. Timestamps
// stand between two NOPs and in front of the SACK blocks (RFC 7323 appendix A).
size_t BuildAckFrame(const MacAddress& source, const MacAddress& destination,
                     const AckFields& fields, std::span<uint8_t, kAckFrameBytesMax> out);

}  // namespace devmem
