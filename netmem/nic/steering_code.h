// SPDX-License-Identifier: Apache-2.0
//
// The text of the TAP's steering program: eBPF instructions, made from the kinds of flow rules that
// are there and the queues that share the rest. Pure; called by SteeringProgram on the control
// thread. The kernel runs the result once for each frame that it puts on the TAP, on the sender's
// thread.

#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <span>
#include <vector>

#include "netmem/nic/flow_rules.h"

namespace devmem {

// Which fields a rule gives: the bits of SteeringKey::fields. Rules with the same fields form a
// class, and are looked up at one stroke.
inline constexpr uint32_t kSteerLocal = 1;
inline constexpr uint32_t kSteerRemote = 2;
inline constexpr uint32_t kSteerLocalPort = 4;
inline constexpr uint32_t kSteerRemotePort = 8;
inline constexpr uint32_t kSteeringClassesMax = 16;

// The key of the rule map. What the class leaves out is zero.
struct SteeringKey {
  uint8_t local[16] = {};  // IPv4 as ::ffff:a.b.c.d, in the order of the wire.
  uint8_t remote[16] = {};
  uint8_t local_port[2] = {};  // In the order of the wire.
  uint8_t remote_port[2] = {};
  uint32_t fields = 0;  // The class, so that rules of two classes never share a key.
};
static_assert(sizeof(SteeringKey) == 40, "no padding: the kernel compares all bytes");

// The value of the rule map. A frame that several rules match goes to the one of the lowest rank.
struct SteeringValue {
  uint64_t rank = 0;
  uint32_t queue = 0;
  uint32_t unused = 0;  // Padding made visible: the kernel stores it too.
};
static_assert(sizeof(SteeringValue) == 16);

SteeringKey SteeringKeyFor(const FlowMatch& match);
// The most specific rule has the lowest rank, and among equals the older one, as FlowMatcher
// decides.
SteeringValue SteeringValueFor(const FlowRule& rule);

// The program. It reads the addresses, the protocol and, behind IPv4 options or IPv6 extension
// headers, the TCP ports; looks the frame up once for each of `classes` in the map `map_fd`; and
// returns the best rule's queue. Without one, and for all that is not whole TCP over IP without a
// VLAN tag, it returns one of `rss_queues`, which is not empty, always the same for the same flow.
std::vector<bpf_insn> BuildSteeringCode(std::span<const uint32_t> classes,
                                        std::span<const uint32_t> rss_queues, int map_fd);

}  // namespace devmem
