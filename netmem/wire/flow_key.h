// SPDX-License-Identifier: Apache-2.0
// The 4-tuple that names a TCP connection, and the hash under which workers keep it. The frame
// parser fills one in per received segment; the flow tables of the engine look it up, on the thread
// of the worker. Receive-side scaling has its own hash, which the hardware defines.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "netmem/wire/ip_address.h"

namespace devmem {

// Seen from this machine: for a received frame `local` is the destination, for a sent one the
// source. Ports are in host order.
struct FlowKey {
  IpAddress local = {};
  IpAddress remote = {};
  uint16_t local_port = 0;
  uint16_t remote_port = 0;

  // Both ports at once, from the first word of a received TCP header: source, destination. One
  // store, because a comparison that reads both right after two stores has to wait for them.
  void SetPorts(uint32_t source_and_destination) {
    std::memcpy(&local_port, &source_and_destination, sizeof(source_and_destination));
  }

  // Both, as one number; which bits are whose is this machine's affair.
  uint32_t ports() const {
    uint32_t both = 0;
    std::memcpy(&both, &local_port, sizeof(both));
    return both;
  }

  friend constexpr bool operator==(const FlowKey&, const FlowKey&) = default;
};

static_assert(offsetof(FlowKey, remote_port) == offsetof(FlowKey, local_port) + 2,
              "SetPorts() and ports() take both at once");

// The two halves of the full 128-bit product, xor-ed: every input bit reaches the middle of the
// product, and the fold brings the middle to both ends.
constexpr uint64_t FoldedProduct(uint64_t a, uint64_t b) {
  __extension__ using Uint128 = unsigned __int128;
  const Uint128 product = static_cast<Uint128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// A 64-bit hash of the whole key, all of whose bits are usable. Keep `seed` random and secret: a
// peer picks its address and port, so a known seed would let it aim at one bucket. The constants
// are the fractional digits of the square roots of the first primes.
inline uint64_t HashFlow(const FlowKey& flow, uint64_t seed) {
  const uint64_t ports = flow.ports();
  const uint64_t low = FoldedProduct(flow.local.low() ^ seed ^ 0x6a09e667f3bcc908,
                                     flow.remote.low() ^ std::rotl(seed, 32) ^ 0x510e527fade682d1);
  const uint64_t high = FoldedProduct(flow.local.high() ^ seed ^ 0xbb67ae8584caa73b,
                                      flow.remote.high() ^ seed ^ 0x3c6ef372fe94f82b);
  return FoldedProduct(low ^ ports ^ 0xa54ff53a5f1d36f1, high ^ ports << 32 ^ seed);
}

// The IPv6 flow label of a connection, 20 bits, the same in all of its packets: routers may spread
// flows by it without a look at ports (RFC 6437 section 3). 0 for IPv4. The seed is no secret: the
// label tells flows apart and names nothing.
inline uint32_t FlowLabel(const FlowKey& flow) {
  return flow.local.is_v4() ? 0 : static_cast<uint32_t>(HashFlow(flow, 0) >> 44);
}

}  // namespace devmem
