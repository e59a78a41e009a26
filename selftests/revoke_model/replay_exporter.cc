// SPDX-License-Identifier: Apache-2.0
// See replay_world.h: what the exporter does, and what is compared after each step.
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/dma_mapping.h"
#include "provider/region_view.h"
#include "selftests/revoke_model/replay_world.h"

namespace devmem::revoke_model {

std::string ReplayWorld::Take(const State& before, const Action& action, const State& after) {
  ++counts_.steps;
  TakeNic(before, action, after);
  TakeOwner(before, action, after);
  if (stepwise_) {
    TakeExporter(before, action, after);
    Compare(after);
  } else {
    ExportAlone(action);
    LookForWrongBytes();
  }
  return wrong_;
}

uint64_t ReplayWorld::ReadAt(int fd, uint8_t chunk, uint8_t half) const {
  uint64_t value = 0;
  const off_t at = static_cast<off_t>(chunk * kChunkBytes + half * kHalfBytes);
  const ssize_t got = ::pread(fd, &value, sizeof(value), at);
  DEVMEM_CHECK(got == ssize_t{sizeof(value)}, "a memfd cannot be read");
  return value;
}

void ReplayWorld::CopyHalves(uint8_t chunk, Place from, Place to) {
  for (uint8_t half = 0; half < kHalves; ++half) {
    const uint64_t value = ReadAt(places_->fds[static_cast<size_t>(from)].get(), chunk, half);
    const off_t at = static_cast<off_t>(chunk * kChunkBytes + half * kHalfBytes);
    const ssize_t put =
        ::pwrite(places_->fds[static_cast<size_t>(to)].get(), &value, sizeof(value), at);
    DEVMEM_CHECK(put == ssize_t{sizeof(value)}, "a memfd cannot be written");
  }
}

void ReplayWorld::TakeExporter(const State& before, const Action& action, const State& after) {
  switch (action.kind) {
    case ActionKind::kBeginRemoval: return region_->BeginRemoval("replay");
    case ActionKind::kMover: return TakeMover(before, action, after);
    case ActionKind::kRevoker: return TakeRevoker(before, action);
    default: return;
  }
}

void ReplayWorld::TakeMover(const State& before, const Action& action, const State& after) {
  const Mover& mover = before.mover;
  const bool both = mover.chunks == 0b11;
  const uint8_t chunk = mover.chunks == 0b10 ? 1 : 0;
  const uint64_t offset = chunk * kChunkBytes;
  const uint64_t bytes = both ? 2 * kChunkBytes : kChunkBytes;
  RegionUser* const user = action.who < kOwners ? users_[action.who].user : nullptr;
  switch (static_cast<MoveStep>(action.what)) {
    case MoveStep::kMark:
      if (user != nullptr) user->Withdraw(offset, bytes);
      return;
    case MoveStep::kCopy:
      ++counts_.moved;
      for (uint8_t n = chunk; n < (both ? kChunks : chunk + 1); ++n) {
        CopyHalves(n, places_->lies_at[n], Other(places_->lies_at[n]));
      }
      return;
    case MoveStep::kLockAgain:
      places_->lies_at = after.lies_at;
      places_->resident = after.resident;
      return;
    case MoveStep::kMap: {
      const size_t place = static_cast<size_t>(places_->lies_at[chunk]);
      const RegionPlace now{offset, bytes, places_->fds[place].get(), offset,
                            mover.kind != MoveKind::kEvict};
      if (user != nullptr) Expect(user->PutBack(now).ok(), "a place cannot be put back");
      return;
    }
    default: return;
  }
}

void ReplayWorld::TakeRevoker(const State& before, const Action& action) {
  switch (static_cast<RevokeStep>(action.what)) {
    case RevokeStep::kAwaitUsers: {
      const bool left = region_->life()->WaitForUsers(std::chrono::nanoseconds(0));
      return Expect(left, "a removal still waits for users");
    }
    case RevokeStep::kMark: {
      RegionUser* const user = users_[before.revoker.user].user;
      if (user != nullptr) user->TakeAway();
      return;
    }
    case RevokeStep::kTell: ++counts_.revoked; return region_->Revoke("replay");
    default: return;
  }
}

// For stories: the region moves, and goes, as the code has it.
void ReplayWorld::ExportAlone(const Action& action) {
  switch (action.kind) {
    case ActionKind::kStartMove:
      ++counts_.moved;
      (void)region_->Move(std::chrono::nanoseconds(0));
      return;
    case ActionKind::kStartEvict:
      ++counts_.moved;
      (void)region_->Evict(action.what * kChunkBytes, kChunkBytes, std::chrono::nanoseconds(0));
      return;
    case ActionKind::kBeginRemoval: return region_->BeginRemoval("replay");
    case ActionKind::kStartRevoke:
    case ActionKind::kDeadline: ++counts_.revoked; return region_->Revoke("replay");
    case ActionKind::kRevoker:
      // A removal does not end while somebody is there.
      if (static_cast<RevokeStep>(action.what) != RevokeStep::kAwaitUsers) return;
      Expect(region_->life()->user_count() == 0 ||
                 !region_->life()->WaitForUsers(std::chrono::nanoseconds(0)),
             "a removal does not wait for its users");
      return;
    default: return;
  }
}

void ReplayWorld::Compare(const State& state) {
  size_t users = 0;
  for (uint8_t who = 0; who < kOwners; ++who) {
    users += state.mapping[who].joined;
    Expect((users_[who].attachment != nullptr) == (state.mapping[who].joined != 0),
           "somebody is bound, or is not");
    if (users_[who].attachment != nullptr) CompareMapping(state, who);
  }
  Expect(region_->life()->user_count() == users, "the life counts other users");
  const RegionPhase phase = region_->life()->phase();
  Expect(static_cast<int>(phase) == static_cast<int>(state.phase), "the phase is another");
  Expect(region_->status().ok() == (state.phase == Phase::kLive), "the status is another");
  CompareMemory(state);
}

void ReplayWorld::CompareMapping(const State& state, uint8_t who) {
  User& user = users_[who];
  const DmaMapping& mapping = user.attachment->mapping();
  const Generation generation = state.mapping[who].generation;
  Expect(mapping.revoked() == Revoking(state.mapping[who]), "revoked() is otherwise");
  Expect(mapping.moving() == (generation == Generation::kOdd), "moving() is otherwise");
  uint64_t used = 0;
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    if (Has(ChunksOf(protocol_.environment(), who), chunk)) used += state.refs[chunk];
  }
  const Account account = user.pool->account();
  Expect(account.balanced() && account.used == used,
         absl::StrCat("the account is ", account.ToString(), ", used should be ", used));
  uint32_t held = 0;
  for (const uint8_t serial : state.tokens[who].serial) held += serial != 0 ? 1 : 0;
  Expect(user.tokens->held() == held, absl::StrCat(user.tokens->held(), " tokens are held"));
}

