// SPDX-License-Identifier: Apache-2.0
//
// Conformance: what a peer sends lands in the bound region, every byte of it, named by frags.

#include <poll.h>

#include <algorithm>
#include <set>

#include "selftests/conformance/fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

class ReceiveTest : public ConformanceTest {
 protected:
  // Sends one stream over a connection of its own, to its end.
  void SendOne(Listener& listener, const Stream& stream) {
    SCOPED_TRACE(stream.bytes);
    Link link = Open(listener);
    Transfer(link, stream);
    link.peer.ShutDownSending();
    ExpectEnd(*link.ours);
    EXPECT_EQ(link.ours->info().payload_bytes_received, stream.bytes);
  }
};
DEVMEM_CONFORMANCE_SUITE(ReceiveTest);

TEST_P(ReceiveTest, StreamsOfOneByteToAFewPagesLandByteForByte) {
  const std::unique_ptr<Listener> listener = Listen();
  uint64_t seed = 1;
  for (const uint32_t bytes :
       {1u, 2u, 7u, 8u, 1447u, 1448u, 1449u, 4095u, 4096u, 4097u, 9000u, 16384u}) {
    SendOne(*listener, {.seed = ++seed, .bytes = bytes});
  }
}

TEST_P(ReceiveTest, StreamsOfAHundredKilobytesToSixteenMebibytesLandByteForByte) {
  const std::unique_ptr<Listener> listener = Listen();
  uint64_t seed = 20;
  for (const uint64_t bytes :
       {uint64_t{100'000}, uint64_t{1} << 20, options().Scaled(16 << 20) + 1}) {
    SendOne(*listener, {.seed = ++seed, .bytes = bytes});
  }
}

TEST_P(ReceiveTest, PayloadPassesThroughHostMemoryOnlyWhereTheBackendSaysSo) {
  Link link = Open();
  const uint64_t bytes = options().Scaled(4 << 20);
  const uint64_t bounced_before = Statistic("payload_bytes_bounced");
  Transfer(link, {.seed = 3, .bytes = bytes});
  const uint64_t bounced = Statistic("payload_bytes_bounced") - bounced_before;
  const bool direct = Expects(expectations().direct_placement);
  if (session_->info().steering == "auto") {
    GTEST_SKIP() << "a TAP steered by the kernel bounces what comes before the first answer; "
                    "needs the right to load programs";
  }
  EXPECT_EQ(bounced, direct ? 0 : bytes);
}

TEST_P(ReceiveTest, ACallerWithRoomForOneFragGetsTheStreamFragByFrag) {
  Link link = Open();
  constexpr uint64_t kBytes = 300'000;
  StreamSender sender(link.peer, {.seed = 4, .bytes = kBytes});
  std::array<Frag, 1> frag;
  for (uint64_t done = 0; done < kBytes;) {
    const absl::StatusOr<size_t> count = RecvWhileSending(sender, *link.ours, frag);
    ASSERT_TRUE(count.ok()) << count.status();
    ASSERT_EQ(*count, 1u);
    done += Check(frag, 4, done);
    Release(*link.ours, frag);
  }
}

TEST_P(ReceiveTest, NoTokenIsGivenOutTwice) {
  Link link = Open();
  std::set<Token> seen;
  for (uint64_t round = 0; round < options().Scaled(400); ++round) {
    const std::vector<Frag> frags = SendAndTake(link, {.seed = round, .bytes = 5000});
    for (const Frag& frag : frags) EXPECT_TRUE(seen.insert(frag.token).second) << frag.token;
    Release(*link.ours, frags);
    ASSERT_FALSE(HasFailure());
  }
}

TEST_P(ReceiveTest, ReadAndRecvTakeTurnsOnOneStream) {
  Link link = Open();
  constexpr uint64_t kBytes = 120'000;
  StreamSender sender(link.peer, {.seed = 5, .bytes = kBytes});
  std::array<uint8_t, 50> room;
  std::array<Frag, 4> frags;
  for (uint64_t done = 0; done < kBytes;) {
    sender.Push(3000);
    const absl::StatusOr<size_t> got = link.ours->Read(room, Soon());
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_EQ(FindMismatch(5, done, std::span(room).first(*got)), std::nullopt) << done;
    done += *got;
    if (done == kBytes) break;
    sender.Push(3000);
    const absl::StatusOr<size_t> count = link.ours->Recv(frags, Soon());
    ASSERT_TRUE(count.ok()) << count.status();
    done += Check(std::span(frags).first(*count), 5, done);
    Release(*link.ours, std::span(frags).first(*count));
  }
  link.peer.ShutDownSending();
  EXPECT_EQ(link.ours->Read(room, Soon()).value_or(1), 0u);
}

TEST_P(ReceiveTest, ReadTakesAWholeBoundStreamToHostMemory) {
  Link link = Open();
  const uint64_t bytes = options().Scaled(1 << 20);
  StreamSender sender(link.peer, {.seed = 6, .bytes = bytes});
  std::vector<uint8_t> room(10'000);
  for (uint64_t done = 0; done < bytes;) {
    const absl::StatusOr<size_t> got =
        AskWhileSending(sender, [&](Nanos deadline) { return link.ours->Read(room, deadline); });
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_EQ(FindMismatch(6, done, std::span(room).first(*got)), std::nullopt) << done;
    done += *got;
  }
}

TEST_P(ReceiveTest, TheDescriptorTellsOfAConnectionAndOfItsBytes) {
  const std::unique_ptr<Listener> listener = Listen();
  // What Drive() has seen is no news any more, so it is asked for between Drive() and the wait.
  const auto await = [&](const auto& ask) {
    session_->Drive();
    auto answer = ask();
    while (absl::IsDeadlineExceeded(answer.status())) {
      pollfd news{session_->fd(), POLLIN, 0};
      EXPECT_EQ(::poll(&news, 1, kPatience / kMillisecond), 1) << "the descriptor does not tell";
      if (HasFailure()) break;
      session_->Drive();
      answer = ask();
    }
    return answer;
  };
  Peer peer = world_->Connect(listener->port());
  const auto accepted = await([&] { return listener->Accept(0); });
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  ASSERT_TRUE(Await(peer, POLLOUT));
  PeerSends(peer, {.seed = 7, .bytes = 100});
  std::array<Frag, 4> frags;
  const auto count = await([&] { return (*accepted)->Recv(frags, 0); });
  ASSERT_TRUE(count.ok()) << count.status();
  Release(**accepted, std::span(frags).first(*count));
}

}  // namespace
}  // namespace devmem::testing
