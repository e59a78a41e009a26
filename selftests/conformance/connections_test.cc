// SPDX-License-Identifier: Apache-2.0
//
// Conformance: many connections, one after another and at once, and connections that we open.

#include <poll.h>

#include <algorithm>

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

class ConnectionsTest : public ConformanceTest {};
DEVMEM_CONFORMANCE_SUITE(ConnectionsTest);

TEST_P(ConnectionsTest, AHundredOneAfterAnotherEachGetItsOwnStream) {
  const std::unique_ptr<Listener> listener = Listen();
  const uint64_t count = options().Scaled(100);
  for (uint64_t seed = 1; seed <= count; ++seed) {
    Link link = Open(*listener);
    Transfer(link, {.seed = seed, .bytes = 3000 + seed * 17});
    link.peer.Close();
    ExpectEnd(*link.ours);
    ASSERT_FALSE(HasFailure()) << "connection " << seed;
  }
}

TEST_P(ConnectionsTest, ThirtyTwoAtOnceDoNotMixTheirStreams) {
  const std::unique_ptr<Listener> listener = Listen();
  constexpr uint64_t kLinks = 32;
  const uint64_t bytes = options().Scaled(256 << 10);
  std::vector<Link> links;
  for (uint64_t i = 0; i < kLinks; ++i) links.push_back(Open(*listener));
  std::vector<StreamSender> senders;
  for (uint64_t i = 0; i < kLinks; ++i) {
    senders.emplace_back(links[i].peer, Stream{.seed = i + 1, .bytes = bytes});
  }
  std::vector<uint64_t> received(kLinks, 0);
  std::array<Frag, 16> frags;
  while (std::any_of(received.begin(), received.end(), [&](uint64_t r) { return r < bytes; })) {
    for (uint64_t i = 0; i < kLinks; ++i) {
      senders[i].Push(20'000);
      if (received[i] == bytes) continue;
      const absl::StatusOr<size_t> count = links[i].ours->Recv(frags, Soon());
      ASSERT_TRUE(count.ok()) << count.status();
      received[i] += Check(std::span(frags).first(*count), i + 1, received[i]);
      Release(*links[i].ours, std::span(frags).first(*count));
      ASSERT_FALSE(HasFailure()) << "connection " << i;
    }
  }
}

TEST_P(ConnectionsTest, ThoseThatWaitToBeAcceptedKeepTheirBytes) {
  const std::unique_ptr<Listener> listener = Listen();
  constexpr uint64_t kLinks = 8;
  std::vector<Peer> peers;
  for (uint64_t i = 0; i < kLinks; ++i) {
    peers.push_back(world_->Connect(listener->port()));
    ASSERT_TRUE(Await(peers.back(), POLLOUT));
    PeerSends(peers.back(), {.seed = 9, .bytes = 2000});
    ASSERT_TRUE(AwaitThat([&] { return peers.back().UnacknowledgedBytes() == 0; }));
  }
  for (uint64_t i = 0; i < kLinks; ++i) {
    auto accepted = listener->Accept(Soon());
    ASSERT_TRUE(accepted.ok()) << accepted.status();
    Release(**accepted, Take(**accepted, 9, 0, 2000));
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(listener->Accept(0).status()));
}

TEST_P(ConnectionsTest, AListenerThatGoesResetsWhatNobodyAccepted) {
  std::unique_ptr<Listener> listener = Listen();
  Peer peer = world_->Connect(listener->port());
  ASSERT_TRUE(Await(peer, POLLOUT));
  // Bytes that were acknowledged show that the handshake is complete at our side too.
  PeerSends(peer, {.seed = 1, .bytes = 10});
  ASSERT_TRUE(AwaitThat([&] { return peer.UnacknowledgedBytes() == 0; }));
  listener.reset();
  ExpectPeerReset(peer);
}

TEST_P(ConnectionsTest, AListenerThatGoesLeavesTheAcceptedAlone) {
  std::unique_ptr<Listener> listener = Listen();
  Link link = Open(*listener);
  listener.reset();
  Transfer(link, {.seed = 1, .bytes = 1 << 20});
}

TEST_P(ConnectionsTest, OnesThatWeOpenReceiveIntoTheRegion) {
  Link link = Dial(*binding_);
  EXPECT_TRUE(link.ours->info().bound);
  EXPECT_EQ(link.ours->info().state, "ESTABLISHED");
  const uint64_t bounced = Statistic("payload_bytes_bounced");
  Transfer(link, {.seed = 1, .bytes = 1 << 20});
  if (Expects(expectations().direct_placement) && session_->info().steering != "auto") {
    EXPECT_EQ(Statistic("payload_bytes_bounced"), bounced);
  }
  link.peer.Close();
  ExpectEnd(*link.ours);
}

TEST_P(ConnectionsTest, ManyThatWeOpenAtOnceReceiveTheirOwnStreams) {
  std::vector<Link> links;
  for (uint64_t i = 0; i < 8; ++i) links.push_back(Dial(*binding_));
  for (uint64_t i = 0; i < 8; ++i) Transfer(links[i], {.seed = i + 1, .bytes = 100'000});
}

TEST_P(ConnectionsTest, OneThatWeOpenComesFromTheNamedPort) {
  const uint16_t port = NextPort();
  Peer server = world_->Listen(port);
  const uint16_t local = NextPort();
  const auto dialled = session_->Connect({.address = world_->peers(),
                                          .port = port,
                                          .local_address = world_->ours(),
                                          .local_port = local},
                                         *binding_, Soon());
  ASSERT_TRUE(dialled.ok()) << dialled.status();
  const std::string& endpoint = (*dialled)->info().local;
  EXPECT_EQ(endpoint.substr(endpoint.rfind(':') + 1), std::to_string(local));
  EXPECT_NE(endpoint.find(world_->ours()), std::string::npos);
}

TEST_P(ConnectionsTest, OneThatNobodyAcceptsIsRefused) {
  const auto dialled =
      session_->Connect({.address = world_->peers(), .port = NextPort()}, *binding_, Soon());
  EXPECT_TRUE(absl::IsUnavailable(dialled.status())) << dialled.status();
}

TEST_P(ConnectionsTest, EachSaysWhoItJoinsAndWhatItCarried) {
  const std::unique_ptr<Listener> listener = Listen();
  Link link = Open(*listener);
  Transfer(link, {.seed = 1, .bytes = 12'345});
  SendAll(*link.ours, 2, 0, 777);
  ExpectPeerReads(link.peer, 2, 0, 777);
  const ConnectionInfo info = link.ours->info();
  EXPECT_NE(info.local.find(world_->ours()), std::string::npos) << info.local;
  EXPECT_NE(info.remote.find(world_->peers()), std::string::npos) << info.remote;
  EXPECT_EQ(info.state, "ESTABLISHED");
  EXPECT_EQ(info.queue, options().queues[0]);
  EXPECT_TRUE(info.bound);
  EXPECT_EQ(info.payload_bytes_received, 12'345u);
  EXPECT_EQ(info.payload_bytes_sent, 777u);
}

}  // namespace
}  // namespace devmem::testing
