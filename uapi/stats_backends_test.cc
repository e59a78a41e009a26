// SPDX-License-Identifier: Apache-2.0
//
// What sessions of the backends kernel and zcrx publish, with a NIC, a devmem TCP and a ring that
// are played.

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "provider/test_region.h"
#include "selftests/testing/fake_kernel.h"
#include "selftests/testing/fake_nic.h"
#include "selftests/testing/fake_zcrx_system.h"
#include "selftests/testing/loopback_peer.h"
#include "selftests/testing/stats_folder_fixture.h"
#include "uapi/kernel_session.h"
#include "uapi/zcrx_session.h"

namespace devmem {
namespace {

using testing::FakeKernel;
using testing::FakeNic;
using testing::LoopbackPeer;

constexpr uint64_t kRegionBytes = 4u << 20;
constexpr uint32_t kPage = 4096;

class StatsBackendsTest : public testing::StatsFolderTest {
 protected:
  SessionOptions Options() const {
    return {.device = "fake0", .held_bytes_max = 0, .statistics_folder = folder()};
  }
  // The records of a kind, in the order in which they were taken.
  std::vector<StatsFigures> OfKind(StatsKind kind) const {
    std::vector<StatsFigures> found;
    for (const StatsFigures& record : ReadOnly().records) {
      if (record.kind == kind) found.push_back(record);
    }
    return found;
  }
  static std::unique_ptr<Connection> Accept(Session& session, BindingId binding,
                                            LoopbackPeer* peer) {
    auto listener = session.Listen({.address = testing::kLoopback}, binding);
    EXPECT_TRUE(listener.ok()) << listener.status();
    *peer = LoopbackPeer::ConnectTo((*listener)->port());
    auto connection = (*listener)->Accept();
    EXPECT_TRUE(connection.ok()) << connection.status();
    return *std::move(connection);
  }

  testing::FakeNicState nic_;
};

TEST_F(StatsBackendsTest, TheQueuesOfAKernelBindingTellItsFiguresOnce) {
  FakeKernel kernel;
  auto session =
      OpenKernelSession(Options(), "a test asked", std::make_unique<FakeNic>(&nic_), &kernel);
  ASSERT_TRUE(session.ok()) << session.status();
  const testing::ExportableRegion region(kRegionBytes);
  const auto binding = (*session)->Bind(region, {.queues = {1, 3}});
  ASSERT_TRUE(binding.ok()) << binding.status();
  kernel.Devmem(FakeKernel::kNextSocket, 0, kPage);
  kernel.Devmem(FakeKernel::kNextSocket, kPage, kPage);
  kernel.Linear(FakeKernel::kNextSocket, std::vector<uint8_t>(10, 0x5a));
  LoopbackPeer peer = LoopbackPeer::ListenAnywhere();
  std::unique_ptr<Connection> connection = Accept(**session, *binding, &peer);
  std::array<Frag, 8> frags;
  ASSERT_EQ(*connection->Recv(frags, 0), 2u);
  EXPECT_EQ(ReadOnly().backend, "kernel");
  EXPECT_EQ(ReadOnly().device, "fake0");
  std::vector<StatsFigures> queues = OfKind(StatsKind::kQueue);
  ASSERT_EQ(queues.size(), 2u);
  EXPECT_EQ(queues[0].queue, 1u);
  EXPECT_NE(queues[0].kernel_binding, 0u);
  EXPECT_EQ(queues[0].region_bytes, kRegionBytes);
  EXPECT_EQ(queues[0].tokens_held, 1u);
  EXPECT_EQ(queues[0].held_bytes, 2u * kPage);
  EXPECT_EQ(queues[0].net_iovs_used, 2u);
  EXPECT_EQ(queues[1].queue, 3u);
  EXPECT_EQ(queues[1].kernel_binding, queues[0].kernel_binding);
  EXPECT_EQ(queues[1].region_bytes, 0u);
  EXPECT_EQ(queues[1].tokens_held, 0u);
  // The linear bytes are a frag of the host region.
  EXPECT_EQ(OfKind(StatsKind::kHost).at(0).tokens_held, 1u);
  EXPECT_EQ(OfKind(StatsKind::kHost).at(0).held_bytes, 10u);
  ASSERT_TRUE(connection->Release(std::span(frags).first(2)).ok());
  EXPECT_EQ(OfKind(StatsKind::kQueue).at(0).held_bytes, 0u);
  EXPECT_EQ(OfKind(StatsKind::kQueue).at(0).net_iovs_used, 0u);
  EXPECT_EQ(OfKind(StatsKind::kHost).at(0).tokens_held, 0u);
  EXPECT_EQ(OfKind(StatsKind::kSession).at(0).tokens_returned, 2u);
  ASSERT_TRUE((*session)->Unbind(*binding).ok());
  EXPECT_TRUE(OfKind(StatsKind::kQueue).empty());
}

TEST_F(StatsBackendsTest, AZcrxQueueTellsWhatItsFragsHold) {
  testing::FakeZcrxSystem system;
  auto session =
      OpenZcrxSession(Options(), "a test asked", std::make_unique<FakeNic>(&nic_), &system);
  ASSERT_TRUE(session.ok()) << session.status();
  const std::unique_ptr<Region> region = MakeRegion(kRegionBytes);
  const auto binding = (*session)->Bind(*region, {.queues = {1}});
  ASSERT_TRUE(binding.ok()) << binding.status();
  LoopbackPeer peer = LoopbackPeer::ListenAnywhere();
  std::unique_ptr<Connection> connection = Accept(**session, *binding, &peer);
  peer.Send(std::vector<uint8_t>(10'000, 7));
  std::array<Frag, 16> frags;
  const size_t count = connection->Recv(frags).value_or(0);
  ASSERT_GT(count, 0u);
  uint64_t bytes = 0;
  for (const Frag& frag : std::span(frags).first(count)) bytes += frag.length_bytes;
  StatsFigures queue = OfKind(StatsKind::kQueue).at(0);
  EXPECT_EQ(queue.queue, 1u);
  EXPECT_EQ(queue.region_bytes, kRegionBytes);
  EXPECT_EQ(queue.tokens_held, count);
  EXPECT_EQ(queue.held_bytes, bytes);
  EXPECT_GE(queue.net_iovs_used * queue.net_iov_bytes, bytes);
  ASSERT_TRUE(connection->Release(std::span(frags).first(count)).ok());
  queue = OfKind(StatsKind::kQueue).at(0);
  EXPECT_EQ(queue.tokens_held, 0u);
  EXPECT_EQ(queue.held_bytes, 0u);
}

}  // namespace
}  // namespace devmem