// Each half of each chunk at each place: the frame's bytes exactly where the model has them.
void ReplayWorld::CompareMemory(const State& state) {
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    if (stamps_[chunk] == 0) continue;
    for (uint8_t bit = 0; bit < kPlaces * kHalves; ++bit) {
      const uint8_t half = bit % kHalves;
      const uint64_t value = ReadAt(places_->fds[bit / kHalves].get(), chunk, half);
      Expect((value == stamps_[chunk]) == Has(state.right[chunk], bit),
             absl::StrCat("half ", half, " of chunk ", chunk, " at place ", bit / kHalves,
                          " holds ", value, ", the frame is ", stamps_[chunk]));
    }
  }
}

// What TCP or a user was given holds its bytes, wherever the region lies.
void ReplayWorld::LookForWrongBytes() {
  if (region_->life()->phase() != RegionPhase::kLive) return;
  const auto view = RegionView::Map(*region_);
  if (!view.ok()) return Expect(false, "the region cannot be looked at");
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    for (uint8_t half = 0; half < kHalves && given_[chunk]; ++half) {
      uint64_t value = 0;
      std::memcpy(&value, &view->bytes()[chunk * kChunkBytes + half * kHalfBytes], sizeof(value));
      Expect(value == stamps_[chunk], "a frag does not hold its bytes");
    }
  }
}

}  // namespace devmem::revoke_model
