// SPDX-License-Identifier: Apache-2.0
// Initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 section 7.1) that only the
// holder of the secret can predict, and that still move forward from one incarnation of a
// connection to the next. Pure functions, called by the handshake on the worker's thread.
#pragma once

#include <cstdint>

#include "netmem/tcp/siphash.h"
#include "netmem/tcp/time.h"
#include "netmem/wire/flow_key.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

// ISN = M + F(4-tuple, secret), RFC 6528 section 3. M ticks every 4 us, and so turns once in 4.8 h.
SeqNum InitialSequence(const FlowKey& flow, const SipKey& secret, Nanos now);

// What TimestampState::offset should be. It depends on the 4-tuple and the secret alone, so the
// timestamps of a reused 4-tuple go on rising (RFC 6191 relies on that).
uint32_t TimestampOffset(const FlowKey& flow, const SipKey& secret);

}  // namespace devmem
