// SPDX-License-Identifier: Apache-2.0
// Looks at every segment that an engine emits, as its peer does, and finds a right edge (ACK number
// plus scaled window) that lies left of what the peer was told before: RFC 9293 section 3.8.6
// forbids that, and RFC 7323 section 2.4 warns of windows that are rounded down. Every test with an
// EngineHarness has one; the harness asks it with the rest of the account. One thread.

#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "netmem/tcp/engine.h"

namespace devmem::testing {

class EdgeWatch {
 public:
  explicit EdgeWatch(const TcpEngine* engine) : engine_(engine) {}

  // While the engine emits it, when the connection is as the segment says.
  void OnEmit(const OutSegment& segment);
  // The first edge that moved left; empty: none did.
  const std::string& fault() const { return fault_; }

 private:
  struct Told {
    ConnectionId id;  // The default one: a cookie, which has no connection yet.
    SeqNum first;     // The peer's first byte, which tells cookies apart.
    SeqNum edge;
    bool by_syn = false;     // Of our SYN only: nobody knows yet from where the window counts.
    uint32_t syn_bytes = 0;  // Its window.
  };
  struct Hash {
    size_t operator()(const FlowKey& flow) const { return HashFlow(flow, 0); }
  };

  const TcpEngine* const engine_;  // Outlives this.
  std::unordered_map<FlowKey, Told, Hash> told_;
  std::string fault_;
};

}  // namespace devmem::testing
