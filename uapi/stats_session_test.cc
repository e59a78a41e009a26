// SPDX-License-Identifier: Apache-2.0
//
// What sessions publish of themselves: a pair of stack sessions over the in-memory wire, and a
// session of the copy backend with a kernel socket as its peer.

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "provider/test_region.h"
#include "selftests/testing/loopback_peer.h"
#include "selftests/testing/stats_folder_fixture.h"
#include "selftests/testing/wire_world.h"
#include "uapi/stats_folder.h"

namespace devmem {
namespace {

using testing::LoopbackPeer;
using testing::WireWorld;

uint64_t BytesOf(std::span<const Frag> frags) {
  uint64_t bytes = 0;
  for (const Frag& frag : frags) bytes += frag.length_bytes;
  return bytes;
}

class StatsSessionTest : public testing::StatsFolderTest {
 protected:
  testing::WireWorldOptions ServerPublishes() const {
    testing::WireWorldOptions options;
    options.server.statistics_folder = folder();
    options.client.statistics_folder = kStatsOff;
    return options;
  }
  // The record of an rx queue; one of no kind when there is none.
  static StatsFigures QueueOf(const PublishedSession& session, uint64_t queue) {
    for (const StatsFigures& record : session.records) {
      if (record.kind == StatsKind::kQueue && record.queue == queue) return record;
    }
    return {};
  }
  static StatsFigures OfKind(const PublishedSession& session, StatsKind kind) {
    for (const StatsFigures& record : session.records) {
      if (record.kind == kind) return record;
    }
    return {};
  }
};

TEST_F(StatsSessionTest, AStackSessionTellsWhatItsUserHoldsFromTheCallOnThatHandsItOut) {
  WireWorld world(ServerPublishes());
  EXPECT_EQ(world.server().info().statistics_page, ReadOnly().path);
  EXPECT_EQ(ReadOnly().backend, "stack");
  std::unique_ptr<Listener> listener = world.Listen();
  testing::ConnectionPair pair = world.Open(*listener);
  world.PumpFrom(*pair.client, 1, 200'000);
  std::array<Frag, 16> frags;
  const size_t count = *pair.server->Recv(frags);
  const auto held = std::span(frags).first(count);
  // The application stays away now, and the page is right all the same.
  StatsFigures bound = QueueOf(ReadOnly(), 1);
  EXPECT_EQ(bound.tokens_held, count);
  EXPECT_EQ(bound.held_bytes, BytesOf(held));
  EXPECT_EQ(bound.region_bytes, 1u << 20);
  EXPECT_EQ(bound.net_iovs * bound.net_iov_bytes, bound.region_bytes);
  ASSERT_TRUE(pair.server->Release(held).ok());
  EXPECT_EQ(QueueOf(ReadOnly(), 1).tokens_held, 0u);
  EXPECT_EQ(QueueOf(ReadOnly(), 1).held_bytes, 0u);
  EXPECT_FALSE(pair.server->Release(held).ok());
  while (const size_t more = pair.server->Recv(frags).value_or(0)) {
    ASSERT_TRUE(pair.server->Release(std::span(frags).first(more)).ok());
  }
  world.Run(kSecond);
  bound = QueueOf(ReadOnly(), 1);
  EXPECT_EQ(bound.payload_bytes, 200'000u);
  EXPECT_EQ(bound.tokens_issued, world.ServerStatistic("tokens_issued"));
  EXPECT_EQ(bound.tokens_returned, bound.tokens_issued);
  EXPECT_EQ(bound.tokens_refused, count);
  EXPECT_EQ(bound.connections, 1u);
  EXPECT_EQ(bound.connections_total, 1u);
  EXPECT_EQ(bound.net_iovs_used, 0u);
  EXPECT_EQ(QueueOf(ReadOnly(), 0).region_bytes, 0u);
  world.StopTasks();
}

TEST_F(StatsSessionTest, PiecesThatNobodyTookAreUsedAndNotHeld) {
  WireWorld world(ServerPublishes());
  std::unique_ptr<Listener> listener = world.Listen();
  testing::ConnectionPair pair = world.Open(*listener);
  world.PumpFrom(*pair.client, 1, 100'000);
  world.Run(kSecond);
  const StatsFigures bound = QueueOf(ReadOnly(), 1);
  EXPECT_EQ(bound.payload_bytes, 100'000u);
  EXPECT_EQ(bound.tokens_held, 0u);
  // The net_iov that is being filled counts as open.
  EXPECT_EQ(bound.net_iovs_used, 100'000u / bound.net_iov_bytes);
  world.StopTasks();
}

TEST_F(StatsSessionTest, AnUnboundQueueHasNoRegionAndNoTokens) {
  WireWorld world(ServerPublishes());
  {
    std::unique_ptr<Listener> listener = world.Listen();
    testing::ConnectionPair pair = world.Open(*listener);
    world.PumpFrom(*pair.client, 1, 10'000);
    std::array<Frag, 16> frags;
    ASSERT_GT(*pair.server->Recv(frags), 0u);
    EXPECT_GT(QueueOf(ReadOnly(), 1).tokens_held, 0u);
    world.StopTasks();
    world.Unbind();
    const StatsFigures unbound = QueueOf(ReadOnly(), 1);
    EXPECT_EQ(unbound.kind, StatsKind::kQueue);
    EXPECT_EQ(unbound.region_bytes, 0u);
    EXPECT_EQ(unbound.tokens_held, 0u);
    EXPECT_EQ(unbound.held_bytes, 0u);
  }
  world.Settle();
}

TEST_F(StatsSessionTest, ASessionThatCannotPublishWorksAndSaysWhy) {
  testing::WireWorldOptions options = ServerPublishes();
  options.server.statistics_folder = folder() + "/not/there";
  WireWorld world(options);
  EXPECT_EQ(world.server().info().statistics_page, "");
  EXPECT_NE(world.server().info().statistics_note.find("not/there"), std::string::npos);
  EXPECT_NE(world.client().info().statistics_note.find("switched off"), std::string::npos);
  std::unique_ptr<Listener> listener = world.Listen();
  testing::ConnectionPair pair = world.Open(*listener);
  world.PumpFrom(*pair.client, 1, 10'000);
  std::array<Frag, 16> frags;
  EXPECT_GT(*pair.server->Recv(frags), 0u);
  world.StopTasks();
}

TEST_F(StatsSessionTest, ACopySessionTellsTheSame) {
  auto session = Session::Open({.backend = Backend::kCopy, .statistics_folder = folder()});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ((*session)->info().statistics_page, ReadOnly().path);
  const std::unique_ptr<Region> region = MakeRegion(1 << 20);
  const auto binding = (*session)->Bind(*region, {.queues = {2}});
  ASSERT_TRUE(binding.ok()) << binding.status();
  auto listener = (*session)->Listen({.address = testing::kLoopback}, *binding);
  ASSERT_TRUE(listener.ok()) << listener.status();
  LoopbackPeer peer = LoopbackPeer::ConnectTo((*listener)->port());
  auto connection = (*listener)->Accept();
  ASSERT_TRUE(connection.ok()) << connection.status();
  peer.Send(std::vector<uint8_t>(50'000, 7));
  std::array<Frag, 16> frags;
  const size_t count = (*connection)->Recv(frags).value_or(0);
  ASSERT_GT(count, 0u);
  const auto held = std::span(frags).first(count);
  StatsFigures queue = QueueOf(ReadOnly(), 2);
  EXPECT_EQ(queue.tokens_held, count);
  EXPECT_EQ(queue.held_bytes, BytesOf(held));
  EXPECT_EQ(queue.region_bytes, 1u << 20);
  EXPECT_GT(queue.net_iovs_used, 0u);
  EXPECT_EQ(OfKind(ReadOnly(), StatsKind::kSession).connections, 1u);
  ASSERT_TRUE((*connection)->Release(held).ok());
  EXPECT_FALSE((*connection)->Release(held).ok());
  queue = QueueOf(ReadOnly(), 2);
  EXPECT_EQ(queue.tokens_held, 0u);
  EXPECT_EQ(queue.net_iovs_used, 0u);
  const StatsFigures counts = OfKind(ReadOnly(), StatsKind::kSession);
  EXPECT_EQ(counts.tokens_issued, count);
  EXPECT_EQ(counts.tokens_returned, count);
  EXPECT_EQ(counts.tokens_refused, count);
  EXPECT_EQ(counts.payload_bytes, BytesOf(held));
  EXPECT_EQ(counts.connections_total, 1u);
  connection->reset();
  EXPECT_EQ(OfKind(ReadOnly(), StatsKind::kSession).connections, 0u);
  ASSERT_TRUE((*session)->Unbind(*binding).ok());
  EXPECT_EQ(QueueOf(ReadOnly(), 2).kind, StatsKind::kUnused);
  listener->reset();
  session->reset();
  EXPECT_TRUE(List().sessions.empty());
}

}  // namespace
}  // namespace devmem
