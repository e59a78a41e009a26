// SPDX-License-Identifier: Apache-2.0
//
// TCP_DEFER_ACCEPT of the in-memory host: a bare ACK that would complete a handshake is not heard
// until data comes or the time is over, and meanwhile the SYN-ACK does not go again, as Linux has
// it. Stands between the packets and the engine, which knows nothing of it; host_stack.h calls it.

#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "netmem/tcp/segment.h"
#include "netmem/tcp/time.h"

namespace devmem::packetdrill {

class DeferAccept {
 public:
  // For handshakes that begin from now on at `port`; 0: none.
  void SetPort(uint16_t port, Nanos duration) { ports_[port] = duration; }

  // A segment arrives; false: it is not heard.
  bool Hears(const Segment& segment, Nanos now) {
    constexpr uint8_t kSpecial = kTcpSyn | kTcpFin | kTcpRst;
    if ((segment.flags & (kTcpSyn | kTcpAck)) == kTcpSyn) {
      const auto port = ports_.find(segment.flow.local_port);
      Forget(segment.flow);
      if (port != ports_.end() && port->second != 0) {
        waiting_.push_back({segment.flow, now + port->second, false});
      }
      return true;
    }
    Entry* entry = Find(segment.flow);
    if (entry == nullptr) return true;
    if ((segment.flags & kSpecial) == 0 && segment.payload_bytes == 0 && now < entry->until) {
      entry->acknowledged = true;
      return false;
    }
    Forget(segment.flow);
    return true;
  }

  // Whether a SYN-ACK leaves now: not while its answer is only being ignored.
  bool MayLeave(const FlowKey& flow, uint8_t flags, Nanos now) {
    if ((flags & (kTcpSyn | kTcpAck)) != (kTcpSyn | kTcpAck)) return true;
    const Entry* entry = Find(flow);
    return entry == nullptr || !entry->acknowledged || now >= entry->until;
  }

 private:
  struct Entry {
    FlowKey flow;
    Nanos until = 0;
    bool acknowledged = false;
  };

  Entry* Find(const FlowKey& flow) {
    for (Entry& entry : waiting_) {
      if (entry.flow == flow) return &entry;
    }
    return nullptr;
  }
  void Forget(const FlowKey& flow) {
    std::erase_if(waiting_, [&flow](const Entry& entry) { return entry.flow == flow; });
  }

  std::map<uint16_t, Nanos> ports_;
  std::vector<Entry> waiting_;
};

}  // namespace devmem::packetdrill
