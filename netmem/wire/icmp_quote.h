// SPDX-License-Identifier: Apache-2.0
// An ICMP error about a TCP segment of ours (RFC 792, RFC 1191; RFC 4443): what a router or the
// peer says happened, and which flow and sequence number the quoted segment had. Called by the
// stack on the worker's thread; whether to believe it is for the TCP engine to say.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/flow_key.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

enum class IcmpErrorType : uint8_t {
  kUnreachable,
  kTooBig,  // IPv4: unreachable with code "fragmentation needed".
  kTimeExceeded,
  kParameterProblem,
};

// Codes of kUnreachable in the words of the family: RFC 792 and RFC 1122 section 3.2.2.1, ...
inline constexpr uint8_t kIcmpCodeNetUnreachable = 0;
inline constexpr uint8_t kIcmpCodeHostUnreachable = 1;
inline constexpr uint8_t kIcmpCodeProtocolUnreachable = 2;
inline constexpr uint8_t kIcmpCodePortUnreachable = 3;
inline constexpr uint8_t kIcmpCodeSourceRouteFailed = 5;
inline constexpr uint8_t kIcmpCodeNetUnreachableForTos = 11;
inline constexpr uint8_t kIcmpCodeHostUnreachableForTos = 12;
// ... and RFC 4443 section 3.1.
inline constexpr uint8_t kIcmpV6CodeNoRoute = 0;
inline constexpr uint8_t kIcmpV6CodeProhibited = 1;
inline constexpr uint8_t kIcmpV6CodeBeyondScope = 2;
inline constexpr uint8_t kIcmpV6CodeAddressUnreachable = 3;
inline constexpr uint8_t kIcmpV6CodePortUnreachable = 4;

struct IcmpQuote {
  IcmpErrorType type = IcmpErrorType::kUnreachable;
  uint8_t code = 0;
  bool is_v6 = false;
  FlowKey flow = {};  // Of the quoted segment, `local` its sender.
  SeqNum seq = {};
  // Of kTooBig: what the next hop takes, headers included. Where a router is older than RFC 1191
  // and names none, the next lower one that is in use (RFC 1191 section 7.1).
  uint32_t mtu_bytes = 0;
};

// Reads the error in `whole`, a frame with all of its bytes that was parsed as `frame`. Nothing for
// what is no error, has a wrong checksum, quotes something other than the beginning of a TCP
// segment, or went to another host than the segment's sender.
std::optional<IcmpQuote> ParseIcmpQuote(std::span<const uint8_t> whole, const FrameHeaders& frame);

}  // namespace devmem
