// SPDX-License-Identifier: Apache-2.0
//
// Hostile frames of each kind for the flood benchmark: blind ones from made-up addresses or with
// guessed numbers, and those that only a peer can send on its own connection. Single thread; all
// chance is seeded.

#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "netmem/nic/impairment.h"
#include "netmem/wire/flow_key.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/mac_address.h"
#include "netmem/wire/seq_num.h"

namespace devmem::bench {

enum class FloodKind : uint8_t {
  kSyn,          // To a port where somebody listens, each from another address.
  kRst,          // On a connection, at a guessed place in its window: RFC 5961 section 3.
  kAck,          // Of connections that do not exist.
  kFin,          // On a connection, with guessed numbers.
  kFragment,     // Parts of IPv4 packets: RFC 791 section 3.2.
  kOptionSoup,   // 40 random bytes of TCP options on a connection.
  kTinySegment,  // One byte each with a hole before it, from the peer itself.
  kWindowEdge,   // Full segments around both edges of the window, from the peer itself.
};
inline constexpr std::array<FloodKind, 8> kFloodKinds = {
    FloodKind::kSyn,      FloodKind::kRst,        FloodKind::kAck,         FloodKind::kFin,
    FloodKind::kFragment, FloodKind::kOptionSoup, FloodKind::kTinySegment, FloodKind::kWindowEdge};

// Whom the flood is for: one connection, in the direction of its frames to us.
struct FloodTarget {
  MacAddress peer_mac;
  MacAddress our_mac;
  FlowKey flow;  // `local` is the peer: the source of the frames.
  SeqNum rcv_nxt;
  SeqNum peer_ack;
  uint32_t window_bytes = 0;
};

// One frame: its headers, and how many bytes of payload belong behind them.
struct FloodFrame {
  std::span<const uint8_t> header() const { return std::span(bytes).first(header_bytes); }

  std::array<uint8_t, kTcpFrameHeaderBytesMax> bytes{};
  uint32_t header_bytes = 0;
  uint32_t payload_bytes = 0;
};

FloodFrame MakeFloodFrame(FloodKind kind, const FloodTarget& target, SeededRandom& random);

}  // namespace devmem::bench
