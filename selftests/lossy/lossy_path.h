// SPDX-License-Identifier: Apache-2.0
//
// One direction of the lossy relay: frames enter, meet the fate that the seed has for the frame of
// that number (netmem/nic/impairment.h), and leave when they are due. Only TCP is disturbed, so
// that no run stands still for a lost neighbour request. The same seed gives the n-th TCP frame of
// a direction the same fate, whoever receives. Single thread.

#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "netmem/nic/impairment.h"
#include "netmem/nic/nanos.h"
#include "selftests/lossy/packet_port.h"

namespace devmem::lossy {

struct PathCounts {
  uint64_t frames = 0;      // TCP frames that entered.
  uint64_t syns = 0;        // Of these: those with SYN.
  uint64_t neighbours = 0;  // Frames of ARP and of neighbour discovery; never disturbed.
  uint64_t others = 0;      // All that is neither.
  uint64_t dropped = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
};

// Whether a frame holds TCP, in IPv4 or directly in IPv6.
bool IsTcp(const Frame& frame);
// Whether a frame of TCP opens a connection or answers that.
bool IsSyn(const Frame& frame);
// Whether a frame asks for a neighbour or answers for one: ARP, or RFC 4861 sections 4.3 and 4.4.
bool IsNeighbour(const Frame& frame);

// Flips one to eight neighbouring bits behind the Ethernet header, chosen by `chance`. The Internet
// checksum detects every such damage, so a receiver that looks cannot miss it.
void Corrupt(Frame& frame, uint64_t chance);

class LossyPath {
 public:
  LossyPath(const ImpairmentConfig& config, uint64_t seed, uint64_t stream)
      : impairment_(config, seed, stream) {}

  // `now` never goes back.
  void Enter(Frame frame, Nanos now);

  // The next frame that is due at `now`, or nothing.
  std::optional<Frame> Leave(Nanos now);

  // When the next frame leaves; nothing while the path is empty.
  std::optional<Nanos> next_due() const;

  const PathCounts& counts() const { return counts_; }

 private:
  struct Waiting {
    Nanos due = 0;
    uint64_t order = 0;  // Frames of one due time leave as they entered.
    Frame frame;

    bool operator>(const Waiting& other) const {
      return due != other.due ? due > other.due : order > other.order;
    }
  };

  void Wait(Frame frame, Nanos due) { waiting_.push({due, order_++, std::move(frame)}); }

  Impairment impairment_;
  std::priority_queue<Waiting, std::vector<Waiting>, std::greater<>> waiting_;
  PathCounts counts_;
  uint64_t order_ = 0;
};

}  // namespace devmem::lossy
