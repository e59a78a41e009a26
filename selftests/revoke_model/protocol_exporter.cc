// SPDX-License-Identifier: Apache-2.0
// See protocol.h: the exporter's threads. A move is RegionLife::ForEachUser(Withdraw), a copy,
// ForEachUser(PutBack), all under the exporter's own lock, so that there is one at a time. A revoke
// is RegionLife::Revoke(). Rounds over the users hold the life's lock.
#include "selftests/revoke_model/protocol.h"

namespace devmem::revoke_model {
namespace {

// The next user from `user` on; kOwners when there is none.
uint8_t NextUser(const State& state, uint8_t user) {
  while (user < kOwners && state.mapping[user].joined == 0) ++user;
  return user;
}

}  // namespace

void Protocol::ExpandExporter(const State& state, Steps& out) const {
  if (state.exporter_dead != 0) return;
  const Mover& mover = state.mover;
  if (mover.step == MoveStep::kIdle && state.phase != Phase::kRevoked) {
    if (state.moves_left > 0) {
      State& next = out.Add(state, ActionKind::kStartMove);
      --next.moves_left;
      StartMove(next, MoveKind::kMove, 0b11, kNobody);
    }
    for (uint8_t chunk = 0; chunk < kChunks && state.evictions_left > 0; ++chunk) {
      if (!Has(state.resident, chunk)) continue;
      State& next = out.Add(state, ActionKind::kStartEvict, 0, chunk);
      --next.evictions_left;
      StartMove(next, MoveKind::kEvict, static_cast<uint8_t>(1u << chunk), kNobody);
    }
  }
  const bool locks = mover.step == MoveStep::kLock || mover.step == MoveStep::kLockAgain;
  if (mover.step != MoveStep::kIdle && (!locks || state.life_lock == LifeLock::kFree)) {
    StepMover(out.Add(state, ActionKind::kMover, mover.user, static_cast<uint8_t>(mover.step)));
  }
  ExpandRevoker(state, out);
  if (environment_.exporter_dies && state.life_lock == LifeLock::kFree &&
      mover.for_whom == kNobody) {
    out.Add(state, ActionKind::kExporterDies).exporter_dead = 1;
  }
}

void Protocol::StartMove(State& next, MoveKind kind, uint8_t chunks, uint8_t for_whom) const {
  next.mover = Mover{};
  next.mover.kind = kind;
  next.mover.chunks = chunks;
  next.mover.for_whom = for_whom;
  next.mover.step = flawed(Flaw::kCopyBeforeWithdraw) ? MoveStep::kCopy : MoveStep::kLock;
}

void Protocol::StepMover(State& next) const {
  Mover& mover = next.mover;
  switch (mover.step) {
    case MoveStep::kIdle: return;
    case MoveStep::kLock:
    case MoveStep::kLockAgain: {
      const bool again = mover.step == MoveStep::kLockAgain;
      next.life_lock = LifeLock::kMover;
      mover.user = NextUser(next, 0);
      mover.step = again ? MoveStep::kMap : MoveStep::kMark;
      if (again && !flawed(Flaw::kOwnerLooksLast)) LookAtNewPlace(next);
      if (!again && flawed(Flaw::kSwapBeforeMark)) mover.step = MoveStep::kSwap;
      if (mover.user < kOwners) return;
      return again ? FinishMove(next) : Withdraw(next);
    }
    case MoveStep::kMark:
    case MoveStep::kBarrier:
    case MoveStep::kSwap: return Withdraw(next);
    case MoveStep::kCopy:
      if (!flawed(Flaw::kCopyAfterFirstWithdraw)) Copy(next);
      mover.step = flawed(Flaw::kCopyBeforeWithdraw) ? MoveStep::kLock : MoveStep::kLockAgain;
      return;
    case MoveStep::kMap:
    case MoveStep::kEven: return PutBack(next);
  }
}

// A step of DmaMapping::Withdraw() of the user whose turn it is, or the end of the round.
void Protocol::Withdraw(State& next) const {
  Mover& mover = next.mover;
  const bool late_mark = flawed(Flaw::kSwapBeforeMark);
  while (mover.user < kOwners) {
    const bool skips = Revoking(next.mapping[mover.user]);
    bool ends = skips;
    if (mover.step == MoveStep::kMark) {
      if (!skips) StoreGeneration(next, mover.user, Generation::kOdd);
      mover.step = flawed(Flaw::kNoBarrier) ? MoveStep::kSwap : MoveStep::kBarrier;
    } else if (mover.step == MoveStep::kBarrier) {
      if (!skips) {
        Arrive(next, mover.user, environment_.flaw);
        next.nic[mover.user].early = 0;
      }
      mover.step = MoveStep::kSwap;
      ends |= late_mark;
    } else {
      for (uint8_t chunk = 0; chunk < kChunks && !skips; ++chunk) {
        if (!Has(mover.chunks, chunk)) continue;
        Arrive(next, mover.user, environment_.flaw);
        next.mapping[mover.user].maps[chunk] = Place::kScratch;
      }
      ends |= !late_mark;
      mover.step = MoveStep::kMark;
    }
    if (ends) {
      if (flawed(Flaw::kCopyAfterFirstWithdraw) && mover.user == 0) Copy(next);
      mover.step = late_mark ? MoveStep::kSwap : MoveStep::kMark;
      mover.user = NextUser(next, static_cast<uint8_t>(mover.user + 1));
      if (mover.user < kOwners) return;
    } else if (environment_.small_steps) {
      return;
    }
  }
  next.life_lock = LifeLock::kFree;
  mover.user = 0;
  mover.step = flawed(Flaw::kCopyBeforeWithdraw) ? MoveStep::kLockAgain : MoveStep::kCopy;
}

void Protocol::Copy(State& next) const {
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    if (!Has(next.mover.chunks, chunk)) continue;
    const uint8_t from = static_cast<uint8_t>(2 * static_cast<uint8_t>(next.lies_at[chunk]));
    const uint8_t to = static_cast<uint8_t>(2 - from);
    for (uint8_t half = 0; half < kHalves; ++half) {
      const bool right = Has(next.right[chunk], static_cast<uint8_t>(from + half));
      SetBit(next.right[chunk], static_cast<uint8_t>(to + half), right);
    }
  }
}

