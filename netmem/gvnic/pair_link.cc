// SPDX-License-Identifier: Apache-2.0
//
// The queues of a pair.

#include "netmem/gvnic/pair_link.h"

#include <utility>

#include "netmem/gvnic/limits.h"

namespace devmem {

void PairLink::End::Transmit(Packet packet) {
  if (queue_bytes + packet.bytes.size() > kPairQueueBytesMax) {
    ++stats.drops;
    return;
  }
  ++stats.packets;
  queue_bytes += packet.bytes.size();
  queue.push_back(std::move(packet));
}

bool PairLink::Deliver() {
  bool any = false;
  for (uint32_t index = 0; index < ends_.size(); ++index) {
    End& from = ends_[index];
    if (from.queue.empty()) continue;
    any = true;
    from.queue_bytes = 0;
    std::vector<Packet> packets = std::exchange(from.queue, {});
    Port* const receiver = ends_[1 - index].receiver;
    if (receiver == nullptr) {
      from.stats.drops += packets.size();
      continue;
    }
    for (Packet& packet : packets) receiver->Transmit(std::move(packet));
    receiver->EndBatch();
  }
  return any;
}

}  // namespace devmem
