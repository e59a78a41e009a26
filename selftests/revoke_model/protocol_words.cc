// SPDX-License-Identifier: Apache-2.0
// See protocol.h: what a step is called in a story.
#include "absl/strings/str_cat.h"
#include "selftests/revoke_model/protocol.h"

namespace devmem::revoke_model {
namespace {

const char* Name(Place place) {
  switch (place) {
    case Place::kA: return "place A";
    case Place::kB: return "place B";
    case Place::kScratch: return "scratch memory";
    case Place::kNowhere: break;
  }
  return "nowhere";
}

const char* HalfName(uint8_t half) { return half == 0 ? "first" : "second"; }

const char* MoveName(MoveKind kind) {
  switch (kind) {
    case MoveKind::kMove: return "move";
    case MoveKind::kEvict: return "eviction";
    case MoveKind::kFaultIn: break;
  }
  return "fault";
}

std::string MoverWords(const State& state, MoveStep step) {
  const std::string who = absl::StrCat("the ", MoveName(state.mover.kind));
  const std::string nic = absl::StrCat(" of owner ", state.mover.user);
  switch (step) {
    case MoveStep::kIdle: break;
    case MoveStep::kLock: return who + " locks the life, to withdraw";
    case MoveStep::kMark: return who + " makes the generation odd in the mapping" + nic;
    case MoveStep::kBarrier: return who + " passes a barrier through the NIC" + nic;
    case MoveStep::kSwap: return who + " puts scratch memory into the mapping" + nic;
    case MoveStep::kCopy: return who + " copies the bytes to the other place";
    case MoveStep::kLockAgain: return who + " locks the life, to put back";
    case MoveStep::kMap: return who + " maps the new place into the mapping" + nic;
    case MoveStep::kEven: return who + " makes the generation even in the mapping" + nic;
  }
  return who;
}

std::string RevokerWords(RevokeStep step, uint8_t user) {
  const std::string nic = absl::StrCat(" of owner ", user);
  switch (step) {
    case RevokeStep::kAwaitUsers: return "the removal finds that it need not wait any more";
    case RevokeStep::kLock: return "the revoke locks the life";
    case RevokeStep::kMark: return "the revoke marks the generation in the mapping" + nic;
    case RevokeStep::kBarrier: return "the revoke passes a barrier through the NIC" + nic;
    case RevokeStep::kSwap: return "the revoke puts scratch memory into the mapping" + nic;
    case RevokeStep::kFinalMark: return "the revoke marks the mapping as revoked," + nic;
    case RevokeStep::kHalt: return "the revoke halts the engine" + nic;
    case RevokeStep::kAwaitCopies: return "the revoke is done with the engine" + nic;
    case RevokeStep::kTell: return "the revoke tells everybody and returns: memory is given back";
    case RevokeStep::kIdle:
    case RevokeStep::kDone: break;
  }
  return "the revoke rests";
}

std::string NicWords(const State& state, const Action& action) {
  const Nic& nic = state.nic[action.who];
  const std::string chunk = absl::StrCat(" chunk ", nic.chunk);
  switch (action.kind) {
    case ActionKind::kPost: return absl::StrCat(" posts chunk ", action.what);
    case ActionKind::kReadGeneration: return " reads the generation";
    case ActionKind::kAskPlace:
      return " asks whether it moves, and where the bytes are, of" + chunk;
    case ActionKind::kBringBack: return " asks the exporter to bring back" + chunk;
    case ActionKind::kReread: return " reads the generation again, to compare";
    case ActionKind::kWrite:
      return absl::StrCat(" writes the ", HalfName(action.what), " half of", chunk, " to ",
                          Name(state.mapping[action.who].maps[nic.chunk]));
    case ActionKind::kLoadEarly: return " loads the generation ahead of its turn";
    case ActionKind::kArrive:
      return absl::StrCat(": its store of the ", HalfName(action.what), " half arrives at ",
                          Name(nic.buffer[action.what]));
    case ActionKind::kAskLanded: return " asks whether it landed:" + chunk;
    case ActionKind::kWriteStaging: return absl::StrCat(" writes staging slot ", nic.slot);
    case ActionKind::kSubmit: return absl::StrCat(" submits slot ", nic.slot, " for", chunk);
    case ActionKind::kTryCopy: return absl::StrCat(" begins to copy chunk ", action.what);
    case ActionKind::kComplete: return absl::StrCat(" finds chunk ", action.what, " copied");
    case ActionKind::kDropLost: return absl::StrCat(" drops the lost copy of ", action.what);
    default: break;
  }
  return "";
}

std::string OwnerWords(const State& state, const Action& action) {
  const std::string chunk = absl::StrCat(" chunk ", action.what);
  const Tokens& tokens = state.tokens[action.who];
  switch (action.kind) {
    case ActionKind::kAskPhase: return " receives: the region is there";
    case ActionKind::kHandOut: return " is handed" + chunk;
    case ActionKind::kRelease:
      return absl::StrCat(" releases token ", tokens.serial[action.what], " of chunk ",
                          tokens.chunk[action.what]);
    case ActionKind::kReleaseFenced:
      return absl::StrCat(" releases token ", tokens.serial[action.what], " of chunk ",
                          tokens.chunk[action.what], " when its device has read it");
    case ActionKind::kDeviceDone: return ": its device has read" + chunk;
    case ActionKind::kAskFence:
      return absl::StrCat(" finds the fence of token ", tokens.serial[action.what], " signaled");
    case ActionKind::kPresent:
      return absl::StrCat(" returns token ", action.what % kSerialsEnd, " of lane ",
                          action.what / kSerialsEnd, ", which names nothing of its own");
    case ActionKind::kEndTokens: return " learns that the region is gone: its tokens end";
    case ActionKind::kUnbind: return " unbinds";
    case ActionKind::kBind: return " binds";
    case ActionKind::kMapForBind: return " maps the region, to bind";
    case ActionKind::kJoin: return " joins the region's life";
    case ActionKind::kCrash: return " dies";
    default: break;
  }
  return "";
}

}  // namespace

std::string Protocol::Describe(const State& state, const Action& action) const {
  switch (action.kind) {
    case ActionKind::kStartCopy:
      return absl::StrCat("the device begins the copy of chunk ", action.who);
    case ActionKind::kCopyHalf:
      return absl::StrCat("the device copies the ", HalfName(action.what), " half of chunk ",
                          action.who, " from slot ", state.job[action.who].slot);
    case ActionKind::kStartMove: return "the exporter starts to move the region";
    case ActionKind::kStartEvict:
      return absl::StrCat("the exporter starts to evict chunk ", action.what);
    case ActionKind::kMover: return MoverWords(state, state.mover.step);
    case ActionKind::kStartRevoke: return "the exporter revokes";
    case ActionKind::kBeginRemoval: return "the exporter begins to remove the region";
    case ActionKind::kDeadline: return "the exporter's patience runs out";
    case ActionKind::kRevoker: return RevokerWords(state.revoker.step, state.revoker.user);
    case ActionKind::kExporterDies: return "the exporter dies";
    default: break;
  }
  const std::string nic = NicWords(state, action);
  const std::string who = absl::StrCat(action.who);
  return nic.empty() ? "owner " + who + OwnerWords(state, action) : "the NIC of owner " + who + nic;
}

}  // namespace devmem::revoke_model
