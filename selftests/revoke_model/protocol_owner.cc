// SPDX-License-Identifier: Apache-2.0
// See protocol.h: an owner's calls, which run on the thread of its NIC between two turns; tokens,
// honest and other; binding, unbinding and dying.
#include "selftests/revoke_model/protocol.h"

namespace devmem::revoke_model {

void Protocol::ExpandOwner(const State& state, uint8_t who, Steps& out) const {
  const uint8_t mine = ChunksOf(environment_, who);
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    // Whose device it was is the same to everybody.
    if (!Has(state.reading & mine, chunk) || (who > 0 && !environment_.split)) continue;
    SetBit(out.Add(state, ActionKind::kDeviceDone, who, chunk).reading, chunk, false);
  }
  ExpandBinding(state, who, out);
  if (state.nic[who].step != NicStep::kIdle || state.owner[who].bound != Bound::kYes) return;
  const bool some = (state.queued & mine) != 0;
  if (state.owner[who].receiving != 0) {
    for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
      if (!Has(state.queued & mine, chunk)) continue;
      State& next = out.Add(state, ActionKind::kHandOut, who, chunk);
      next.owner[who].receiving = 0;
      SetBit(next.queued, chunk, false);
      Insert(next, who, chunk);
    }
    return;
  }
  if (some && state.phase != Phase::kRevoked) {
    out.Add(state, ActionKind::kAskPhase, who).owner[who].receiving = 1;
  }
  ExpandTokens(state, who, out);
  ExpandStrangeTokens(state, who, out);
}

void Protocol::ExpandTokens(const State& state, uint8_t who, Steps& out) const {
  const Tokens& tokens = state.tokens[who];
  const uint8_t mine = ChunksOf(environment_, who);
  const bool holds = tokens.serial[0] != 0 || tokens.serial[1] != 0;
  if (state.phase == Phase::kRevoked) {
    if (!holds && (state.queued & mine) == 0) return;
    State& next = out.Add(state, ActionKind::kEndTokens, who);
    for (uint8_t slot = 0; slot < kSlots; ++slot) EndToken(next, who, slot);
    for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
      if (Has(state.queued & mine, chunk)) Put(next, chunk);
    }
    next.queued = static_cast<uint8_t>(next.queued & ~mine);
    return;
  }
  for (uint8_t slot = 0; slot < kSlots; ++slot) {
    const uint8_t chunk = tokens.chunk[slot];
    if (tokens.serial[slot] == 0) continue;
    if (Has(tokens.fenced, slot)) {
      if (Has(state.reading, chunk)) continue;
      EndToken(out.Add(state, ActionKind::kAskFence, who, slot), who, slot);
      continue;
    }
    EndToken(out.Add(state, ActionKind::kRelease, who, slot), who, slot);
    if (state.fences_left == 0) continue;
    State& next = out.Add(state, ActionKind::kReleaseFenced, who, slot);
    --next.fences_left;
    SetBit(next.reading, chunk, true);
    SetBit(next.tokens[who].fenced, slot, true);
    if (flawed(Flaw::kFenceIgnored)) EndToken(next, who, slot);
  }
}

// Tokens that name nothing that `who` holds under them: ended ones, those of others, made up ones.
void Protocol::ExpandStrangeTokens(const State& state, uint8_t who, Steps& out) const {
  if (state.phase == Phase::kRevoked) return;
  const Tokens& mine = state.tokens[who];
  const Tokens& other = state.tokens[1 - who];
  for (uint8_t lane = 1; lane < kLanes; ++lane) {
    for (uint8_t serial = 1; serial < kSerialsEnd; ++serial) {
      const auto names = [&](const Tokens& tokens) {
        const bool held = tokens.serial[0] == serial || tokens.serial[1] == serial;
        return held && tokens.lane == lane;
      };
      const bool stale = Has(state.ended[lane], serial);
      if (names(mine) && !stale && !names(other)) continue;
      const uint8_t slot = FindToken(state, who, lane, serial);
      if (slot == kNobody && !environment_.refusals) continue;
      const uint8_t token = static_cast<uint8_t>(lane * kSerialsEnd + serial);
      State& next = out.Add(state, ActionKind::kPresent, who, token);
      if (slot == kNobody) continue;
      SetFault(next, stale ? Fault::kFreedByStaleToken : Fault::kFreedByForeignToken);
    }
  }
}

// TokenTable::Find().
uint8_t Protocol::FindToken(const State& state, uint8_t who, uint8_t lane, uint8_t serial) const {
  const Tokens& tokens = state.tokens[who];
  const bool lowest = flawed(Flaw::kLowestFreeToken);
  const uint8_t slot = static_cast<uint8_t>((lowest ? serial - 1u : serial) % kSlots);
  return tokens.serial[slot] == serial && tokens.lane == lane ? slot : kNobody;
}

// TokenTable::Insert().
void Protocol::Insert(State& next, uint8_t who, uint8_t chunk) const {
  Tokens& tokens = next.tokens[who];
  if (flawed(Flaw::kLowestFreeToken)) {
    const uint8_t slot = tokens.serial[0] == 0 ? 0 : 1;
    tokens.serial[slot] = static_cast<uint8_t>(slot + 1);
    tokens.chunk[slot] = chunk;
    return;
  }
  while (tokens.serial[tokens.next % kSlots] != 0) ++tokens.next;
  const uint8_t slot = tokens.next % kSlots;
  tokens.serial[slot] = tokens.next++;
  tokens.chunk[slot] = chunk;
}

