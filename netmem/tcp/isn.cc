// SPDX-License-Identifier: Apache-2.0
// One keyed hash serves both numbers; a byte that says which keeps them independent, so seeing one
// tells nothing about the other.
#include "netmem/tcp/isn.h"

#include <array>

#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

enum class Purpose : uint8_t { kInitialSequence = 1, kTimestampOffset = 2 };

uint32_t HashOf(const FlowKey& flow, const SipKey& secret, Purpose purpose) {
  std::array<uint8_t, 2 * IpAddress::kBytes + 5> input;
  flow.local.StoreTo(&input[0]);
  flow.remote.StoreTo(&input[IpAddress::kBytes]);
  StoreBe16(&input[2 * IpAddress::kBytes], flow.local_port);
  StoreBe16(&input[2 * IpAddress::kBytes + 2], flow.remote_port);
  input.back() = static_cast<uint8_t>(purpose);
  return static_cast<uint32_t>(SipHash24(secret, input));
}

}  // namespace

SeqNum InitialSequence(const FlowKey& flow, const SipKey& secret, Nanos now) {
  const uint32_t clock = static_cast<uint32_t>(now / (4 * kMicrosecond));
  return SeqNum(clock + HashOf(flow, secret, Purpose::kInitialSequence));
}

uint32_t TimestampOffset(const FlowKey& flow, const SipKey& secret) {
  return HashOf(flow, secret, Purpose::kTimestampOffset);
}

}  // namespace devmem
