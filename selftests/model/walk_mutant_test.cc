// SPDX-License-Identifier: Apache-2.0
//
// The proof of the checker: each lie that stands where a bug of the engine would show is noticed
// within a few walks, and what noticed it is made short. A model that misses one proves nothing
// about the engine.

#include <gtest/gtest.h>

#include <string>

#include "selftests/model/walk_shrink.h"
#include "selftests/model/walk_world.h"

namespace devmem::testing {
namespace {

constexpr WalkProfile kProfile = {.name = "Mutants",
                                  .op_count = 300,
                                  .loss = 30,
                                  .duplicate = 20,
                                  .reorder = 200,
                                  .tick_ms_max = 400,
                                  .read_percent = 70};

std::string KindOf(const std::string& fault) { return fault.substr(0, fault.find(':')); }

struct Lie {
  WalkMutant mutant;
  const char* noticed_as;  // Any of these words.
};

class WalkMutantTest : public ::testing::TestWithParam<Lie> {};

INSTANTIATE_TEST_SUITE_P(Lies, WalkMutantTest,
                         ::testing::Values(Lie{WalkMutant::kShiftPayload, "stream lost edge stall"},
                                           Lie{WalkMutant::kSwapStreams, "stream"},
                                           Lie{WalkMutant::kRaiseAck, "lost stream reset"},
                                           Lie{WalkMutant::kLoseAcked, "lost"},
                                           Lie{WalkMutant::kLoseSacked, "sack"},
                                           Lie{WalkMutant::kLeakPiece, "account"},
                                           Lie{WalkMutant::kMoveEdgeLeft, "edge account"},
                                           Lie{WalkMutant::kStopTimer, "timer"},
                                           Lie{WalkMutant::kNoTimers, "stall"},
                                           Lie{WalkMutant::kForgedReset, "reset"}),
                         [](const auto& lie) { return std::string(ToString(lie.param.mutant)); });

TEST_P(WalkMutantTest, IsNoticedAndMadeShort) {
  const WalkOptions options{.audit_always = true, .mutant = GetParam().mutant};
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const WalkScript script = MakeScript(kProfile, seed);
    ASSERT_EQ(RunWalk(script).fault, "") << "seed " << seed << " fails without a lie";
    const WalkOutcome outcome = RunWalk(script, options);
    if (outcome.fault.empty()) continue;
    const std::string kind = KindOf(outcome.fault);
    EXPECT_NE(std::string(GetParam().noticed_as).find(kind), std::string::npos) << outcome.fault;
    const WalkScript small = Shrink(script, [&](const WalkScript& candidate) {
      return KindOf(RunWalk(candidate, options).fault) == kind;
    });
    EXPECT_LE(small.ops.size(), 20u) << ToText(small);
    EXPECT_EQ(KindOf(RunWalk(small, options).fault), kind);
    // The lie alone is what was found.
    EXPECT_EQ(RunWalk(small, {.audit_always = true}).fault, "") << ToText(small);
    return;
  }
  FAIL() << "nobody noticed";
}

}  // namespace
}  // namespace devmem::testing
