// SPDX-License-Identifier: Apache-2.0
//
// Conformance: an owner who stops to receive makes the peer's window close, and opens it again.

#include <poll.h>

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

class WindowTest : public ConformanceTest {
 protected:
  // Sends until the peer's socket has taken nothing for a while, although the session is driven.
  void PushUntilItWaits(StreamSender& sender) {
    Nanos quiet_at = session_->Now() + kQuiet;
    while (session_->Now() < quiet_at) {
      if (sender.Push() > 0) quiet_at = session_->Now() + kQuiet;
      session_->Drive();
      ::poll(nullptr, 0, 1);
    }
  }
  void TakeRest(Link& link, StreamSender& sender, uint64_t seed, uint64_t bytes) {
    std::array<Frag, 64> frags;
    for (uint64_t done = 0; done < bytes;) {
      const absl::StatusOr<size_t> count = RecvWhileSending(sender, *link.ours, frags);
      ASSERT_TRUE(count.ok()) << count.status() << " after " << done;
      done += Check(std::span(frags).first(*count), seed, done);
      Release(*link.ours, std::span(frags).first(*count));
      ASSERT_FALSE(HasFailure());
    }
  }
};
DEVMEM_CONFORMANCE_SUITE(WindowTest);

TEST_P(WindowTest, ClosesWhileTheOwnerDoesNotReceiveAndOpensAgain) {
  Link link = Open();
  const uint64_t bytes = options().region_bytes + (32 << 20);
  StreamSender sender(link.peer, {.seed = 1, .bytes = bytes});
  PushUntilItWaits(sender);
  EXPECT_FALSE(sender.done()) << "nothing held the peer back";
  const uint64_t waiting = sender.sent_bytes();
  TakeRest(link, sender, 1, waiting + options().Scaled(4 << 20));
}

TEST_P(WindowTest, OpensAgainAndAgain) {
  Link link = Open();
  const uint64_t bytes = 3 * (options().region_bytes + (32 << 20));
  StreamSender sender(link.peer, {.seed = 1, .bytes = bytes});
  uint64_t taken = 0;
  std::array<Frag, 64> frags;
  for (int round = 0; round < 3; ++round) {
    PushUntilItWaits(sender);
    const uint64_t goal = taken + (sender.sent_bytes() - taken) / 2;
    while (taken < goal) {
      const absl::StatusOr<size_t> count = link.ours->Recv(frags, Soon());
      ASSERT_TRUE(count.ok()) << count.status();
      taken += Check(std::span(frags).first(*count), 1, taken);
      Release(*link.ours, std::span(frags).first(*count));
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_FALSE(sender.done());
}

TEST_P(WindowTest, OfOneConnectionClosesWithoutTouchingAnother) {
  const std::unique_ptr<Listener> listener = Listen();
  Link stopped = Open(*listener);
  Link other = Open(*listener);
  // No more than fits: memory that is full is another matter.
  StreamSender sender(stopped.peer, {.seed = 1, .bytes = 1 << 20});
  sender.Push(1 << 20);
  Transfer(other, {.seed = 2, .bytes = options().Scaled(4 << 20)});
  TakeRest(stopped, sender, 1, 1 << 20);
}

}  // namespace
}  // namespace devmem::testing