// A step of DmaMapping::PutBack() of the user whose turn it is, or the end of the round.
void Protocol::PutBack(State& next) const {
  Mover& mover = next.mover;
  Mapping& mapping = next.mapping[mover.user];
  const bool evict = mover.kind == MoveKind::kEvict;
  const bool skips = Revoking(mapping);
  if (mover.step == MoveStep::kMap) {
    if (!skips && mapping.generation != Generation::kOdd) {
      SetFault(next, Fault::kPutBackOfNothing);
    }
    for (uint8_t chunk = 0; chunk < kChunks && !skips && !evict; ++chunk) {
      const Place place = next.lies_at[chunk];
      if (!Has(mover.chunks, chunk)) continue;
      mapping.maps[chunk] = flawed(Flaw::kOwnerLooksLast) ? Other(place) : place;
    }
    mover.step = MoveStep::kEven;
    if (environment_.small_steps && !skips) return;
  }
  if (!skips) {
    const uint32_t kept = mapping.away & ~uint32_t{mover.chunks};
    mapping.away = static_cast<uint8_t>(evict ? mapping.away | mover.chunks : kept);
    StoreGeneration(next, mover.user, Generation::kEven);
  }
  mover.step = MoveStep::kMap;
  mover.user = NextUser(next, static_cast<uint8_t>(mover.user + 1));
  if (mover.user == kOwners) FinishMove(next);
}

// The region is at the new place, for its owner and for whoever maps it from now on.
void Protocol::LookAtNewPlace(State& next) const {
  const Mover& mover = next.mover;
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    if (!Has(mover.chunks, chunk)) continue;
    next.lies_at[chunk] = Other(next.lies_at[chunk]);
    SetBit(next.resident, chunk, mover.kind != MoveKind::kEvict);
  }
}

// The old place is given back.
void Protocol::FinishMove(State& next) const {
  const Mover done = next.mover;
  if (flawed(Flaw::kOwnerLooksLast)) LookAtNewPlace(next);
  if (done.for_whom != kNobody) next.nic[done.for_whom].step = AfterPlace();
  next.mover = Mover{};
  next.life_lock = LifeLock::kFree;
}

bool Protocol::CopiesOnTheirWay(const State& state, uint8_t who) const {
  for (const Job& job : state.job) {
    const bool runs = job.step == JobStep::kFirstHalf || job.step == JobStep::kSecondHalf;
    if (runs && job.owner == who && job.orphan != 2) return true;
  }
  return false;
}

