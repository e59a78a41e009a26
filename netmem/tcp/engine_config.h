// SPDX-License-Identifier: Apache-2.0
//
// What an engine is made with: its bounds, and what it offers and accepts. Read when the engine is
// created, on its worker's thread.

#pragma once

#include <cstddef>
#include <cstdint>

#include "netmem/tcp/ack_policy.h"
#include "netmem/tcp/ecn.h"
#include "netmem/tcp/limits.h"
#include "netmem/tcp/siphash.h"
#include "netmem/tcp/syn_cookie.h"
#include "netmem/tcp/time.h"

namespace devmem {

struct TcpEngineConfig {
  uint32_t connections_max = 4096;
  uint32_t mtu_bytes = 1500;   // Of the device: bounds the MSS both ways.
  uint32_t gso_bytes_max = 0;  // The most payload of one OutSegment; 0: one MSS.
  // Super-frames are bounded by what leaves within about a millisecond, and not below two segments,
  // so that none of them is a burst that no path carries (Linux's tcp_tso_autosize()).
  bool gso_by_rate = false;
  uint64_t window_bytes_max = 4 << 20;  // The most that one connection is promised.
  // What it starts with, 1 at least and no more than the most; it grows while its user keeps up
  // (dynamic right-sizing).
  uint64_t window_bytes_start = kWindowStartBytesDefault;
  size_t send_buffer_bytes = kSendBufferBytesDefault;
  SipKey secret = {};      // Random; keys sequence numbers, ports and the table.
  bool timestamps = true;  // Offer and accept the option.
  bool sack = true;
  // A segment that reaches beyond the window is taken whole if nothing waits to be read, else not
  // at all (Linux's tcp_sequence()). Otherwise the part within the window is taken.
  bool whole_segments = false;
  bool loss_probe = true;  // RFC 8985 section 7, with peers that SACK.
  AckOptions ack = {};
  EcnMode ecn = EcnMode::kAccept;
  SynCookies syn_cookies = SynCookies::kOnOverflow;
  // Between two answers of a connection to unacceptable segments; 0: none is held back.
  Nanos invalid_answer_interval = kInvalidAnswerInterval;
};

}  // namespace devmem
