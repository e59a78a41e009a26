// SPDX-License-Identifier: Apache-2.0
//
// Conformance: bindings come and go, with connections and held frags on them.

#include <algorithm>

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

class BindingTest : public ConformanceTest {
 protected:
  // Few enough for any socket to take them while nobody receives. The kernel counts a page for each
  // segment of device memory, so its buffers hold a third of what they hold otherwise.
  static constexpr uint64_t kUnread = 20'000;
  bool NeedsTwoQueues() const { return options().queues.size() >= 2; }
};
DEVMEM_CONFORMANCE_SUITE(BindingTest);

TEST_P(BindingTest, UnbindInFlightResetsThePeerAndTakesEveryTokenBack) {
  Link link = Open();
  const std::vector<Frag> held = SendAndTake(link, {.seed = 1, .bytes = 100'000});
  PeerSends(link.peer, {.seed = 1, .bytes = kUnread});
  const absl::Status unbound = session_->Unbind(*binding_);
  ASSERT_TRUE(unbound.ok()) << unbound;
  ExpectPeerReset(link.peer);
  ExpectBroken(*link.ours);
  EXPECT_EQ(Statistic("tokens_issued"), Statistic("tokens_returned"));
  EXPECT_TRUE(absl::IsInvalidArgument(link.ours->Release(held)));
  EXPECT_TRUE(absl::IsNotFound(session_->account(*binding_).status()));
  EXPECT_TRUE(absl::IsNotFound(session_->Unbind(*binding_)));
  EXPECT_TRUE(absl::IsNotFound(session_->BindingStatus(*binding_)));
}

TEST_P(BindingTest, UnbindBeforeTheLastByteWasTakenDoesNotLookLikeTheEnd) {
  Link link = Open();
  PeerSends(link.peer, {.seed = 1, .bytes = kUnread});
  link.peer.ShutDownSending();
  std::array<Frag, 1> first;
  ASSERT_EQ(link.ours->Recv(first, Soon()).value_or(0), 1u);
  ASSERT_TRUE(AwaitThat([&] { return link.peer.UnacknowledgedBytes() == 0; }));
  const absl::Status unbound = session_->Unbind(*binding_);
  ASSERT_TRUE(unbound.ok()) << unbound;
  ExpectBroken(*link.ours);
}

TEST_P(BindingTest, TheSameQueueIsBoundAgainAndAgain) {
  const uint64_t rounds = options().Scaled(20);
  for (uint64_t round = 1; round <= rounds; ++round) {
    {
      Link link = Open();
      Transfer(link, {.seed = round, .bytes = 20'000});
      link.peer.Close();
      ExpectEnd(*link.ours);
    }
    ExpectIdle(*binding_);
    ASSERT_TRUE(session_->Unbind(*binding_).ok());
    binding_ = Bind(*region_, options().queues[0]);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

TEST_P(BindingTest, ADifferentRegionTakesOverTheQueue) {
  const std::unique_ptr<Region> other = NewRegion();
  ASSERT_TRUE(session_->Unbind(*binding_).ok());
  binding_ = Bind(*other, options().queues[0]);
  Link link = Open();
  const std::vector<Frag> frags = SendAndTake(link, {.seed = 1, .bytes = 50'000});
  for (const Frag& frag : frags) EXPECT_NE(frag.region_id, region_->id());
  Release(*link.ours, frags);
  ExpectIdle(*binding_);
  ASSERT_TRUE(session_->Unbind(*binding_).ok());
}

TEST_P(BindingTest, EachOfTwoBindingsGetsItsOwnConnectionsBytes) {
  if (!NeedsTwoQueues()) GTEST_SKIP() << "this run was given one queue";
  const std::unique_ptr<Region> other = NewRegion();
  const BindingId second = Bind(*other, options().queues[1]);
  const std::unique_ptr<Listener> first_listener = Listen();
  const std::unique_ptr<Listener> second_listener = Listen(second);
  {
    Link one = Open(*first_listener);
    Link two = Open(*second_listener);
    const std::vector<Frag> ones = SendAndTake(one, {.seed = 1, .bytes = 300'000});
    const std::vector<Frag> twos = SendAndTake(two, {.seed = 2, .bytes = 300'000});
    for (const Frag& frag : ones) EXPECT_NE(frag.region_id, other->id());
    for (const Frag& frag : twos) EXPECT_NE(frag.region_id, region_->id());
    EXPECT_EQ(one.ours->info().queue, options().queues[0]);
    EXPECT_EQ(two.ours->info().queue, options().queues[1]);
    Transfer(one, {.seed = 3, .bytes = options().Scaled(2 << 20)});
    Transfer(two, {.seed = 4, .bytes = options().Scaled(2 << 20)});
    EXPECT_EQ(Check(ones, 1, 0) + Check(twos, 2, 0), 600'000u);
    // Whichever connection they go back through.
    Release(*two.ours, ones);
    Release(*one.ours, twos);
  }
  ExpectIdle(second);
  EXPECT_TRUE(session_->Unbind(second).ok());
}

TEST_P(BindingTest, EndingOneOfTwoLeavesTheOtherReceiving) {
  if (!NeedsTwoQueues()) GTEST_SKIP() << "this run was given one queue";
  const std::unique_ptr<Region> other = NewRegion();
  const BindingId second = Bind(*other, options().queues[1]);
  Link link = Open();
  const std::vector<Frag> held = SendAndTake(link, {.seed = 1, .bytes = 100'000});
  ASSERT_TRUE(session_->Unbind(second).ok());
  Transfer(link, {.seed = 2, .bytes = 1 << 20});
  EXPECT_EQ(Check(held, 1, 0), 100'000u);
  Release(*link.ours, held);
}

TEST_P(BindingTest, AQueueHasOneOwner) {
  const std::unique_ptr<Region> other = NewRegion();
  const auto twice = session_->Bind(*other, {.queues = {options().queues[0]}});
  EXPECT_TRUE(absl::IsFailedPrecondition(twice.status())) << twice.status();
  Link link = Open();
  Transfer(link, {.seed = 1, .bytes = 10'000});
}

TEST_P(BindingTest, ABoundPartOfARegionGetsAllBytesAndTheRestNone) {
  ASSERT_TRUE(session_->Unbind(*binding_).ok());
  const std::unique_ptr<Region> large = NewRegion(2 * options().region_bytes);
  const uint64_t begin = options().region_bytes;
  const auto part = session_->Bind(
      *large, {.queues = {options().queues[0]}, .offset = begin, .bytes = options().region_bytes});
  if (absl::IsFailedPrecondition(part.status()) && options().provider == "dma-heap") {
    GTEST_SKIP() << "the kernel binds whole dma-bufs, and a heap's cannot be cut";
  }
  ASSERT_TRUE(part.ok()) << part.status();
  binding_ = *part;
  Link link = Open();
  const std::vector<Frag> frags = SendAndTake(link, {.seed = 1, .bytes = 1 << 20});
  for (const Frag& frag : frags) {
    if (frag.region_id == large->id()) {
      EXPECT_GE(frag.offset, begin);
    }
  }
  Release(*link.ours, frags);
  ExpectIdle(*binding_);
  const RegionView& view = views_.at(large->id());
  const auto untouched = view.bytes().first(begin);
  EXPECT_TRUE(std::all_of(untouched.begin(), untouched.end(), [](uint8_t b) { return b == 0; }));
  link = Link();
  EXPECT_TRUE(session_->Unbind(*binding_).ok());
}

TEST_P(BindingTest, ABindingOutlivesItsRegionsObject) {
  Link link = Open();
  region_.reset();
  Transfer(link, {.seed = 1, .bytes = options().Scaled(2 << 20)});
}

TEST_P(BindingTest, ARegionThatIsRemovedDrainsWhenEverythingWasGivenBack) {
  Link link = Open();
  Transfer(link, {.seed = 1, .bytes = 100'000});
  link.peer.Close();
  ExpectEnd(*link.ours);
  EXPECT_TRUE(session_->BindingStatus(*binding_).ok());
  const absl::Status removed = session_->Remove(*region_, "the test removes it", Soon());
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(absl::IsAborted(session_->BindingStatus(*binding_)));
}

TEST_P(BindingTest, ARegionThatIsRevokedEndsItsConnections) {
  Link link = Open();
  const std::vector<Frag> held = SendAndTake(link, {.seed = 1, .bytes = 100'000});
  region_->Revoke("the test revokes it");
  EXPECT_TRUE(absl::IsAborted(session_->BindingStatus(*binding_)));
  std::array<Frag, 4> frags;
  EXPECT_TRUE(absl::IsAborted(link.ours->Recv(frags, Soon()).status()));
  ExpectPeerReset(link.peer);
  EXPECT_TRUE(absl::IsInvalidArgument(link.ours->Release(held)));
}

TEST_P(BindingTest, ASessionThatEndsGivesTheQueueToTheNext) {
  for (uint64_t round = 1; round <= 3; ++round) {
    {
      Link link = Open();
      Transfer(link, {.seed = round, .bytes = 50'000});
    }
    ExpectIdle(*binding_);
    CloseSession();
    OpenSession();
    ASSERT_FALSE(HasFatalFailure());
    BindFirst();
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

}  // namespace
}  // namespace devmem::testing