// TokenTable::Remove() and PagePool::Put().
void Protocol::EndToken(State& next, uint8_t who, uint8_t slot) const {
  Tokens& tokens = next.tokens[who];
  if (tokens.serial[slot] == 0) return;
  SetBit(next.ended[tokens.lane], tokens.serial[slot], true);
  Put(next, tokens.chunk[slot]);
  tokens.serial[slot] = 0;
  tokens.chunk[slot] = 0;
  SetBit(tokens.fenced, slot, false);
}

bool Protocol::MayUnbind(const State& state, uint8_t who) const {
  if (state.owner[who].bound != Bound::kYes || state.owner[who].receiving != 0) return false;
  if (state.nic[who].step != NicStep::kIdle || StoresOnTheirWay(state.nic[who])) return false;
  // An owner that unbinds has waited for its device.
  if (state.tokens[who].fenced != 0 && state.phase != Phase::kRevoked) return false;
  const bool fenced = !CopiesOnTheirWay(state, who) || flawed(Flaw::kUnbindDoesNotFence);
  return fenced && state.life_lock == LifeLock::kFree;  // Leave() waits for the lock.
}

void Protocol::ExpandBinding(const State& state, uint8_t who, Steps& out) const {
  const Bound bound = state.owner[who].bound;
  if (MayUnbind(state, who)) Leave(out.Add(state, ActionKind::kUnbind, who), who);
  if (bound != Bound::kNo && state.crashes_left > 0) {
    State& next = out.Add(state, ActionKind::kCrash, who);
    --next.crashes_left;
    Arrive(next, who, environment_.flaw);
    next.nic[who] = Nic{};
    if (next.mover.for_whom == who) next.mover.for_whom = kNobody;
    // Its device goes with it: the driver waits for what that still does.
    for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
      if (!Has(ChunksOf(environment_, who), chunk)) continue;
      SetBit(next.reading, chunk, false);
      if (state.job[chunk].owner == who) EndJob(next, chunk);
      next.refs[chunk] = 0;
      SetBit(next.queued, chunk, false);
    }
    next.tokens[who].serial = {};
    Leave(next, who);
  }
  if (bound == Bound::kMapped && state.life_lock == LifeLock::kFree) {
    State& next = out.Add(state, ActionKind::kJoin, who);
    Join(next, who);
    if (state.phase != Phase::kLive) Leave(next, who);
  }
  if (bound != Bound::kNo || state.binds_left == 0 || state.phase != Phase::kLive) return;
  const bool taken = !environment_.split && state.owner[1 - who].bound != Bound::kNo;
  if (taken || state.exporter_dead != 0) return;
  if (flawed(Flaw::kJoinUnguarded)) {
    State& next = out.Add(state, ActionKind::kMapForBind, who);
    --next.binds_left;
    MapNow(next, who);
    return;
  }
  // Mapped and joined under the exporter's lock, so that no move lies between.
  if (state.mover.step != MoveStep::kIdle || state.life_lock != LifeLock::kFree) return;
  State& next = out.Add(state, ActionKind::kBind, who);
  --next.binds_left;
  MapNow(next, who);
  Join(next, who);
}

void Protocol::MapNow(State& next, uint8_t who) const {
  Mapping& mapping = next.mapping[who];
  mapping = Mapping{};
  mapping.generation = Generation::kEven;
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    const bool resident = Has(next.resident, chunk);
    SetBit(mapping.away, chunk, !resident);
    mapping.maps[chunk] = resident ? next.lies_at[chunk] : Place::kScratch;
  }
  next.owner[who].bound = Bound::kMapped;
}

void Protocol::Join(State& next, uint8_t who) const {
  next.mapping[who].joined = 1;
  next.owner[who].bound = Bound::kYes;
  Tokens& tokens = next.tokens[who];
  tokens = Tokens{};
  const uint8_t lanes = flawed(Flaw::kLanesRepeat) ? 2 : kLanes - 1;
  tokens.lane = static_cast<uint8_t>(1 + next.lanes_used++ % lanes);
}

// Unbind(): tokens end, what is queued goes back, the mapping goes.
void Protocol::Leave(State& next, uint8_t who) const {
  for (uint8_t slot = 0; slot < kSlots; ++slot) EndToken(next, who, slot);
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    if (!Has(ChunksOf(environment_, who), chunk)) continue;
    if (Has(next.queued, chunk)) Put(next, chunk);
    SetBit(next.queued, chunk, false);
    Job& job = next.job[chunk];
    if (job.step == JobStep::kNone || job.owner != who || job.orphan == 2) continue;
    if (job.orphan == 0) Put(next, chunk);
    const bool runs = job.step == JobStep::kFirstHalf || job.step == JobStep::kSecondHalf;
    if (runs) {
      job.orphan = 2;
    } else {
      EndJob(next, chunk);
    }
  }
  next.mapping[who] = Mapping{};
  next.tokens[who] = Tokens{};
  next.owner[who].bound = Bound::kNo;
  next.owner[who].receiving = 0;
}

}  // namespace devmem::revoke_model
