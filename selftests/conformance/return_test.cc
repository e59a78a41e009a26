// SPDX-License-Identifier: Apache-2.0
//
// Conformance: tokens go back in any order and number; what names nothing is refused, counted, and
// frees nothing of anybody's.

#include <algorithm>
#include <random>

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

class ReturnTest : public ConformanceTest {
 protected:
  // Segments of their own, so that there are many frags, of which neighbours seldom touch.
  static constexpr uint64_t kBytes = 200'000;
  std::vector<Frag> TakeMany(Link& link, uint64_t seed = 1) {
    link.peer.SetNoDelay();
    std::vector<Frag> frags;
    std::array<Frag, 64> some;
    StreamSender sender(link.peer, {.seed = seed, .bytes = kBytes, .write_bytes = {1000, 3000}});
    for (uint64_t taken = 0; taken < kBytes;) {
      sender.Push(4000);
      const absl::StatusOr<size_t> count = link.ours->Recv(some, Soon());
      EXPECT_TRUE(count.ok()) << count.status();
      if (!count.ok()) break;
      taken += Check(std::span(some).first(*count), seed, taken);
      frags.insert(frags.end(), some.begin(), some.begin() + static_cast<ptrdiff_t>(*count));
    }
    return frags;
  }
  // Expects that a return is refused in whole, and counted.
  void ExpectRefused(Connection& connection, std::span<const Frag> frags) {
    const uint64_t refused = Statistic("tokens_refused");
    const uint64_t returned = Statistic("tokens_returned");
    ReleaseSomeRefused(connection, frags);
    ExpectCounted(refused + frags.size());
    EXPECT_EQ(Statistic("tokens_returned"), returned);
  }
  // Returns frags of which some name nothing, and expects to be told where that is promised.
  void ReleaseSomeRefused(Connection& connection, std::span<const Frag> frags) {
    const absl::Status status = connection.Release(frags);
    if (Expects(expectations().refusals_are_told)) {
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    }
  }
  void ExpectCounted(uint64_t refused) {
    EXPECT_TRUE(AwaitThat([&] { return Statistic("tokens_refused") >= refused; }));
    EXPECT_EQ(Statistic("tokens_refused"), refused);
  }
};
DEVMEM_CONFORMANCE_SUITE(ReturnTest);

TEST_P(ReturnTest, InAnyOrderOneByOne) {
  Link link = Open();
  std::vector<Frag> frags = TakeMany(link);
  std::shuffle(frags.begin(), frags.end(), std::mt19937_64(42));
  for (const Frag& frag : frags) Release(*link.ours, std::span(&frag, 1));
  ExpectIdle(*binding_);
}

TEST_P(ReturnTest, BackwardsInRangesOfDifferentLengths) {
  Link link = Open();
  std::vector<Frag> frags = TakeMany(link);
  std::reverse(frags.begin(), frags.end());
  std::span<const Frag> left = frags;
  for (size_t length = 1; !left.empty(); length = length * 2 % 61) {
    const size_t range = std::min(length, left.size());
    Release(*link.ours, left.first(range));
    left = left.subspan(range);
  }
  ExpectIdle(*binding_);
}

TEST_P(ReturnTest, MoreTokensInOneCallThanTheKernelTakesAtOnce) {
  Link link = Open();
  std::vector<Frag> all;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const std::vector<Frag> some = TakeMany(link, seed);
    all.insert(all.end(), some.begin(), some.end());
  }
  // Every other one first, so that no two neighbours go back together.
  std::stable_partition(all.begin(), all.end(), [odd = false](const Frag&) mutable {
    odd = !odd;
    return odd;
  });
  Release(*link.ours, all);
  ExpectIdle(*binding_);
}

