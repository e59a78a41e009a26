// SPDX-License-Identifier: Apache-2.0
// The model and the code beside each other: random walks of the model, step by step on the real
// classes, which must answer as the model does; and the story of each flaw, which must do no harm.
#include <gtest/gtest.h>

#include <cstdio>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "selftests/revoke_model/explorer.h"
#include "selftests/revoke_model/protocol_runs.h"
#include "selftests/revoke_model/replay_world.h"

namespace devmem::revoke_model {

// What gtest calls a parameter.
void PrintTo(const Run& run, std::ostream* out);
void PrintTo(const FlawedRun& run, std::ostream* out);
void PrintTo(const Run& run, std::ostream* out) { *out << run.name; }
void PrintTo(const FlawedRun& run, std::ostream* out) { *out << run.name; }

namespace {

constexpr uint32_t kWalks = 100;
constexpr uint32_t kWalkSteps = 300;

template <typename Param>
std::string NameOf(const testing::TestParamInfo<Param>& info) {
  return info.param.name;
}

// Withdraw(), PutBack() and TakeAway() are one step here: on one thread nothing comes between.
std::vector<Run> Walks() {
  return {
      {"OneNicAndMoves",
       {.small_steps = false, .refusals = true, .removes = true, .frames = 4, .moves = 3},
       0},
      {"OneNicAndEvictions",
       {.small_steps = false, .refusals = true, .removes = true, .frames = 4, .evictions = 3},
       0},
      {"TwoNicsAndMoves",
       {.owners = 2,
        .split = true,
        .small_steps = false,
        .refusals = true,
        .removes = true,
        .exporter_dies = true,
        .frames = 3,
        .moves = 2,
        .binds = 2,
        .crashes = 1,
        .fences = 1},
       0},
      {"TwoNicsAndEvictions",
       {.owners = 2,
        .split = true,
        .small_steps = false,
        .refusals = true,
        .frames = 3,
        .evictions = 3,
        .binds = 1,
        .crashes = 1},
       0},
      {"OwnersInTurn",
       {.owners = 2,
        .small_steps = false,
        .refusals = true,
        .removes = true,
        .frames = 3,
        .binds = 2,
        .crashes = 1,
        .fences = 1},
       0},
  };
}

class ReplayWalkTest : public testing::TestWithParam<Run> {};

bool IsRare(const Action& action) {
  switch (action.kind) {
    case ActionKind::kPresent:
    case ActionKind::kStartRevoke:
    case ActionKind::kBeginRemoval:
    case ActionKind::kExporterDies:
    case ActionKind::kUnbind:
    case ActionKind::kCrash: return true;
    default: return false;
  }
}

// One walk; the counts of what the real classes did.
void Walk(const Protocol& protocol, uint32_t seed, ReplayCounts& sum) {
  std::mt19937 random(seed);
  ReplayWorld world(protocol, true);
  State state = protocol.Start();
  std::vector<Action> path;
  std::vector<Step> steps;
  while (path.size() < kWalkSteps) {
    protocol.Expand(state, steps);
    if (steps.empty()) break;
    // Tokens that are refused are many, and would be most of a walk; and an ending ends it.
    Step step = steps[random() % steps.size()];
    for (uint32_t tries = 0; IsRare(step.action) && tries < 10; ++tries) {
      step = steps[random() % steps.size()];
    }
    path.push_back(step.action);
    const std::string wrong = world.Take(state, step.action, step.next);
    ASSERT_TRUE(wrong.empty()) << "seed " << seed << ": " << wrong << "\n" << Story(protocol, path);
    state = step.next;
  }
  sum.steps += world.counts().steps;
  sum.landed += world.counts().landed;
  sum.not_landed += world.counts().not_landed;
  sum.waited += world.counts().waited;
  sum.refused += world.counts().refused;
  sum.moved += world.counts().moved;
  sum.revoked += world.counts().revoked;
}

TEST_P(ReplayWalkTest, TheCodeAnswersAsTheModelDoes) {
  const Protocol protocol(GetParam().environment);
  ReplayCounts sum;
  for (uint32_t seed = 1; seed <= kWalks && !HasFatalFailure(); ++seed) {
    Walk(protocol, seed, sum);
  }
  std::printf(
      "%s: %lu steps, %lu landed, %lu not, %lu waited, %lu tokens refused, %lu moves, "
      "%lu revokes\n",
      GetParam().name, sum.steps, sum.landed, sum.not_landed, sum.waited, sum.refused, sum.moved,
      sum.revoked);
  EXPECT_GT(sum.landed, kWalks);
  EXPECT_GT(sum.waited, 0u);
  EXPECT_GT(sum.refused, kWalks);
  EXPECT_GT(sum.revoked, 0u);
  const Environment& environment = GetParam().environment;
  if (environment.moves + environment.evictions == 0) return;
  EXPECT_GT(sum.moved, kWalks / 2);
  EXPECT_GT(sum.not_landed, 0u);
}

INSTANTIATE_TEST_SUITE_P(All, ReplayWalkTest, testing::ValuesIn(Walks()), NameOf<Run>);

// The engines' flaws are steps of a device, which the classes here do not have.
std::vector<FlawedRun> StoriesOfMappingsAndTokens() {
  std::vector<FlawedRun> stories;
  for (const FlawedRun& run : FlawedRuns()) {
    if (run.environment.engine == Engine::kNone) stories.push_back(run);
  }
  return stories;
}

class ReplayStoryTest : public testing::TestWithParam<FlawedRun> {};

TEST_P(ReplayStoryTest, DoesNoHarmToTheCode) {
  const Protocol protocol(GetParam().environment);
  Explorer<Protocol> explorer(protocol, kStatesMax);
  const auto result = explorer.Run(protocol.Start());
  ASSERT_FALSE(result.path.empty());
  ReplayWorld world(protocol, false);
  State state = protocol.Start();
  for (const Action& action : result.path) {
    const State after = After(protocol, state, action);
    const std::string wrong = world.Take(state, action, after);
    ASSERT_TRUE(wrong.empty()) << wrong << "\n" << Story(protocol, result.path);
    state = after;
  }
  EXPECT_EQ(world.counts().steps, result.path.size());
}

INSTANTIATE_TEST_SUITE_P(All, ReplayStoryTest, testing::ValuesIn(StoriesOfMappingsAndTokens()),
                         NameOf<FlawedRun>);

}  // namespace
}  // namespace devmem::revoke_model