void Protocol::ExpandRevoker(const State& state, Steps& out) const {
  const RevokeStep step = state.revoker.step;
  if (step == RevokeStep::kIdle) {
    if (environment_.revokes) {
      out.Add(state, ActionKind::kStartRevoke).revoker.step = RevokeStep::kLock;
    }
    if (environment_.removes) {
      State& next = out.Add(state, ActionKind::kBeginRemoval);
      next.phase = Phase::kRemoving;
      next.revoker.step = RevokeStep::kAwaitUsers;
    }
    return;
  }
  if (step == RevokeStep::kDone) return;
  if (step == RevokeStep::kLock && state.life_lock != LifeLock::kFree) return;
  const uint8_t user = state.revoker.user;
  if (step == RevokeStep::kAwaitCopies && CopiesOnTheirWay(state, user) &&
      !flawed(Flaw::kHaltDoesNotWait)) {
    return;
  }
  if (step == RevokeStep::kAwaitUsers) {
    out.Add(state, ActionKind::kDeadline).revoker.step = RevokeStep::kLock;
    bool posted = false;
    for (const Nic& nic : state.nic) posted |= nic.step != NicStep::kIdle;
    const bool early = flawed(Flaw::kRemoveWhileHeld) && !posted;
    if (NextUser(state, 0) != kOwners && !early) return;
  }
  StepRevoker(out.Add(state, ActionKind::kRevoker, user, static_cast<uint8_t>(step)));
}

void Protocol::StepRevoker(State& next) const {
  Revoker& revoker = next.revoker;
  switch (revoker.step) {
    case RevokeStep::kIdle:
    case RevokeStep::kDone: return;
    case RevokeStep::kAwaitUsers:
      revoker.step = RevokeStep::kLock;
      if (!flawed(Flaw::kRemoveWhileHeld)) return;
      next.given_back = 1;
      revoker.step = RevokeStep::kDone;
      return;
    case RevokeStep::kLock:
      next.life_lock = LifeLock::kRevoker;
      revoker.user = 0;
      return NextToTakeAway(next);
    case RevokeStep::kTell:
      if (!flawed(Flaw::kRevokeSkipsTelling)) next.phase = Phase::kRevoked;
      next.life_lock = LifeLock::kFree;
      next.given_back = 1;
      revoker.step = RevokeStep::kDone;
      return;
    default: {
      const uint8_t user = revoker.user;
      do {
        TakeAway(next);
      } while (!environment_.small_steps && revoker.step != RevokeStep::kTell &&
               revoker.step != RevokeStep::kAwaitCopies && revoker.user == user);
    }
  }
}

// Where Attachment::TakeAway() of the next user begins.
void Protocol::NextToTakeAway(State& next) const {
  Revoker& revoker = next.revoker;
  revoker.user = NextUser(next, revoker.user);
  if (revoker.user == kOwners) {
    revoker.user = 0;
    revoker.step = RevokeStep::kTell;
  } else if (environment_.engine == Engine::kDevice) {
    revoker.step = RevokeStep::kHalt;
  } else {
    revoker.step = flawed(Flaw::kSwapBeforeMark) ? RevokeStep::kSwap : RevokeStep::kMark;
  }
}

// A step of Attachment::TakeAway(): DmaMapping::Revoke(), or DmaEngine::Halt().
void Protocol::TakeAway(State& next) const {
  Revoker& revoker = next.revoker;
  const uint8_t user = revoker.user;
  const bool late_mark = flawed(Flaw::kSwapBeforeMark);
  switch (revoker.step) {
    case RevokeStep::kMark:
      StoreGeneration(next, user, Generation::kRevoking);
      revoker.step = flawed(Flaw::kNoBarrier) ? RevokeStep::kSwap : RevokeStep::kBarrier;
      return;
    case RevokeStep::kBarrier:
      Arrive(next, user, environment_.flaw);
      next.nic[user].early = 0;
      revoker.step = late_mark ? RevokeStep::kFinalMark : RevokeStep::kSwap;
      return;
    case RevokeStep::kSwap:
      Arrive(next, user, environment_.flaw);
      next.mapping[user].maps.fill(Place::kScratch);
      revoker.step = late_mark ? RevokeStep::kMark : RevokeStep::kFinalMark;
      return;
    case RevokeStep::kHalt:
      next.mapping[user].halted = 1;
      revoker.step = RevokeStep::kAwaitCopies;
      return;
    default:  // kFinalMark, or the last copy has been made.
      next.mapping[user].away = 0;
      StoreGeneration(next, user, Generation::kRevoked);
      revoker.user = static_cast<uint8_t>(user + 1);
      return NextToTakeAway(next);
  }
}

}  // namespace devmem::revoke_model
