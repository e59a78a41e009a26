// SPDX-License-Identifier: Apache-2.0
//
// Which Ethernet address a neighbour has: learned from ARP (RFC 826), from neighbour discovery (RFC
// 4861) and from the SYNs that we answer, asked for when we open a connection ourselves. One table
// per worker for both families, used on its thread; fixed size, nothing allocates. A full set
// forgets the entry that was not used for the longest time: the next frame to that neighbour asks
// again.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "netmem/stack/limits.h"
#include "netmem/wire/ip_address.h"
#include "netmem/wire/mac_address.h"

namespace devmem {

class Neighbours {
 public:
  Neighbours() : entries_(kNeighbourSets * kNeighbourWays) {}

  // nullptr when the address is not known. Valid until the next Learn(). Whoever is looked for is
  // younger than all others, so that a flood of new neighbours does not push out one in use.
  const MacAddress* Find(const IpAddress& address) {
    Entry* set = &entries_[SetOf(address)];
    for (uint32_t way = 0; way < kNeighbourWays; ++way) {
      if (!set[way].known || !(set[way].address == address)) continue;
      set[way].age = ++age_;
      return &set[way].mac;
    }
    return nullptr;
  }

  // Changes with every entry: while it stays, an answer of Find() that was remembered is right.
  // Whoever goes by one asks again now and then all the same, so that its neighbour stays young.
  uint64_t version() const { return version_; }

  // What the neighbour itself said when it wanted something of us.
  void Learn(const IpAddress& address, const MacAddress& mac);
  // What an answer says, which anybody can send: taken only for a neighbour that was asked for or
  // is known, and then only where it `overrides` what is known (RFC 4861 section 7.2.5). Whether
  // `mac` is what counts now.
  bool Hear(const IpAddress& address, const MacAddress& mac, bool overrides);

  // Whether to send a question for `address` now; at most one per kNeighbourAskInterval is due.
  bool MayAsk(const IpAddress& address, Nanos now);

  // Keeps a header-only frame (at most kHeaderSlotBytes) until its neighbour is known. The oldest
  // one parked gives way. False when the frame is too long.
  bool Park(const IpAddress& next_hop, std::span<const uint8_t> frame);
  // A frame that waited for `address`, taken out; empty when none waits. Valid until the next
  // Park().
  std::span<uint8_t> TakeParked(const IpAddress& address);

 private:
  struct Entry {
    IpAddress address;
    MacAddress mac;
    bool known = false;
    Nanos asked_at = INT64_MIN;
    uint64_t age = 0;
  };
  struct Parked {
    IpAddress next_hop;
    uint32_t bytes = 0;  // 0: free.
    std::array<uint8_t, kHeaderSlotBytes> frame;
  };

  static size_t SetOf(const IpAddress& address) {
    const uint64_t mixed = (address.low() ^ address.high()) * 0x9e3779b97f4a7c15;
    return static_cast<size_t>(mixed >> 56) * kNeighbourWays;
  }
  Entry* EntryOf(const IpAddress& address);
  Entry& EntryFor(const IpAddress& address);
  void Set(Entry& entry, const MacAddress& mac);

  std::vector<Entry> entries_;
  uint64_t age_ = 0;
  uint64_t version_ = 1;
  std::array<Parked, kParkedFrames> parked_{};
  uint32_t next_parked_ = 0;
};
static_assert(kNeighbourSets == 256, "SetOf() takes the top eight bits");

}  // namespace devmem
