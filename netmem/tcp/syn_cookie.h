// SPDX-License-Identifier: Apache-2.0
// SYN cookies (RFC 4987 section 3.6): an answer to a SYN that leaves no state behind, because all
// of it comes back with the peer's ACK. The listeners use them, on the worker's thread, when their
// half-open connections are as many as they may be. Pure functions.
#pragma once

#include <cstdint>
#include <optional>

#include "netmem/tcp/limits.h"
#include "netmem/tcp/siphash.h"
#include "netmem/tcp/time.h"
#include "netmem/wire/flow_key.h"
#include "netmem/wire/seq_num.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

// Linux's tcp_syncookies: 0, 1 and 2.
enum class SynCookies : uint8_t {
  kOff,
  kOnOverflow,  // While a listener has as many half-open connections as it may.
  kAlways,
};

// What a cookie remembers of the peer's SYN.
//
//   initial sequence number   | period: 1 | mss: 3 | keyed hash: 28 |
//   our timestamp's low bits  | ECN: 1 | SACK: 1 | window scale: 4, 15 for none |
//
// The hash covers the 4-tuple, the peer's initial sequence number, the number of the period
// (kSynCookiePeriod) and all other fields, so none of them can be altered. Without timestamps there
// is no place for the second row: no scaling, no SACK, no ECN, as in Linux.
struct CookieOptions {
  uint16_t mss_bytes = kMssBytesDefault;  // Rounded down to one of eight.
  bool timestamps = false;
  bool sack_permitted = false;
  bool ecn = false;
  std::optional<uint8_t> window_scale = {};

  friend bool operator==(const CookieOptions&, const CookieOptions&) = default;
};

// What can be remembered of a SYN with these options.
CookieOptions CookieOptionsFor(const TcpOptions& syn, bool ecn);

// The initial sequence number of the SYN-ACK.
SeqNum MakeSynCookie(const FlowKey& flow, const SipKey& secret, SeqNum peer_iss,
                     const CookieOptions& options, Nanos now);

// The timestamp to send with it instead of `tsval`: not later, and less than kCookieTicks earlier.
uint32_t CookieTimestamp(uint32_t tsval, const CookieOptions& options);
inline constexpr uint32_t kCookieTicks = 64;

// What the cookie remembers, when `cookie` is one that was made for this connection less than two
// periods ago. `echo` is the echo of our timestamp, if the ACK has the option.
std::optional<CookieOptions> CheckSynCookie(const FlowKey& flow, const SipKey& secret,
                                            SeqNum peer_iss, SeqNum cookie,
                                            std::optional<uint32_t> echo, Nanos now);

}  // namespace devmem
