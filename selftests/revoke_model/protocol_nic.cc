// SPDX-License-Identifier: Apache-2.0
// See protocol.h: a NIC's thread, step by step as in the picture of provider/dma_mapping.h. Where a
// host engine copies, the same steps are those of HostDmaEngine::CopyOne().
#include "selftests/revoke_model/protocol.h"

namespace devmem::revoke_model {

void Protocol::ExpandNic(const State& state, uint8_t who, Steps& out) const {
  const Nic& nic = state.nic[who];
  for (uint8_t half = 0; half < kHalves; ++half) {
    if (nic.buffer[half] == Place::kNowhere) continue;
    ArriveHalf(out.Add(state, ActionKind::kArrive, who, half), who, half, environment_.flaw);
  }
  switch (nic.step) {
    case NicStep::kIdle: return ExpandIdleNic(state, who, out);
    case NicStep::kReadGeneration:
      return ReadGeneration(out.Add(state, ActionKind::kReadGeneration, who), who);
    case NicStep::kAskPlace: return AskPlace(out.Add(state, ActionKind::kAskPlace, who), who);
    case NicStep::kBringBack:
      // The exporter's lock is taken while somebody else moves.
      if (state.mover.step != MoveStep::kIdle && !Revoking(state.mapping[who])) return;
      return BringBack(out.Add(state, ActionKind::kBringBack, who), who);
    case NicStep::kAwaitPlace: return;
    case NicStep::kReread: {
      State& next = out.Add(state, ActionKind::kReread, who);
      next.nic[who].step = nic.changed != 0 ? NicStep::kReadGeneration : NicStep::kWriteFirst;
      return;
    }
    case NicStep::kWriteFirst:
    case NicStep::kWriteSecond:
    case NicStep::kAskLanded: return ExpandWriting(state, who, out);
    case NicStep::kWriteStaging:
    case NicStep::kSubmit: return ExpandStaging(state, who, out);
  }
}

bool Protocol::MayPost(const State& state, uint8_t who, uint8_t chunk) const {
  uint8_t staged = 0;
  for (const Job& job : state.job) {
    if (job.step != JobStep::kNone) ++staged;
  }
  return state.owner[who].bound == Bound::kYes && state.owner[who].receiving == 0 &&
         state.owner[who].frames_left > staged && state.refs[chunk] == 0 &&
         Has(ChunksOf(environment_, who), chunk) && state.phase == Phase::kLive &&
         !Revoking(state.mapping[who]) && !StoresOnTheirWay(state.nic[who]);
}

// A turn begins: Poll() with a window over a free chunk.
void Protocol::ExpandIdleNic(const State& state, uint8_t who, Steps& out) const {
  if (state.owner[who].bound != Bound::kYes) return;
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    const bool staged = environment_.engine != Engine::kNone;
    if (!MayPost(state, who, chunk) || (staged && FreeSlot(state) == kNobody)) continue;
    State& next = out.Add(state, ActionKind::kPost, who, chunk);
    next.refs[chunk] = 1;
    next.right[chunk] = 0;
    next.nic[who].chunk = chunk;
    if (staged) {
      next.nic[who].slot = FreeSlot(state);
      next.nic[who].step = NicStep::kWriteStaging;
    } else {
      next.nic[who].step =
          flawed(Flaw::kPlaceAskedFirst) ? NicStep::kAskPlace : NicStep::kReadGeneration;
    }
  }
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) ExpandJob(state, who, chunk, out);
}

// The frame is not taken: dropped unacknowledged, or never looked at.
void Protocol::GiveUp(State& next, uint8_t who) const {
  Nic& nic = next.nic[who];
  if (environment_.engine == Engine::kNone) Put(next, nic.chunk);
  // The buffer belongs to the processor: what is in it arrives, whoever wants it.
  const Nic rest = nic;
  nic = Nic{};
  nic.buffer = rest.buffer;
  if (StoresOnTheirWay(nic)) nic.chunk = rest.chunk;
}

