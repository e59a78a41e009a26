// SPDX-License-Identifier: Apache-2.0
// See protocol.h: the start, what must always hold, and what the parts share.
#include "selftests/revoke_model/protocol.h"

namespace devmem::revoke_model {
namespace {

// Everybody who has a chunk, each once.
uint8_t CountHolders(const State& state, uint8_t chunk) {
  uint32_t holders = Has(state.queued, chunk) ? 1 : 0;
  const Job& job = state.job[chunk];
  // A copy that is made by its owner's thread is one holder, not two; an orphan holds nothing.
  if (job.step != JobStep::kNone && job.orphan == 0) ++holders;
  for (uint8_t who = 0; who < kOwners; ++who) {
    const Nic& nic = state.nic[who];
    const bool copies = job.step != JobStep::kNone && job.orphan == 0 && job.owner == who;
    if (nic.step != NicStep::kIdle && nic.chunk == chunk && !copies) ++holders;
    const Tokens& tokens = state.tokens[who];
    for (uint8_t slot = 0; slot < kSlots; ++slot) {
      if (tokens.serial[slot] != 0 && tokens.chunk[slot] == chunk) ++holders;
    }
  }
  return static_cast<uint8_t>(holders);
}

// Whether both halves lie where the chunk lies, or are on their way there.
bool HoldsItsBytes(const State& state, uint8_t chunk) {
  const Place place = state.lies_at[chunk];
  for (uint8_t half = 0; half < kHalves; ++half) {
    const uint8_t bit = static_cast<uint8_t>(2 * static_cast<uint8_t>(place) + half);
    bool there = Has(state.right[chunk], bit);
    for (const Nic& nic : state.nic) {
      there |= nic.chunk == chunk && nic.buffer[half] == place;
    }
    if (!there) return false;
  }
  return true;
}

}  // namespace

const char* Words(Fault fault) {
  switch (fault) {
    case Fault::kNone: return nullptr;
    case Fault::kWriteToGivenBack: return "P1: a write reached memory that was given back";
    case Fault::kWriteToWithdrawn: return "P1: a write reached a place that was withdrawn";
    case Fault::kWriteUnderReader: return "P1: a write reached bytes that a device still reads";
    case Fault::kWriteToAnothersChunk:
      return "P1: a write reached a chunk that is not the writer's any more";
    case Fault::kWrongBytes: return "P2: a frag does not hold the bytes of its stream";
    case Fault::kFreedByStaleToken: return "P3: a token that had ended freed another frag";
    case Fault::kFreedByForeignToken: return "P3: a token of somebody else freed a frag";
    case Fault::kBooksDiffer: return "P4: a chunk's references are not those of its holders";
    case Fault::kPutTwice: return "P4: a chunk without references was put back";
    case Fault::kUntold: return "P5: memory was given back, and its holders were not told";
    case Fault::kPutBackOfNothing:
      return "the program stops: a range is put back that was not withdrawn";
  }
  return "";
}

bool IsGiven(const State& state, uint8_t chunk) {
  if (Has(state.queued, chunk)) return true;
  for (const Tokens& tokens : state.tokens) {
    for (uint8_t slot = 0; slot < kSlots; ++slot) {
      if (tokens.serial[slot] != 0 && tokens.chunk[slot] == chunk) return true;
    }
  }
  return false;
}

uint8_t ChunksOf(const Environment& environment, uint8_t who) {
  return environment.split ? static_cast<uint8_t>(1u << who) : uint8_t{0b11};
}

bool IsWithdrawn(const State& state, uint8_t chunk, Flaw flaw) {
  if (flaw == Flaw::kCopyBeforeWithdraw || flaw == Flaw::kCopyAfterFirstWithdraw) return false;
  return state.mover.step == MoveStep::kCopy && Has(state.mover.chunks, chunk);
}

void Land(State& next, uint8_t chunk, uint8_t half, Place place, bool right, Flaw flaw) {
  if (place == Place::kScratch || place == Place::kNowhere) return;
  if (next.given_back != 0) SetFault(next, Fault::kWriteToGivenBack);
  if (IsWithdrawn(next, chunk, flaw)) SetFault(next, Fault::kWriteToWithdrawn);
  if (place != next.lies_at[chunk] && flaw != Flaw::kOwnerLooksLast) {
    SetFault(next, Fault::kWriteToGivenBack);
  }
  if (Has(next.reading, chunk)) SetFault(next, Fault::kWriteUnderReader);
  const uint8_t bit = static_cast<uint8_t>(2 * static_cast<uint8_t>(place) + half);
  SetBit(next.right[chunk], bit, right);
}

void ArriveHalf(State& next, uint8_t who, uint8_t half, Flaw flaw) {
  Nic& nic = next.nic[who];
  const Place place = nic.buffer[half];
  nic.buffer[half] = Place::kNowhere;
  Land(next, nic.chunk, half, place, true, flaw);
}

void Arrive(State& next, uint8_t who, Flaw flaw) {
  for (uint8_t half = 0; half < kHalves; ++half) {
    if (next.nic[who].buffer[half] != Place::kNowhere) ArriveHalf(next, who, half, flaw);
  }
}

bool StoresOnTheirWay(const Nic& nic) {
  return nic.buffer[0] != Place::kNowhere || nic.buffer[1] != Place::kNowhere;
}

void Put(State& next, uint8_t chunk) {
  if (next.refs[chunk] == 0) return SetFault(next, Fault::kPutTwice);
  --next.refs[chunk];
}

void StoreGeneration(State& next, uint8_t who, Generation generation) {
  next.mapping[who].generation = generation;
  const NicStep step = next.nic[who].step;
  if (step != NicStep::kIdle) next.nic[who].changed = 1;
}

State Protocol::Start() const {
  State state;
  state.moves_left = environment_.moves;
  state.evictions_left = environment_.evictions;
  state.binds_left = environment_.binds;
  state.crashes_left = environment_.crashes;
  state.fences_left = environment_.fences;
  for (uint8_t who = 0; who < environment_.owners; ++who) {
    state.owner[who].frames_left = environment_.frames;
    // Where both want the same chunks, the second is bound when the first has gone.
    if (who > 0 && !environment_.split) continue;
    MapNow(state, who);
    Join(state, who);
  }
  return state;
}

void Protocol::Expand(const State& state, std::vector<Step>& steps) const {
  steps.clear();
  if (state.fault != Fault::kNone) return;
  Steps out(steps);
  for (uint8_t who = 0; who < environment_.owners; ++who) {
    ExpandNic(state, who, out);
    ExpandOwner(state, who, out);
  }
  if (environment_.engine == Engine::kDevice) ExpandCopies(state, out);
  ExpandExporter(state, out);
}

const char* Protocol::FaultOf(const State& state) const {
  if (state.fault != Fault::kNone) return Words(state.fault);
  const bool out = state.refs[0] != 0 || state.refs[1] != 0;
  if (state.given_back != 0 && state.phase != Phase::kRevoked && out) return Words(Fault::kUntold);
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    if (state.refs[chunk] != CountHolders(state, chunk)) return Words(Fault::kBooksDiffer);
    if (IsGiven(state, chunk) && state.given_back == 0 && !HoldsItsBytes(state, chunk)) {
      return Words(Fault::kWrongBytes);
    }
  }
  return nullptr;
}

