// SPDX-License-Identifier: Apache-2.0
//
// The naive model that a random walk is compared with: a stream is a count of bytes that were
// queued, and every rule that must hold between two engines is checked from outside, after each
// operation and on each segment when it is emitted. Knows nothing of how the engine works inside;
// looks at its books and at the wire. One thread.
//
// What is checked, by the word that a fault begins with:
//   stream    what is read is what was sent, and ends where it ended; bytes on the wire are those
//             of their sequence number
//   lost      every byte below rcv_nxt was read or can be; nothing is acknowledged that the peer
//             does not have
//   edge      rcv_nxt, snd_una and the right edge never move left, nor does what is announced of
//             it; no more is announced than is promised
//   sack      a SACK names what is held, and what was named stays held but for starvation
//   timer     whoever waits has a timer, and the wheel knows of it; no acknowledgment is forgotten
//   reset     no connection ends early without a cause
//   account   pools, promises, pieces

#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "selftests/testing/engine_harness.h"

namespace devmem::testing {

// The 4-tuple of a slot as `side` sees it; which slot a 4-tuple is.
FlowKey WalkFlow(uint32_t side, uint32_t slot);
uint32_t WalkSlotOf(uint32_t side, const FlowKey& flow);

// Names the stream that `side` sends in one incarnation of a slot.
uint32_t StampOf(uint32_t side, uint32_t slot, SeqNum iss);
uint8_t WalkByte(uint32_t stamp, uint64_t offset);

class WalkModel {
 public:
  explicit WalkModel(std::array<EngineHarness*, 2> sides) : sides_(sides) {}

  // --- What users and the world do ---
  void OnQueued(uint32_t side, const TcpConnection& connection, size_t bytes);
  void OnEnded(uint32_t side, const TcpConnection& connection);
  void OnRead(uint32_t side, const TcpConnection& connection, uint64_t bytes);
  // What was received and not read is gone, by the user's wish or with the binding.
  void OnCleared(uint32_t side, const TcpConnection& connection);
  // From now on a reset of this slot has a cause.
  void Excuse(uint32_t slot) { excused_[slot] = true; }
  void ExcuseAll() { excused_.fill(true); }
  void OnDelivered(uint32_t side, const FlowKey& flow, Nanos now);
  // Out-of-order data may be given up during this operation.
  void set_starving(uint32_t side, bool starving) { starving_[side] = starving; }

  // --- When it looks ---
  void set_now(Nanos now) { now_ = now; }
  void OnEmit(uint32_t side, const OutSegment& segment);
  // `flushed`: nothing waits for the end of a batch. `audit`: count every net_iov.
  void Check(Nanos now, std::array<bool, 2> flushed, bool audit);

  uint64_t Queued(uint32_t side, const TcpConnection& connection) {
    return StreamOf(side, connection).queued;
  }
  // The stamp of what the other side sends to this connection.
  uint32_t PeerStamp(uint32_t side, const TcpConnection& connection) const;
  SeqNum* ReadNext(uint32_t side, const TcpConnection& connection);
  // Whether all that the peer has queued was read here; true when there is no peer any more.
  bool Complete(uint32_t side, const TcpConnection& connection) const;
  bool HasPeer(uint32_t side, const TcpConnection& connection) const {
    const TcpConnection* peer = PeerOf(side, connection);
    return peer != nullptr && peer->state != TcpState::kClosed;
  }
  // Changes whenever anything moves.
  uint64_t progress() const { return progress_; }

  bool ok() const { return fault_.empty(); }
  const std::string& fault() const { return fault_; }
  void Fail(const std::string& what) {
    if (fault_.empty()) fault_ = what;
  }

 private:
  struct Stream {
    uint64_t queued = 0;
    bool ended = false;
  };
  // What was last seen of one connection.
  struct Watch {
    uint32_t generation = 0;
    bool started = false;  // The peer's initial number is known.
    bool cleared = false;
    bool told = false;  // A window was announced.
    uint32_t slot = 0;
    TcpState state = TcpState::kClosed;
    SeqNum irs;
    SeqNum rcv_nxt;
    SeqNum right_edge;
    SeqNum snd_una;
    SeqNum read_nxt;
    SeqNum told_edge;  // The farthest.
    uint64_t read = 0;
    Nanos quiet_since = 0;  // Nothing was acknowledged since.
    Nanos heard_at = 0;
    std::vector<SeqRange> sacked;
  };

  Watch& WatchOf(uint32_t side, const TcpConnection& connection);
  const Watch* FindWatch(uint32_t side, const TcpConnection& connection) const;
  const TcpConnection* Live(uint32_t side, const FlowKey& flow) const;
  // The other end of this very connection, if it is still there.
  const TcpConnection* PeerOf(uint32_t side, const TcpConnection& connection) const;
  Stream& StreamOf(uint32_t side, const TcpConnection& connection);

  void EmitPayload(uint32_t side, const TcpConnection& connection, const OutSegment& segment);
  void EmitWindow(uint32_t side, const TcpConnection& connection, const OutSegment& segment);
  void EmitSacks(uint32_t side, const TcpConnection& connection, const OutSegment& segment);
  void EmitReset(uint32_t side, const OutSegment& segment);

  void CheckConnection(uint32_t side, const TcpConnection& connection, bool flushed);
  void CheckStream(uint32_t side, const TcpConnection& connection, const Watch& watch);
  void CheckEdges(const TcpConnection& connection, Watch& watch);
  void CheckSacked(uint32_t side, const TcpConnection& connection, Watch& watch);
  void CheckTimers(uint32_t side, const TcpConnection& connection);
  void CheckEnd(const TcpConnection& connection, const Watch& watch);
  static bool Holds(const TcpEngine& engine, const TcpConnection& connection, SeqRange range);

  const std::array<EngineHarness*, 2> sides_;
  std::array<std::map<uint32_t, Watch>, 2> watches_;  // By slot index of the engine.
  std::map<uint32_t, Stream> streams_;                // By stamp.
  std::array<bool, 8> excused_{};
  std::array<bool, 2> starving_{};
  std::array<uint64_t, 2> given_up_{};
  Nanos now_ = 0;
  uint64_t progress_ = 0;
  std::string fault_;
};

}  // namespace devmem::testing
