// SPDX-License-Identifier: Apache-2.0
// Explores the protocol of revoke, moves, staging and tokens to its end, and finds out each flaw
// that was put into it. Prints the size of each run, and the story of each flaw.
#include <gtest/gtest.h>

#include <cstdio>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "selftests/revoke_model/explorer.h"
#include "selftests/revoke_model/protocol.h"
#include "selftests/revoke_model/protocol_runs.h"

namespace devmem::revoke_model {

// What gtest calls a parameter.
void PrintTo(const Run& run, std::ostream* out) { *out << run.name; }
void PrintTo(const FlawedRun& run, std::ostream* out) { *out << run.name; }

namespace {

template <typename Param>
std::string NameOf(const testing::TestParamInfo<Param>& info) {
  return info.param.name;
}

class RevokeModelTest : public testing::TestWithParam<Run> {};

TEST_P(RevokeModelTest, NoInterleavingBreaksARuleAndEachCanComeToRest) {
  const Protocol protocol(GetParam().environment);
  Explorer<Protocol> explorer(protocol, kStatesMax);
  const auto result = explorer.Run(protocol.Start());
  std::printf("%s: %lu states, %lu steps, %u deep, %lu at rest\n", GetParam().name, result.states,
              result.steps, result.depth, result.goals);
  ASSERT_TRUE(result.path.empty()) << Story(protocol, result.path);
  ASSERT_TRUE(result.exhausted) << "more than " << kStatesMax << " states";
  EXPECT_GE(result.states, GetParam().states_min);
  EXPECT_GT(result.goals, 0u);
  const std::optional<std::vector<Action>> stuck = explorer.FindStuck();
  EXPECT_FALSE(stuck.has_value()) << Story(protocol, *stuck);
}

INSTANTIATE_TEST_SUITE_P(All, RevokeModelTest, testing::ValuesIn(GoodRuns()), NameOf<Run>);

class RevokeModelFlawTest : public testing::TestWithParam<FlawedRun> {};

TEST_P(RevokeModelFlawTest, IsFoundOutWithAStory) {
  const Protocol protocol(GetParam().environment);
  Explorer<Protocol> explorer(protocol, kStatesMax);
  const auto result = explorer.Run(protocol.Start());
  ASSERT_FALSE(result.path.empty()) << result.states << " states show nothing";
  std::printf("%s: found after %lu states, in %zu steps\n%s", GetParam().name, result.states,
              result.path.size(), Story(protocol, result.path).c_str());
  State end = protocol.Start();
  for (const Action& action : result.path) end = After(protocol, end, action);
  EXPECT_STREQ(protocol.FaultOf(end), Words(GetParam().fault));
}

INSTANTIATE_TEST_SUITE_P(All, RevokeModelFlawTest, testing::ValuesIn(FlawedRuns()),
                         NameOf<FlawedRun>);

// What the explorer is trusted with, on a model that can be counted by hand: a number that goes up
// by one or two, is wrong at seven, and rests at even numbers.
class Counter {
 public:
  struct State {
    uint64_t value = 0;
  };
  using Action = uint8_t;
  struct Step {
    Action action;
    State next;
  };

  explicit Counter(uint64_t end, uint64_t wrong = UINT64_MAX) : end_(end), wrong_(wrong) {}

  void Expand(const State& state, std::vector<Step>& steps) const {
    steps.clear();
    for (const Action by : {Action{1}, Action{2}}) {
      if (state.value + by <= end_) steps.push_back({by, {state.value + by}});
    }
  }
  const char* FaultOf(const State& state) const {
    return state.value == wrong_ ? "wrong" : nullptr;
  }
  bool IsGoal(const State& state) const { return state.value % 2 == 0; }
  bool IsKind(const State& /*state*/, Action /*action*/) const { return true; }

 private:
  const uint64_t end_;
  const uint64_t wrong_;
};

TEST(ExplorerTest, CountsEachStateOnce) {
  const Counter counter(100'000);
  Explorer<Counter> explorer(counter, 200'000);
  const auto result = explorer.Run({});
  EXPECT_TRUE(result.exhausted);
  EXPECT_EQ(result.states, 100'001u);
  EXPECT_EQ(result.steps, 199'999u);
  EXPECT_EQ(result.depth, 50'000u);
  EXPECT_EQ(result.goals, 50'001u);
  EXPECT_FALSE(explorer.FindStuck().has_value());
}

TEST(ExplorerTest, FindsAShortestPathToAFault) {
  const Counter counter(100, 7);
  Explorer<Counter> explorer(counter, 200);
  const auto result = explorer.Run({});
  EXPECT_FALSE(result.exhausted);
  ASSERT_EQ(result.path.size(), 4u);
  EXPECT_EQ(result.path[0] + result.path[1] + result.path[2] + result.path[3], 7);
}

TEST(ExplorerTest, FindsAStateWithoutAWayToRest) {
  const Counter counter(7);
  Explorer<Counter> explorer(counter, 200);
  EXPECT_TRUE(explorer.Run({}).exhausted);
  const std::optional<std::vector<uint8_t>> stuck = explorer.FindStuck();
  ASSERT_TRUE(stuck.has_value());
  EXPECT_EQ(stuck->size(), 4u);  // To seven, whence nothing goes on.
}

TEST(ExplorerTest, GivesUpWhereThereIsTooMuch) {
  const Counter counter(100'000);
  Explorer<Counter> explorer(counter, 1000);
  const auto result = explorer.Run({});
  EXPECT_FALSE(result.exhausted);
  EXPECT_LE(result.states, 1002u);
}

}  // namespace
}  // namespace devmem::revoke_model
