// SPDX-License-Identifier: Apache-2.0
//
// Runs the script of a walk: two engines with all that they need, their users, the packets between
// them and one virtual clock. After the script the world turns kind: nothing is lost any more,
// everybody reads and gives back, all close. What was queued must then arrive, and nothing may be
// left. The model looks on; the first thing that it finds wrong ends the walk. One thread.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "selftests/model/walk_model.h"
#include "selftests/model/walk_script.h"

namespace devmem::testing {

// A lie that the world tells on purpose, to see that the model notices. It stands where a bug of
// the engine would show.
enum class WalkMutant : uint8_t {
  kNone,
  kShiftPayload,  // A segment arrives one number further to the right.
  kSwapStreams,   // Payload of another connection.
  kRaiseAck,      // An ACK acknowledges a byte more.
  kLoseAcked,     // The end of what waits to be read is dropped.
  kLoseSacked,    // Out-of-order data is dropped without need.
  kLeakPiece,     // A piece is taken and never given back.
  kMoveEdgeLeft,  // A window is taken back.
  kStopTimer,     // A retransmission timer is forgotten.
  kNoTimers,      // Nothing ever expires.
  kForgedReset,   // A reset that is believed.
  kCount,
};
const char* ToString(WalkMutant mutant);

struct WalkOptions {
  bool audit_always = false;  // Count every net_iov after every operation.
  WalkMutant mutant = WalkMutant::kNone;
  std::string* trace = nullptr;  // What happened, a line for each packet and operation.
};

struct WalkOutcome {
  std::string fault;     // Empty: all is well.
  size_t failed_at = 0;  // The operation; the number of operations: after the script.
  uint64_t steps = 0;    // Operations, and packets delivered.
  uint64_t bytes_read = 0;
  uint64_t hash = 0;  // Of all that was emitted, and when.
};

WalkOutcome RunWalk(const WalkScript& script, const WalkOptions& options = {});

class WalkWorld {
 public:
  WalkWorld(const WalkScript& script, const WalkOptions& options);

  WalkOutcome Run();

 private:
  struct Packet {
    SeenSegment seen;
    uint32_t slot = 0;
    uint32_t stamp = 0;  // Of the stream that its payload is part of.
    Nanos sent_at = 0;
  };
  struct User {
    ConnectionId id;
    bool ended = false;  // He has closed his side.
  };

  // walk_world.cc
  void Do(const WalkOp& op);
  void DoUser(const WalkOp& op);
  void DoMemory(const WalkOp& op);
  void AfterOp(bool audit);
  void Flush(uint32_t side);
  void Tick(Nanos duration);
  void SetNow(Nanos now);
  void Collect();
  void Settle();
  bool RunUntilDone(bool closing);
  void KindTurn(bool closing);
  void Mutate(const WalkOp& op);

  // walk_users.cc
  TcpConnection* Held(uint32_t side, uint32_t slot);
  void Connect(uint32_t side, uint32_t slot);
  void Listen(uint32_t side, uint32_t slot, bool open);
  void Accept(uint32_t side);
  void Send(uint32_t side, uint32_t slot, uint32_t bytes);
  void Read(uint32_t side, uint32_t slot, uint64_t bytes_max);
  void End(uint32_t side, uint32_t slot);
  void Abort(uint32_t side, uint32_t slot);
  void Detach(uint32_t side, uint32_t slot);
  void Unbind(uint32_t side);
  void Icmp(uint32_t side, const WalkOp& op);
  void ForgetOldPackets(uint32_t slot);
  // At the end: whether all has arrived, whether all is closed.
  void ServeUsers();
  bool AllComplete();
  bool AllEnded();

  // walk_packets.cc
  void DoPacket(const WalkOp& op);
  void Deliver(uint32_t side, const Packet& packet, std::optional<uint32_t> memory_bytes,
               bool device, bool marked = false);
  void Burst(uint32_t side, size_t count);
  void Split(uint32_t side, size_t index, uint32_t bytes, bool reversed);
  void Merge(uint32_t side, size_t index, uint32_t bytes_max);
  void DropOld();
  uint32_t StampOfPacket(uint32_t side, const SeenSegment& seen);
  void Note(uint64_t word) { outcome_.hash = (outcome_.hash ^ word) * 0x100000001b3; }
  void Trace(const std::string& line);

  const WalkScript& script_;
  const WalkOptions options_;
  std::array<std::unique_ptr<EngineHarness>, 2> sides_;
  WalkModel model_;
  std::array<std::vector<Packet>, 2> queues_;  // On their way to each side.
  std::array<std::array<User, kWalkSlots>, 2> users_;
  std::array<std::array<ListenerId, 2>, 2> listeners_{};   // For IPv4 and IPv6.
  std::array<std::array<SeqNum, kWalkSlots + 1>, 2> iss_;  // The latest of each slot.
  std::array<std::vector<Piece>, 2> hogged_;
  std::array<std::vector<uint32_t>, 2> hogged_pieces_;
  std::array<bool, 2> flushed_ = {true, true};
  std::array<bool, 2> bound_ = {true, true};
  Nanos now_ = kSecond;
  uint32_t mutations_ = 0;
  WalkOutcome outcome_;
};

}  // namespace devmem::testing
