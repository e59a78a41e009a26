// SPDX-License-Identifier: Apache-2.0
// The frame that a receiver sends most: a bare acknowledgment, without options or with a timestamp.
// It says the same as BuildTcpFrame() (frame_builder.h) would, in a fraction of the time, because
// every checksum comes from the values that are being written. Called by the stack on the thread of
// the worker that sends; allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/flow_key.h"
#include "netmem/wire/mac_address.h"
#include "netmem/wire/seq_num.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

// Ethernet, IPv6, TCP and a timestamp between two NOPs (RFC 7323 appendix A).
inline constexpr size_t kAckFrameBytesMax = 14 + 40 + 20 + 12;

struct AckFrameSpec {
  MacAddress source_mac = {};
  MacAddress destination_mac = {};
  FlowKey flow = {};  // `local` is the source; both addresses are of one family.
  SeqNum seq = {};
  SeqNum ack = {};
  uint8_t flags = 0;
  uint16_t window = 0;      // As sent: already scaled down.
  uint32_t flow_label = 0;  // IPv6 only: 20 bits.
  std::optional<TcpTimestamps> timestamps = {};
};

// Writes the frame to `out`, which has kAckFrameBytesMax bytes, and returns its length.
size_t BuildAckFrame(const AckFrameSpec& spec, std::span<uint8_t, kAckFrameBytesMax> out);

}  // namespace devmem
