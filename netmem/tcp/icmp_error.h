// SPDX-License-Identifier: Apache-2.0
//
// What an ICMP message says about a segment of ours, read from the message and the headers that it
// quotes (RFC 792, RFC 4443). The stack makes one and gives it to TcpEngine::InputIcmp() on the
// worker's thread; icmp_error.cc decides what of it is believed (RFC 5927, RFC 1122 section
// 4.2.3.9).

#pragma once

#include <cstdint>

#include "netmem/wire/flow_key.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

enum class IcmpErrorKind : uint8_t {
  kUnreachable,  // Port or protocol unreachable, prohibited: hard while a connection opens.
  kSoft,         // Time exceeded, host or net unreachable: may pass.
  kTooBig,       // Fragmentation needed (RFC 1191), or packet too big (RFC 8201).
};

struct IcmpError {
  FlowKey flow;  // Of the quoted segment: `local`, its source, is ours.
  SeqNum seq;    // Of the quoted segment: a stranger would have to guess it.
  IcmpErrorKind kind = IcmpErrorKind::kSoft;
  uint32_t mtu_bytes = 0;    // kTooBig: of the next hop, IP header included; 0: it did not say.
  int32_t system_error = 0;  // The errno that a socket reports for it.
};

}  // namespace devmem
