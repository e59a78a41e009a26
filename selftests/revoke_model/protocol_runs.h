// SPDX-License-Identifier: Apache-2.0
// The environments in which the protocol is explored, and those in which each flaw shows. Shared by
// the test that explores and the test that replays stories on the real classes.
#pragma once

#include <string>
#include <vector>

#include "selftests/revoke_model/protocol.h"

namespace devmem::revoke_model {

// How many states a run may have: 108 bytes each and its share of the hash table, below 1 GB.
inline constexpr uint64_t kStatesMax = 6'000'000;

struct Run {
  const char* name;
  Environment environment;
  uint64_t states_min;  // Below it, the model has lost something.
};

// What is explored to its end.
inline std::vector<Run> GoodRuns() {
  return {
      {"OneNicThatMeetsMovesEvictionsAndRevokes",
       {.weak_memory = true, .removes = true, .frames = 2, .moves = 2, .evictions = 1},
       1'000'000},
      {"TwoNicsOfOneRegion",
       {.owners = 2, .split = true, .weak_memory = true, .frames = 1, .moves = 1, .evictions = 1},
       1'000'000},
      {"TwoNicsOneOfWhichDies",
       {.owners = 2,
        .split = true,
        .weak_memory = true,
        .removes = true,
        .exporter_dies = true,
        .frames = 1,
        .moves = 1,
        .crashes = 1},
       500'000},
      {"OwnersThatBindInTurn",
       {.owners = 2, .removes = true, .frames = 3, .binds = 2, .crashes = 1, .fences = 1},
       1'000'000},
      {"OwnersSideBySideWithMovesAndBinds",
       {.owners = 2,
        .split = true,
        .small_steps = false,
        .removes = true,
        .exporter_dies = true,
        .frames = 1,
        .moves = 1,
        .binds = 1,
        .crashes = 1,
        .fences = 1},
       500'000},
      {"StagedByTheProcessor",
       {.engine = Engine::kHost, .frames = 2, .moves = 1, .evictions = 1},
       500'000},
      {"StagedByADevice",
       {.engine = Engine::kDevice,
        .owners = 2,
        .removes = true,
        .exporter_dies = true,
        .frames = 3,
        .binds = 1,
        .crashes = 1,
        .fences = 1},
       500'000},
      {"StagedByADeviceForTwo",
       {.engine = Engine::kDevice,
        .owners = 2,
        .split = true,
        .removes = true,
        .frames = 2,
        .binds = 1,
        .crashes = 1,
        .fences = 1},
       300'000},
  };
}

struct FlawedRun {
  const char* name;
  Environment environment;
  Fault fault;
};

// Each flaw where it shows, and what it leads to.
inline std::vector<FlawedRun> FlawedRuns() {
  const Environment one = {.weak_memory = true, .frames = 2, .moves = 1, .evictions = 1};
  const Environment two = {.owners = 2, .split = true, .frames = 1, .moves = 1, .binds = 1};
  const Environment users = {
      .owners = 2, .small_steps = false, .removes = true, .frames = 2, .binds = 2, .fences = 1};
  const Environment device = {.engine = Engine::kDevice, .owners = 2, .frames = 2, .binds = 1};
  const auto with = [](Environment environment, Flaw flaw) {
    environment.flaw = flaw;
    return environment;
  };
  return {
      {"NoBarrier", with(one, Flaw::kNoBarrier), Fault::kWrongBytes},
      {"SwapBeforeMark", with(one, Flaw::kSwapBeforeMark), Fault::kWrongBytes},
      {"PlaceAskedFirst", with(one, Flaw::kPlaceAskedFirst), Fault::kWrongBytes},
      {"LandedNotAsked", with(one, Flaw::kLandedNotAsked), Fault::kWrongBytes},
      {"CopyBeforeWithdraw", with(one, Flaw::kCopyBeforeWithdraw), Fault::kWrongBytes},
      {"CopyAfterFirstWithdraw", with(two, Flaw::kCopyAfterFirstWithdraw), Fault::kWrongBytes},
      {"OwnerLooksLast", with(two, Flaw::kOwnerLooksLast), Fault::kWrongBytes},
      {"JoinUnguarded", with(two, Flaw::kJoinUnguarded), Fault::kPutBackOfNothing},
      {"LowestFreeToken", with(users, Flaw::kLowestFreeToken), Fault::kFreedByStaleToken},
      {"LanesRepeat", with(users, Flaw::kLanesRepeat), Fault::kFreedByStaleToken},
      {"HaltDoesNotWait", with(device, Flaw::kHaltDoesNotWait), Fault::kWriteToGivenBack},
      {"DeliverBeforeCopied", with(device, Flaw::kDeliverBeforeCopied), Fault::kWrongBytes},
      {"StagingReusedEarly", with(device, Flaw::kStagingReusedEarly), Fault::kWrongBytes},
      {"UnbindDoesNotFence", with(device, Flaw::kUnbindDoesNotFence), Fault::kWriteToAnothersChunk},
      {"FenceIgnored", with(users, Flaw::kFenceIgnored), Fault::kWriteUnderReader},
      {"RemoveWhileHeld", with(users, Flaw::kRemoveWhileHeld), Fault::kUntold},
      {"RevokeSkipsTelling", with(users, Flaw::kRevokeSkipsTelling), Fault::kUntold},
  };
}

// The state after a step; the step must be one that can be taken.
inline State After(const Protocol& protocol, const State& state, const Action& action) {
  std::vector<Step> steps;
  protocol.Expand(state, steps);
  for (const Step& step : steps) {
    if (step.action == action) return step.next;
  }
  State impossible = state;
  impossible.fault = Fault::kBooksDiffer;
  return impossible;
}

// A path as numbered sentences, with what it ends in.
inline std::string Story(const Protocol& protocol, const std::vector<Action>& path) {
  State state = protocol.Start();
  std::string story;
  size_t number = 0;
  for (const Action& action : path) {
    story += "  " + std::to_string(++number) + ". " + protocol.Describe(state, action) + "\n";
    state = After(protocol, state, action);
  }
  const char* const fault = protocol.FaultOf(state);
  return story + "  => " + (fault != nullptr ? fault : "no way to come to rest from here") + "\n";
}

}  // namespace devmem::revoke_model
