// SPDX-License-Identifier: Apache-2.0
//
// Several queues at once: two regions and host memory side by side, connections that outlive their
// listener, bindings that come and go under live connections, and connections whose queue changes.

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kStreamBytes = 2 << 20;

WireWorldOptions Queues(uint32_t count) {
  WireWorldOptions options;
  options.link.b.queue_count = count;
  options.link.a_to_b = {.bandwidth_bits_per_s = 1'000'000'000, .delay_ns = kMillisecond};
  options.link.b_to_a = options.link.a_to_b;
  return options;
}

// One stream on its way: taken a bit at a time, so that several can be looked after in turn.
class Taker {
 public:
  Taker(WireWorld& world, Connection& connection, uint64_t seed, const RegionView* view)
      : world_(world), connection_(connection), seed_(seed), view_(view) {}

  uint64_t bytes() const { return bytes_; }
  bool over() const { return over_; }

  // Takes what is there now.
  void Take() {
    if (view_ != nullptr) {
      TakeFrags();
    } else {
      ReadBytes();
    }
  }

 private:
  void TakeFrags() {
    std::array<Frag, 32> frags;
    const absl::StatusOr<size_t> count = connection_.Recv(frags, 0);
    if (absl::IsDeadlineExceeded(count.status())) return;
    ASSERT_TRUE(count.ok()) << count.status();
    over_ = *count == 0;
    for (const Frag& frag : std::span(frags).first(*count)) {
      Check(view_->bytes().subspan(frag.offset, frag.length_bytes));
    }
    EXPECT_TRUE(connection_.Release(std::span(frags).first(*count)).ok());
  }
  void ReadBytes() {
    std::array<uint8_t, 30'000> room;
    const absl::StatusOr<size_t> count = connection_.Read(room, 0);
    if (absl::IsDeadlineExceeded(count.status())) return;
    ASSERT_TRUE(count.ok()) << count.status();
    over_ = *count == 0;
    Check(std::span(room).first(*count));
  }
  void Check(std::span<const uint8_t> part) {
    EXPECT_EQ(FindMismatch(seed_, bytes_, part), std::nullopt) << "from byte " << bytes_;
    bytes_ += part.size();
  }

  WireWorld& world_;
  Connection& connection_;
  const uint64_t seed_;
  const RegionView* const view_;
  uint64_t bytes_ = 0;
  bool over_ = false;
};

// Until both sides are through, or nothing has happened for long.
void TakeAll(WireWorld& world, std::vector<Taker*> takers) {
  EXPECT_TRUE(world.RunUntil(
      [&] {
        bool over = true;
        for (Taker* taker : takers) {
          if (!taker->over()) taker->Take();
          over &= taker->over();
        }
        return over;
      },
      60 * kSecond));
}

TEST(StackSteeringTest, TwoRegionsAndHostMemoryServeThreeConnectionsAtOnce) {
  WireWorld world(Queues(3));
  Session& server = world.server();
  std::unique_ptr<Region> second = ValueOrFail(server.Allocate({.bytes = 1 << 20}), "region");
  const RegionView second_view = ValueOrFail(RegionView::Map(*second), "view");
  const RegionView first_view = ValueOrFail(RegionView::Map(world.region()), "view");
  const BindingId second_binding = ValueOrFail(server.Bind(*second, {.queues = {2}}), "binding");
  std::unique_ptr<Listener> one = world.Listen(true, 1001);
  std::unique_ptr<Listener> two = ValueOrFail(
      server.Listen({.address = kServerAddress, .port = 1002}, second_binding), "listener");
  std::unique_ptr<Listener> three = world.Listen(false, 1003);
  {
    std::array<ConnectionPair, 3> pairs = {world.Open(*one), world.Open(*two), world.Open(*three)};
    for (uint32_t i = 0; i < 3; ++i) world.PumpFrom(*pairs[i].client, i, kStreamBytes);
    Taker first(world, *pairs[0].server, 0, &first_view);
    Taker other(world, *pairs[1].server, 1, &second_view);
    Taker plain(world, *pairs[2].server, 2, nullptr);
    TakeAll(world, {&first, &other, &plain});
    EXPECT_EQ(first.bytes(), kStreamBytes);
    EXPECT_EQ(other.bytes(), kStreamBytes);
    EXPECT_EQ(plain.bytes(), kStreamBytes);
    EXPECT_EQ(pairs[0].server->info().queue, 1u);
    EXPECT_EQ(pairs[1].server->info().queue, 2u);
    EXPECT_EQ(pairs[2].server->info().queue, 0u);
    EXPECT_EQ(world.ServerStatistic("steered_bytes"), 2 * kStreamBytes);
    EXPECT_EQ(world.ServerStatistic("host_bytes"), kStreamBytes);
    EXPECT_EQ(world.ServerStatistic("missteered_bytes"), 0u);
  }
  EXPECT_TRUE(server.account(second_binding)->idle());
  world.ExpectNothingLeft();
}

TEST(StackSteeringTest, AcceptedConnectionsStaySteeredWhenTheirListenerGoes) {
  WireWorld world(Queues(3));
  const RegionView view = ValueOrFail(RegionView::Map(world.region()), "view");
  std::unique_ptr<Listener> listener = world.Listen();
  {
    ConnectionPair pair = world.Open(*listener);
    listener.reset();
    EXPECT_EQ(world.link().b().ListRules().size(), 1u);
    // The port may be listened on again meanwhile, and given up again.
    EXPECT_NE(world.Listen(), nullptr);
    world.PumpFrom(*pair.client, 5, kStreamBytes);
    Taker taker(world, *pair.server, 5, &view);
    TakeAll(world, {&taker});
    EXPECT_EQ(taker.bytes(), kStreamBytes);
    EXPECT_EQ(world.ServerStatistic("steered_bytes"), kStreamBytes);
  }
  EXPECT_TRUE(world.link().b().ListRules().empty());
  world.ExpectNothingLeft();
}

TEST(StackSteeringTest, UnsteeredConnectionsLiveOnWhenQueuesAreBoundAndUnbound) {
  WireWorldOptions options = Queues(4);
  options.region_bytes = 0;
  WireWorld world(options);
  std::unique_ptr<Region> region =
      ValueOrFail(world.server().Allocate({.bytes = 1 << 20}), "region");
  std::unique_ptr<Listener> listener = world.Listen(false);
  {
    std::vector<ConnectionPair> pairs;
    std::vector<std::unique_ptr<Taker>> takers;
    std::vector<Taker*> all;
    for (uint32_t i = 0; i < 8; ++i) {
      pairs.push_back(world.Open(*listener));
      takers.push_back(std::make_unique<Taker>(world, *pairs[i].server, i, nullptr));
      all.push_back(takers.back().get());
    }
    for (uint32_t i = 0; i < 8; ++i) world.PumpFrom(*pairs[i].client, i, kStreamBytes);
    const auto take_some = [&](uint64_t bytes) {
      EXPECT_TRUE(world.RunUntil([&] {
        for (Taker* taker : all) taker->Take();
        return all[0]->bytes() >= bytes;
      }));
    };
    take_some(kStreamBytes / 4);
    const BindingId binding = ValueOrFail(
        world.server().Bind(*region, {.queues = {1, 2, 3}, .net_iov_bytes = 4096}), "binding");
    take_some(kStreamBytes / 2);
    EXPECT_TRUE(world.server().account(binding)->idle()) << "no byte of theirs went to the region";
    EXPECT_TRUE(world.server().Unbind(binding).ok());
    TakeAll(world, all);
    for (Taker* taker : all) EXPECT_EQ(taker->bytes(), kStreamBytes);
    EXPECT_GT(world.ServerStatistic("handed_over_bytes"), 0u);
  }
  listener.reset();
  world.ExpectNothingLeft();
}

TEST(StackSteeringTest, AnUnsteeredListenerAlsoServesAQueueThatWasUnboundLater) {
  WireWorld world(Queues(2));
  std::unique_ptr<Listener> listener = world.Listen(false);
  {
    EXPECT_EQ(world.Open(*listener).server->info().queue, 0u);
    world.Unbind();
    std::array<uint32_t, 2> by_queue{};
    for (uint32_t i = 0; i < 16; ++i) ++by_queue[world.Open(*listener).server->info().queue];
    EXPECT_GT(by_queue[0], 0u);
    EXPECT_GT(by_queue[1], 0u);
  }
  listener.reset();
  world.ExpectNothingLeft();
}

TEST(StackSteeringTest, AnUnsteeredActiveOpenHearsItsAnswersOnAnyNumberOfQueues) {
  WireWorldOptions options = Queues(8);
  options.region_bytes = 0;
  WireWorld world(options);
  std::unique_ptr<Listener> listener = ValueOrFail(
      world.client().Listen({.address = kClientAddress, .port = 80}), "listener of the client");
  for (uint32_t i = 0; i < 8; ++i) {
    std::unique_ptr<Connection> ours =
        ValueOrFail(world.server().Connect({.address = kClientAddress, .port = 80}), "open");
    std::unique_ptr<Connection> theirs = ValueOrFail(listener->Accept(), "accepted");
    EXPECT_EQ(*theirs->Send(std::vector<uint8_t>(1000, 7)), 1000u);
    std::array<uint8_t, 2000> room;
    EXPECT_EQ(*ours->Read(room), 1000u);
  }
  EXPECT_EQ(world.ServerStatistic("handed_over_bytes"), 0u) << "a rule led them straight";
  listener.reset();
  world.ExpectNothingLeft();
}

TEST(StackSteeringTest, UnbindingEndsItsConnectionsAndTokensAndNothingElse) {
  WireWorld world(Queues(3));
  std::unique_ptr<Listener> steered = world.Listen(true, 1001);
  std::unique_ptr<Listener> plain = world.Listen(false, 1002);
  {
    ConnectionPair first = world.Open(*steered);
    ConnectionPair other = world.Open(*plain);
    EXPECT_EQ(*first.client->Send(std::vector<uint8_t>(5000, 1)), 5000u);
    EXPECT_EQ(*other.client->Send(std::vector<uint8_t>(5000, 2)), 5000u);
    std::array<Frag, 8> frags;
    const size_t count = ValueOrFail(first.server->Recv(frags), "frags");
    const auto held = std::span(frags).first(count);
    world.Run(kSecond);  // The rest arrives and is queued.
    world.Unbind();
    // The peer is told, the frags are gone, the connection says why.
    std::array<uint8_t, 8> byte;
    EXPECT_TRUE(absl::IsUnavailable(first.client->Read(byte).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(first.server->Release(held)));
    EXPECT_EQ(world.ServerStatistic("tokens_refused"), count);
    EXPECT_TRUE(absl::IsUnavailable(first.server->Recv(frags, 0).status()));
    EXPECT_EQ(first.server->info().state, "CLOSED");
    EXPECT_TRUE(absl::IsFailedPrecondition(steered->Accept().status()));
    // The other one did not notice.
    std::vector<uint8_t> room(5000);
    for (size_t done = 0; done < room.size();) {
      done += ValueOrFail(other.server->Read(std::span(room).subspan(done)), "bytes");
    }
    EXPECT_EQ(room, std::vector<uint8_t>(5000, 2));
  }
  steered.reset();
  plain.reset();
  world.ExpectNothingLeft();
}

TEST(StackSteeringTest, ARegionMayBeBoundAgainAndAgainUnderTraffic) {
  WireWorld world(Queues(2));
  for (uint32_t round = 0; round < 10; ++round) {
    std::unique_ptr<Listener> listener = round == 0 ? world.Listen() : nullptr;
    BindingId binding = round == 0 ? world.binding() : 0;
    if (round != 0) {
      binding = ValueOrFail(world.server().Bind(world.region(), {.queues = {1}}), "binding");
      listener = ValueOrFail(
          world.server().Listen({.address = kServerAddress, .port = kPort}, binding), "listener");
    }
    ConnectionPair pair = world.Open(*listener);
    EXPECT_GT(*pair.client->Send(std::vector<uint8_t>(100'000, 1)), 0u);
    std::array<Frag, 8> frags;
    EXPECT_GT(*pair.server->Recv(frags), 0u);
    if (round == 0) {
      world.Unbind();
    } else {
      EXPECT_TRUE(world.server().Unbind(binding).ok());
    }
  }
  world.ExpectNothingLeft();
}

}  // namespace
}  // namespace devmem::testing
