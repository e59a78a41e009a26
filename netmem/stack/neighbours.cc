// SPDX-License-Identifier: Apache-2.0
//
// The neighbour table.

#include "netmem/stack/neighbours.h"

#include <algorithm>

namespace devmem {

// nullptr when nothing is known of the address, not even that it was asked for.
Neighbours::Entry* Neighbours::EntryOf(const IpAddress& address) {
  Entry* set = &entries_[SetOf(address)];
  for (uint32_t way = 0; way < kNeighbourWays; ++way) {
    if (set[way].age != 0 && set[way].address == address) return &set[way];
  }
  return nullptr;
}

Neighbours::Entry& Neighbours::EntryFor(const IpAddress& address) {
  if (Entry* entry = EntryOf(address); entry != nullptr) return *entry;
  Entry* set = &entries_[SetOf(address)];
  Entry* oldest = set;
  for (uint32_t way = 0; way < kNeighbourWays; ++way) {
    if (set[way].age < oldest->age) oldest = &set[way];
  }
  *oldest = Entry();
  oldest->address = address;
  oldest->age = ++age_;
  ++version_;
  return *oldest;
}

void Neighbours::Learn(const IpAddress& address, const MacAddress& mac) {
  Set(EntryFor(address), mac);
}

void Neighbours::Set(Entry& entry, const MacAddress& mac) {
  if (entry.known && entry.mac == mac) return;
  entry.mac = mac;
  entry.known = true;
  ++version_;
}

bool Neighbours::Hear(const IpAddress& address, const MacAddress& mac, bool overrides) {
  Entry* entry = EntryOf(address);
  if (entry == nullptr) return false;
  if (entry->known && !overrides && entry->mac != mac) return false;
  Set(*entry, mac);
  return true;
}

bool Neighbours::MayAsk(const IpAddress& address, Nanos now) {
  Entry& entry = EntryFor(address);
  if (entry.asked_at != INT64_MIN && now - entry.asked_at < kNeighbourAskInterval) return false;
  entry.asked_at = now;
  return true;
}

bool Neighbours::Park(const IpAddress& next_hop, std::span<const uint8_t> frame) {
  if (frame.size() > kHeaderSlotBytes) return false;
  Parked& parked = parked_[next_parked_];
  next_parked_ = (next_parked_ + 1) % kParkedFrames;
  parked.next_hop = next_hop;
  parked.bytes = static_cast<uint32_t>(frame.size());
  std::copy(frame.begin(), frame.end(), parked.frame.begin());
  return true;
}

std::span<uint8_t> Neighbours::TakeParked(const IpAddress& address) {
  for (Parked& parked : parked_) {
    if (parked.bytes == 0 || !(parked.next_hop == address)) continue;
    const uint32_t bytes = parked.bytes;
    parked.bytes = 0;
    return std::span(parked.frame).first(bytes);
  }
  return {};
}

}  // namespace devmem
