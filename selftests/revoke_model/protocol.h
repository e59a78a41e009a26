// SPDX-License-Identifier: Apache-2.0
// Protocol: the steps of everybody who takes part in revoke, moves, staging and tokens, for the
// explorer (explorer.h) and for the driver that replays them on the real classes. One action is
// one step of one thread. Nothing here is clever: each step is one line of the code that it stands
// for. Documentation/memory.md, "Model check".
//
// What is taken for granted, because others promise it:
//   1. membarrier(2): every store that a running thread made before is in memory, and no load that
//      comes later in its program was made before.
//   2. mmap(MAP_FIXED) returns when no processor writes through the old translation any more.
//      Stores that were made by it have arrived.
//   3. Who reads a generation with acquire order makes no later access before.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "selftests/revoke_model/protocol_state.h"

namespace devmem::revoke_model {

enum class ActionKind : uint8_t {
  // A NIC's thread. `who` is its owner.
  kPost,  // `what`: the chunk
  kReadGeneration,
  kAskPlace,
  kBringBack,
  kReread,
  kWrite,      // `what`: the half
  kLoadEarly,  // The processor does
  kArrive,     // `what`: the half whose store leaves the buffer
  kAskLanded,
  kWriteStaging,
  kSubmit,
  kTryCopy,   // HostDmaEngine. `what`: the chunk
  kComplete,  // `what`: the chunk
  kDropLost,  // `what`: the chunk, whose copy will never be made
  // A device that copies. `who` is the chunk.
  kStartCopy,
  kCopyHalf,  // `what`: the half
  // An owner's thread between two turns of the NIC.
  kAskPhase,
  kHandOut,        // `what`: the chunk
  kRelease,        // `what`: the slot
  kReleaseFenced,  // `what`: the slot
  kDeviceDone,     // `what`: the chunk
  kAskFence,       // `what`: the slot
  kPresent,        // `what`: lane * kSerialsEnd + serial of no frag that `who` holds
  kEndTokens,      // A call that finds the region revoked
  kUnbind,
  kBind,
  kMapForBind,  // The flaw kJoinUnguarded: Bind in two steps
  kJoin,
  kCrash,
  // The exporter.
  kStartMove,
  kStartEvict,  // `what`: the chunk
  kMover,       // The next step of a move; `what`: the MoveStep, `who`: whose turn it is
  kStartRevoke,
  kBeginRemoval,
  kDeadline,
  kRevoker,  // The next step of a revoke or removal; `what`: the RevokeStep
  kExporterDies,
};

struct Action {
  ActionKind kind = ActionKind::kPost;
  uint8_t who = 0;
  uint8_t what = 0;

  friend bool operator==(const Action&, const Action&) = default;
};

struct Step {
  Action action;
  State next;
};

// nullptr where nothing is wrong.
const char* Words(Fault fault);

class Protocol {
 public:
  using State = revoke_model::State;
  using Action = revoke_model::Action;
  using Step = revoke_model::Step;

  explicit Protocol(const Environment& environment) : environment_(environment) {}

  const Environment& environment() const { return environment_; }

  // Everybody is bound, nothing was posted.
  State Start() const;

  // Every step that somebody can take. Replaces `steps`.
  void Expand(const State& state, std::vector<Step>& steps) const;

  // What is wrong with a state, in words; nullptr when nothing is.
  const char* FaultOf(const State& state) const;

  // Everything has come to rest: no thread is in the middle of something, no chunk is out.
  bool IsGoal(const State& state) const;
  // Whether a step needs nobody's illness: no crash, no deadline, no new wish of the exporter, and
  // no unbinding of a region that is well.
  bool IsKind(const State& state, const Action& action) const;

  // "NIC of owner 0 writes the first half of chunk 1 to place A". `state` is that before the step.
  std::string Describe(const State& state, const Action& action) const;

 private:
  class Steps;

  bool weak() const { return environment_.weak_memory; }
  bool flawed(Flaw flaw) const { return environment_.flaw == flaw; }

  // protocol_nic.cc
  void ExpandNic(const State& state, uint8_t who, Steps& out) const;
  void ExpandIdleNic(const State& state, uint8_t who, Steps& out) const;
  void ExpandWriting(const State& state, uint8_t who, Steps& out) const;
  bool MayPost(const State& state, uint8_t who, uint8_t chunk) const;
  void ReadGeneration(State& next, uint8_t who) const;
  void AskPlace(State& next, uint8_t who) const;
  NicStep AfterPlace() const;
  void BringBack(State& next, uint8_t who) const;
  void Write(State& next, uint8_t who, uint8_t half) const;
  void AskLanded(State& next, uint8_t who) const;
  void GiveUp(State& next, uint8_t who) const;