void Protocol::ReadGeneration(State& next, uint8_t who) const {
  Nic& nic = next.nic[who];
  const Mapping& mapping = next.mapping[who];
  // revoked(): nothing more is posted.
  if (Revoking(mapping)) return GiveUp(next, who);
  nic.before_even = mapping.generation == Generation::kEven ? 1 : 0;
  nic.changed = 0;
  nic.early = 0;
  nic.step = flawed(Flaw::kPlaceAskedFirst) ? NicStep::kWriteFirst : NicStep::kAskPlace;
}

// moving(), for which a NIC waits and an engine does not, and Resident().
void Protocol::AskPlace(State& next, uint8_t who) const {
  Nic& nic = next.nic[who];
  const Mapping& mapping = next.mapping[who];
  const bool engine = environment_.engine != Engine::kNone;
  if (Revoking(mapping)) return GiveUp(next, who);
  // The frame is left where it waits.
  if (mapping.generation == Generation::kOdd && !engine) return GiveUp(next, who);
  nic.step = Has(mapping.away, nic.chunk) ? NicStep::kBringBack : AfterPlace();
}

// A NIC reads the generation again; an engine finds out afterwards, and tries again.
NicStep Protocol::AfterPlace() const {
  if (flawed(Flaw::kPlaceAskedFirst)) return NicStep::kReadGeneration;
  return environment_.engine == Engine::kNone ? NicStep::kReread : NicStep::kWriteFirst;
}

// FaultIn() has the exporter's lock, and looks again whether there is something to do.
void Protocol::BringBack(State& next, uint8_t who) const {
  Nic& nic = next.nic[who];
  if (Revoking(next.mapping[who]) || next.phase == Phase::kRevoked || next.exporter_dead != 0) {
    return GiveUp(next, who);
  }
  if (Has(next.resident, nic.chunk)) {
    nic.step = AfterPlace();
    return;
  }
  nic.step = NicStep::kAwaitPlace;
  StartMove(next, MoveKind::kFaultIn, static_cast<uint8_t>(1u << nic.chunk), who);
}

void Protocol::ExpandWriting(const State& state, uint8_t who, Steps& out) const {
  const Nic& nic = state.nic[who];
  if (nic.step == NicStep::kAskLanded) {
    return AskLanded(out.Add(state, ActionKind::kAskLanded, who), who);
  }
  const uint8_t half = nic.step == NicStep::kWriteFirst ? 0 : 1;
  Write(out.Add(state, ActionKind::kWrite, who, half), who, half);
  if (!weak() || nic.early != 0) return;
  State& next = out.Add(state, ActionKind::kLoadEarly, who);
  next.nic[who].early = nic.changed != 0 ? 2 : 1;
}

// The processor looks up where the pages lie, now; the store arrives now or later.
void Protocol::Write(State& next, uint8_t who, uint8_t half) const {
  Nic& nic = next.nic[who];
  const Place place = next.mapping[who].maps[nic.chunk];
  nic.step = half == 0 ? NicStep::kWriteSecond : NicStep::kAskLanded;
  if (weak() && place != Place::kScratch) {
    nic.buffer[half] = place;
  } else {
    Land(next, nic.chunk, half, place, true, environment_.flaw);
  }
}

void Protocol::AskLanded(State& next, uint8_t who) const {
  Nic& nic = next.nic[who];
  const uint8_t chunk = nic.chunk;
  const bool same = nic.early != 0 ? nic.early == 1 : nic.changed == 0;
  const bool landed = (nic.before_even != 0 && same) || flawed(Flaw::kLandedNotAsked);
  const bool engine = environment_.engine != Engine::kNone;
  if (!landed) return GiveUp(next, who);
  const std::array<Place, kHalves> buffer = nic.buffer;
  nic = Nic{};
  nic.buffer = buffer;
  if (StoresOnTheirWay(nic)) nic.chunk = chunk;
  if (engine) {
    next.job[chunk].step = JobStep::kDone;
    return;
  }
  // The pieces go to TCP with the reference that the window had.
  SetBit(next.queued, chunk, true);
  --next.owner[who].frames_left;
}

}  // namespace devmem::revoke_model
