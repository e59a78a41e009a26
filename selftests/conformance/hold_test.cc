// SPDX-License-Identifier: Apache-2.0
//
// Conformance: an owner keeps frags while more arrives, until the peer has to wait; and frags that
// outlive what they came by.

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

class HoldTest : public ConformanceTest {
 protected:
  // Sends the stream and keeps all frags until nothing more comes. The sender then waits.
  std::vector<Frag> HoldUntilNothingComes(Link& link, StreamSender& sender, uint64_t seed) {
    std::vector<Frag> held;
    std::array<Frag, 64> frags;
    uint64_t bytes = 0;
    while (true) {
      const bool pushed = sender.Push() > 0;
      const absl::StatusOr<size_t> count =
          link.ours->Recv(frags, pushed ? 0 : session_->Now() + kQuiet);
      if (absl::IsDeadlineExceeded(count.status()) && pushed) continue;
      if (!count.ok()) {
        EXPECT_TRUE(absl::IsDeadlineExceeded(count.status())) << count.status();
        return held;
      }
      bytes += Check(std::span(frags).first(*count), seed, bytes);
      held.insert(held.end(), frags.begin(), frags.begin() + static_cast<ptrdiff_t>(*count));
      if (HasFailure()) return held;
    }
  }

  // Frags that are held at once never share a byte.
  static void ExpectApart(const std::vector<Frag>& frags) {
    std::map<std::pair<uint32_t, uint64_t>, uint64_t> ends;  // By region and offset.
    for (const Frag& frag : frags) {
      ends[{frag.region_id, frag.offset}] = frag.offset + frag.length_bytes;
    }
    EXPECT_EQ(ends.size(), frags.size());
    for (auto at = ends.begin(); at != ends.end() && std::next(at) != ends.end(); ++at) {
      const auto& next = std::next(at)->first;
      if (next.first == at->first.first) {
        EXPECT_LE(at->second, next.second);
      }
    }
  }
};
DEVMEM_CONFORMANCE_SUITE(HoldTest);

TEST_P(HoldTest, HeldFragsKeepTheirBytesWhileMoreArrives) {
  Link link = Open();
  const std::vector<Frag> held = SendAndTake(link, {.seed = 1, .bytes = 500'000});
  ExpectApart(held);
  for (uint64_t seed = 2; seed < 6; ++seed) {
    const std::vector<Frag> more = SendAndTake(link, {.seed = seed, .bytes = 500'000});
    Release(*link.ours, more);
  }
  EXPECT_EQ(Check(held, 1, 0), 500'000u);
  Release(*link.ours, held);
}

TEST_P(HoldTest, AnOwnerWhoReturnsNothingMakesThePeerWaitAndLosesNothing) {
  Link link = Open();
  // More than the region and all socket buffers on the way.
  const uint64_t bytes = options().region_bytes + (32 << 20);
  StreamSender sender(link.peer, {.seed = 1, .bytes = bytes});
  std::vector<Frag> held = HoldUntilNothingComes(link, sender, 1);
  ASSERT_FALSE(HasFailure());
  EXPECT_FALSE(sender.done()) << "nothing held the peer back";
  ExpectApart(held);
  uint64_t received_bytes = Check(held, 1, 0);
  EXPECT_GT(received_bytes, 0u);
  Release(*link.ours, held);
  // A few more mebibytes show that it goes on, without a gap.
  const uint64_t goal = received_bytes + options().Scaled(8 << 20);
  std::array<Frag, 64> frags;
  while (received_bytes < goal) {
    const absl::StatusOr<size_t> count = RecvWhileSending(sender, *link.ours, frags);
    ASSERT_TRUE(count.ok()) << count.status();
    received_bytes += Check(std::span(frags).first(*count), 1, received_bytes);
    Release(*link.ours, std::span(frags).first(*count));
    ASSERT_FALSE(HasFailure());
  }
}

TEST_P(HoldTest, OneHoldingConnectionDoesNotTakeAnothersBytes) {
  const std::unique_ptr<Listener> listener = Listen();
  Link holder = Open(*listener);
  Link other = Open(*listener);
  const std::vector<Frag> held = SendAndTake(holder, {.seed = 1, .bytes = 200'000});
  Transfer(other, {.seed = 2, .bytes = options().Scaled(2 << 20)});
  EXPECT_EQ(Check(held, 1, 0), 200'000u);
  Release(*holder.ours, held);
}

TEST_P(HoldTest, FragsOutliveTheirConnectionAndItsListener) {
  const std::unique_ptr<Listener> lasting = Listen();
  std::unique_ptr<Listener> listener = Listen();
  Link link = Open(*listener);
  Link lasting_link = Open(*lasting);
  const std::vector<Frag> held = SendAndTake(link, {.seed = 1, .bytes = 300'000});
  link.peer.ShutDownSending();
  ExpectEnd(*link.ours);
  link.ours.reset();
  listener.reset();
  Transfer(lasting_link, {.seed = 2, .bytes = options().Scaled(2 << 20)});
  EXPECT_EQ(Check(held, 1, 0), 300'000u) << "what arrived later was written over held bytes";
  Release(*lasting_link.ours, held);
}

TEST_P(HoldTest, FragsOutliveAReset) {
  const std::unique_ptr<Listener> listener = Listen();
  Link link = Open(*listener);
  const std::vector<Frag> held = SendAndTake(link, {.seed = 1, .bytes = 100'000});
  link.peer.Reset();
  ExpectBroken(*link.ours);
  EXPECT_EQ(Check(held, 1, 0), 100'000u);
  Release(*link.ours, held);
}

}  // namespace
}  // namespace devmem::testing