  // protocol_engine.cc
  void ExpandStaging(const State& state, uint8_t who, Steps& out) const;
  void ExpandCopies(const State& state, Steps& out) const;
  void ExpandJob(const State& state, uint8_t who, uint8_t chunk, Steps& out) const;
  void CopyHalf(State& next, uint8_t chunk, uint8_t half) const;
  uint8_t FreeSlot(const State& state) const;

  // protocol_owner.cc
  void ExpandOwner(const State& state, uint8_t who, Steps& out) const;
  void ExpandTokens(const State& state, uint8_t who, Steps& out) const;
  void ExpandStrangeTokens(const State& state, uint8_t who, Steps& out) const;
  void ExpandBinding(const State& state, uint8_t who, Steps& out) const;
  void Insert(State& next, uint8_t who, uint8_t chunk) const;
  void EndToken(State& next, uint8_t who, uint8_t slot) const;
  // The slot that a token names, or kNobody.
  uint8_t FindToken(const State& state, uint8_t who, uint8_t lane, uint8_t serial) const;
  bool MayUnbind(const State& state, uint8_t who) const;
  void Leave(State& next, uint8_t who) const;
  void MapNow(State& next, uint8_t who) const;
  void Join(State& next, uint8_t who) const;

  // protocol_exporter.cc
  void ExpandExporter(const State& state, Steps& out) const;
  void StartMove(State& next, MoveKind kind, uint8_t chunks, uint8_t for_whom) const;
  void StepMover(State& next) const;
  void Withdraw(State& next) const;
  void Copy(State& next) const;
  void PutBack(State& next) const;
  void LookAtNewPlace(State& next) const;
  void FinishMove(State& next) const;
  void ExpandRevoker(const State& state, Steps& out) const;
  void StepRevoker(State& next) const;
  void TakeAway(State& next) const;
  void NextToTakeAway(State& next) const;
  bool CopiesOnTheirWay(const State& state, uint8_t who) const;

  const Environment environment_;
};

// --- What the parts share ---

class Protocol::Steps {
 public:
  explicit Steps(std::vector<Step>& steps) : steps_(steps) {}

  // A step, to be filled with what it changes. Valid until the next call.
  State& Add(const State& state, ActionKind kind, uint8_t who = 0, uint8_t what = 0) {
    steps_.push_back({{kind, who, what}, state});
    return steps_.back().next;
  }

 private:
  std::vector<Step>& steps_;
};

inline bool Has(uint8_t bits, uint8_t n) { return (bits >> n & 1) != 0; }
inline void SetBit(uint8_t& bits, uint8_t n, bool on) {
  const uint32_t bit = 1u << n;
  bits = static_cast<uint8_t>(on ? bits | bit : bits & ~bit);
}
inline Place Other(Place place) { return place == Place::kA ? Place::kB : Place::kA; }
inline bool Revoking(const Mapping& mapping) {
  return mapping.generation == Generation::kRevoking || mapping.generation == Generation::kRevoked;
}
inline void SetFault(State& next, Fault fault) {
  if (next.fault == Fault::kNone) next.fault = fault;
}

// Whether a chunk's place was taken from every NIC, and its bytes are to be copied.
bool IsWithdrawn(const State& state, uint8_t chunk, Flaw flaw);
// A store reaches memory. `right`: it is of the frame that the chunk is to hold.
void Land(State& next, uint8_t chunk, uint8_t half, Place place, bool right, Flaw flaw);
// The stores of a NIC that are still on their way reach memory.
void Arrive(State& next, uint8_t who, Flaw flaw);
void ArriveHalf(State& next, uint8_t who, uint8_t half, Flaw flaw);
// The page pool's: a reference less.
void Put(State& next, uint8_t chunk);
// A copy is over, and its slot free.
void EndJob(State& next, uint8_t chunk);
// Stores a generation, which everybody who read the former one can see.
void StoreGeneration(State& next, uint8_t who, Generation generation);
// Whether TCP or a user has the chunk.
bool IsGiven(const State& state, uint8_t chunk);
bool StoresOnTheirWay(const Nic& nic);
// The chunks of an owner's binding, a bit each.
uint8_t ChunksOf(const Environment& environment, uint8_t who);

}  // namespace devmem::revoke_model