TEST_P(ReturnTest, ThroughAnotherConnectionOfTheSession) {
  const std::unique_ptr<Listener> listener = Listen();
  Link one = Open(*listener);
  Link other = Open(*listener);
  std::vector<Frag> frags = SendAndTake(one, {.seed = 1, .bytes = 50'000});
  const std::vector<Frag> others = SendAndTake(other, {.seed = 2, .bytes = 50'000});
  frags.insert(frags.begin() + 1, others.begin(), others.end());
  Release(*other.ours, frags);
  ExpectIdle(*binding_);
}

TEST_P(ReturnTest, ASecondReturnIsRefusedAndFreesNothing) {
  Link link = Open();
  const std::vector<Frag> first = SendAndTake(link, {.seed = 1, .bytes = 50'000});
  Release(*link.ours, first);
  const std::vector<Frag> second = SendAndTake(link, {.seed = 2, .bytes = 50'000});
  ExpectRefused(*link.ours, first);
  // What the second stream holds is still held, while a third arrives.
  Transfer(link, {.seed = 3, .bytes = options().Scaled(4 << 20)});
  EXPECT_EQ(Check(second, 2, 0), 50'000u);
  Release(*link.ours, second);
}

TEST_P(ReturnTest, WhatNamesNothingIsRefusedAndTheOthersAreReleased) {
  Link link = Open();
  const std::vector<Frag> real = SendAndTake(link, {.seed = 1, .bytes = 20'000});
  std::vector<Frag> mixed = real;
  for (const Token made_up : {Token{0}, Token{1} << 40, ~Token{0}, real.back().token + 100'000}) {
    Frag frag = real.front();
    frag.token = made_up;
    mixed.insert(mixed.begin() + 1, frag);
  }
  const uint64_t refused = Statistic("tokens_refused");
  ReleaseSomeRefused(*link.ours, mixed);
  ExpectCounted(refused + 4);
  ExpectIdle(*binding_);
}

TEST_P(ReturnTest, ATokenTwiceInOneReturnIsRefusedOnce) {
  Link link = Open();
  std::vector<Frag> frags = SendAndTake(link, {.seed = 1, .bytes = 20'000});
  const size_t real = frags.size();
  frags.insert(frags.end(), frags.begin(), frags.begin() + static_cast<ptrdiff_t>(real));
  const uint64_t refused = Statistic("tokens_refused");
  ReleaseSomeRefused(*link.ours, frags);
  ExpectCounted(refused + real);
  ExpectIdle(*binding_);
}

TEST_P(ReturnTest, TokensOfABindingThatHasEndedAreRefused) {
  Link link = Open();
  const std::vector<Frag> stale = SendAndTake(link, {.seed = 1, .bytes = 20'000});
  ASSERT_TRUE(session_->Unbind(*binding_).ok());
  binding_ = Bind(*region_, options().queues[0]);
  Link anew = Open();
  const std::vector<Frag> held = SendAndTake(anew, {.seed = 2, .bytes = 20'000});
  ExpectRefused(*anew.ours, stale);
  EXPECT_EQ(Check(held, 2, 0), 20'000u);
  Release(*anew.ours, held);
}

TEST_P(ReturnTest, AReturnBehindAFenceHappensWhenTheFenceSignals) {
  Link link = Open();
  const std::vector<Frag> frags = SendAndTake(link, {.seed = 1, .bytes = 20'000});
  const uint64_t returned = Statistic("tokens_returned");
  bool signaled = false;
  const absl::Status later =
      link.ours->Release(frags, Fence::FromCallback([&signaled] { return signaled; }));
  ASSERT_TRUE(later.ok()) << later;
  Transfer(link, {.seed = 2, .bytes = 1000});
  EXPECT_EQ(Check(frags, 1, 0), 20'000u);
  EXPECT_TRUE(absl::IsFailedPrecondition(session_->Unbind(*binding_)))
      << "a device may still read there";
  signaled = true;
  EXPECT_TRUE(AwaitThat([&] { return Statistic("tokens_returned") >= returned + frags.size(); }));
  ExpectIdle(*binding_);
}

}  // namespace
}  // namespace devmem::testing