bool Protocol::IsGoal(const State& state) const {
  if (state.fault != Fault::kNone || state.refs[0] != 0 || state.refs[1] != 0) return false;
  for (uint8_t who = 0; who < kOwners; ++who) {
    const Nic& nic = state.nic[who];
    if (nic.step != NicStep::kIdle || StoresOnTheirWay(nic)) return false;
    if (state.owner[who].receiving != 0 || state.owner[who].bound == Bound::kMapped) return false;
  }
  for (const Job& job : state.job) {
    if (job.step != JobStep::kNone) return false;
  }
  const RevokeStep revoke = state.revoker.step;
  const bool exporter_rests = state.mover.step == MoveStep::kIdle &&
                              (revoke == RevokeStep::kIdle || revoke == RevokeStep::kDone);
  return state.reading == 0 && (exporter_rests || state.exporter_dead != 0);
}

bool Protocol::IsKind(const State& state, const Action& action) const {
  switch (action.kind) {
    case ActionKind::kUnbind: return state.phase != Phase::kLive || state.exporter_dead != 0;
    case ActionKind::kPost:
    case ActionKind::kCrash:
    case ActionKind::kExporterDies:
    case ActionKind::kDeadline:
    case ActionKind::kStartMove:
    case ActionKind::kStartEvict:
    case ActionKind::kStartRevoke:
    case ActionKind::kBeginRemoval:
    case ActionKind::kBind:
    case ActionKind::kMapForBind:
    case ActionKind::kReleaseFenced:
    case ActionKind::kPresent: return false;
    default: return true;
  }
}

}  // namespace devmem::revoke_model
