// SPDX-License-Identifier: Apache-2.0
// Explicit congestion notification of one connection (RFC 3168): who agreed on it, and which of its
// signals wait for the next segment. The engine asks on the worker's thread. What a signal does to
// the congestion window is in congestion.h.
#pragma once

#include <cstdint>

#include "netmem/wire/ipv4.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {

// Linux's tcp_ecn: 0, 2 and 1.
enum class EcnMode : uint8_t {
  kOff,
  kAccept,  // When the peer's SYN asks for it.
  kOffer,   // Our SYN asks, too.
};

// The field of the IP header (RFC 3168 section 5).
inline constexpr uint8_t kEcnEct0 = 2;

//   their data marked CE  ->  echo: every ACK of ours has ECE  ->  their CWR ends it
//   their ACK with ECE    ->  our window halves, cwr_pending   ->  our next new data has CWR
struct EcnState {
  bool enabled : 1 = false;
  bool echo : 1 = false;
  bool cwr_pending : 1 = false;

  // RFC 3168 section 6.1.1: a SYN asks with both flags, and travels unmarked.
  static constexpr bool IsOffer(uint8_t flags, uint8_t ip_ecn) {
    return (flags & (kTcpEce | kTcpCwr)) == (kTcpEce | kTcpCwr) && ip_ecn == 0;
  }
  // The SYN-ACK agrees with ECE alone: both flags come back from peers that reflect what they do
  // not know.
  static constexpr bool IsAgreement(uint8_t flags) {
    return (flags & (kTcpEce | kTcpCwr)) == kTcpEce;
  }

  // Payload arrived (section 6.1.3). CWR comes first: a segment may end one signal and carry the
  // next. Returns whether the peer should hear of us at once, because its window may be tiny.
  bool OnPayload(uint8_t flags, uint8_t ip_ecn) {
    if (!enabled) return false;
    const bool cwr = (flags & kTcpCwr) != 0;
    if (cwr) echo = false;
    const bool begins = ip_ecn == kEcnCongestion && !echo;
    if (begins) echo = true;
    return cwr || begins;
  }
};
static_assert(sizeof(EcnState) == 1);

}  // namespace devmem
