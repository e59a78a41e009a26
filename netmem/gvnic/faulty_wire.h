// SPDX-License-Identifier: Apache-2.0
//
// A cable with faults, in one direction, in front of another port: frames are lost, doubled,
// overtaken, damaged and delayed as netmem/nic's Impairment decides from a seed. Super-frames are
// cut first, and receivers verify every checksum. The event loop moves its clock, on one thread.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "netmem/gvnic/port.h"
#include "netmem/nic/impairment.h"
#include "netmem/nic/nanos.h"

namespace devmem {

// sent + duplicated = lost + dropped + delivered + on the way.
struct FaultyWireStats {
  uint64_t sent = 0;  // Frames.
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
  uint64_t delivered = 0;
  uint64_t dropped = 0;  // Too much was on the way, or a super-frame could not be cut.
};

class FaultyWire final : public Port {
 public:
  // `config` has passed Impairment::Check(); `next` outlives this object. Different streams of one
  // seed are independent: give each direction its own.
  FaultyWire(const ImpairmentConfig& config, uint64_t seed, uint64_t stream, Port& next)
      : impairment_(config, seed, stream), next_(next) {}

  // Puts a packet on the wire at the time of the last Advance().
  void Transmit(Packet packet) override;

  // Moves the clock and delivers, in order, every frame that is due by then. A time before the
  // last one changes nothing.
  void Advance(Nanos now);
  // When the next frame is due, which may be now; nothing while the wire is empty.
  std::optional<Nanos> NextDue() const;

  const FaultyWireStats& stats() const { return stats_; }

 private:
  struct Flying {
    Nanos due = 0;
    uint64_t number = 0;  // Due at the same time, the one sent first arrives first.
    Packet packet = {};

    // Orders a heap whose front is the earliest.
    friend bool operator<(const Flying& x, const Flying& y) {
      return x.due != y.due ? x.due > y.due : x.number > y.number;
    }
  };

  void Send(Packet frame);
  void Launch(Packet frame, Nanos due);

  Impairment impairment_;
  Port& next_;
  std::vector<Flying> flying_;  // A heap.
  uint64_t flying_bytes_ = 0;
  uint64_t next_number_ = 0;
  Nanos now_ = 0;
  FaultyWireStats stats_;
};

}  // namespace devmem
