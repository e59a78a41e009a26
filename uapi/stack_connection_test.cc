// SPDX-License-Identifier: Apache-2.0
//
// One connection of the stack backend through the public interface: Recv, Read and Release in any
// mixture, deadlines, tokens, fences, sending and every way to end.

#include "uapi/stack_connection.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kStream = 9;

class StackConnectionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    listener_ = world_.Listen();
    pair_ = world_.Open(*listener_);
  }
  void TearDown() override {
    pair_ = {};
    listener_.reset();
    world_.ExpectNothingLeft();
  }

  Connection& client() { return *pair_.client; }
  Connection& server() { return *pair_.server; }

  // The client sends the next bytes of the stream, and they arrive.
  void Arrive(size_t bytes) {
    std::vector<uint8_t> part(bytes);
    FillPattern(kStream, sent_, part);
    ASSERT_EQ(ValueOrFail(client().Send(part), "send"), bytes);
    sent_ += bytes;
    ASSERT_TRUE(client().Flush(world_.now() + 10 * kSecond).ok());
  }
  // The next bytes as frags, which are held.
  std::vector<Frag> Take(size_t count_max) {
    std::vector<Frag> frags(count_max);
    frags.resize(ValueOrFail(server().Recv(frags), "frags"));
    for (const Frag& frag : frags) {
      EXPECT_EQ(FindMismatch(kStream, taken_, world_.Bytes(frag)), std::nullopt);
      taken_ += frag.length_bytes;
    }
    return frags;
  }
  void Read(size_t bytes) {
    std::vector<uint8_t> room(bytes);
    ASSERT_EQ(ValueOrFail(server().Read(room), "read"), bytes);
    EXPECT_EQ(FindMismatch(kStream, taken_, room), std::nullopt);
    taken_ += bytes;
  }
  uint32_t tokens_held() { return world_.server_stack().worker(1).tokens_held(); }

  WireWorld world_;
  std::unique_ptr<Listener> listener_;
  ConnectionPair pair_;
  uint64_t sent_ = 0;
  uint64_t taken_ = 0;
};

TEST_F(StackConnectionTest, RecvReadAndReleaseMixOnOneStream) {
  Arrive(20'000);
  Read(17);
  std::vector<Frag> held = Take(1);
  EXPECT_GT(held[0].length_bytes, 0u);
  Arrive(5'000);
  Read(1);
  Read(static_cast<size_t>(sent_ - taken_ - 100));
  const std::vector<Frag> rest = Take(8);
  EXPECT_EQ(taken_, sent_);
  EXPECT_TRUE(server().Release(rest).ok());
  // What is still held has not changed under all of this.
  EXPECT_EQ(FindMismatch(kStream, 17, world_.Bytes(held[0])), std::nullopt);
  EXPECT_TRUE(server().Release(held).ok());
  EXPECT_GT(world_.ServerStatistic("bytes_read_back"), 0u);
  EXPECT_EQ(world_.ServerStatistic("payload_bytes_bounced"), 0u);
}

TEST_F(StackConnectionTest, NeighboursThatTouchAreOneFrag) {
  Arrive(40'000);
  const std::vector<Frag> frags = Take(64);
  EXPECT_LE(frags.size(), 2u);
  EXPECT_EQ(taken_, 40'000u);
  EXPECT_TRUE(server().Release(frags).ok());
}

TEST_F(StackConnectionTest, AConnectionWithoutABindingSaysWhyItHasNoFrags) {
  std::unique_ptr<Listener> plain = world_.Listen(false, 1002);
  ConnectionPair pair = world_.Open(*plain);
  std::array<Frag, 1> frags;
  const absl::Status refused = pair.server->Recv(frags).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_NE(refused.message().find("Read()"), absl::string_view::npos) << refused;
  EXPECT_FALSE(pair.server->info().bound);
}

TEST_F(StackConnectionTest, ADeadlinePassesInVirtualTimeAndChangesNothing) {
  std::array<Frag, 4> frags;
  std::array<uint8_t, 4> bytes;
  const Nanos begin = world_.now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(server().Recv(frags, begin + 3 * kSecond).status()));
  EXPECT_EQ(world_.now(), begin + 3 * kSecond);
  EXPECT_TRUE(absl::IsDeadlineExceeded(server().Read(bytes, begin + 4 * kSecond).status()));
  EXPECT_EQ(world_.now(), begin + 4 * kSecond);
  EXPECT_TRUE(absl::IsDeadlineExceeded(server().Recv(frags, 0).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(listener_->Accept(world_.now() + kSecond).status()));
  EXPECT_EQ(world_.now(), begin + 5 * kSecond);
  Arrive(10);
  const std::vector<Frag> held = Take(4);
  EXPECT_EQ(held.size(), 1u);
  EXPECT_EQ(tokens_held(), 1u);
  EXPECT_TRUE(server().Release(held).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(server().Recv({}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(server().Read({}).status()));
  EXPECT_EQ(*client().Send({}), 0u);
}

TEST_F(StackConnectionTest, FramesOutOfNoTokenAreRefusedCountedAndFreeNothing) {
  Arrive(3000);
  const std::vector<Frag> held = Take(1);
  const Frag good = held[0];
  std::vector<Frag> bad(5, good);
  bad[0].token = 0;
  bad[1].token = good.token + 1;           // Never given out.
  bad[2].token = good.token ^ 1ull << 60;  // Another table's.
  bad[3].token = ~0ull;
  bad[4].token = 12345;
  const absl::Status refused = server().Release(bad);
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_NE(refused.message().find("5 of 5"), absl::string_view::npos) << refused;
  EXPECT_EQ(tokens_held(), 1u);
  // The good one among bad ones is released all the same; twice it is not.
  bad[2] = good;
  EXPECT_TRUE(absl::IsInvalidArgument(server().Release(bad)));
  EXPECT_EQ(tokens_held(), 0u);
  EXPECT_TRUE(absl::IsInvalidArgument(server().Release(held)));
  EXPECT_EQ(world_.ServerStatistic("tokens_refused"), 10u);
  EXPECT_EQ(world_.ServerStatistic("tokens_returned"), 1u);
}

TEST_F(StackConnectionTest, AStaleTokenDoesNotFreeTheFragThatCameAfterIt) {
  std::vector<Frag> stale;
  for (int i = 0; i < 3; ++i) {
    Arrive(1000);
    stale = Take(1);
    EXPECT_TRUE(server().Release(stale).ok());
  }
  Arrive(1000);
  const std::vector<Frag> held = Take(1);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(server().Release(stale).ok());
  EXPECT_EQ(tokens_held(), 1u);
  Arrive(20'000);
  EXPECT_EQ(FindMismatch(kStream, 3000, world_.Bytes(held[0])), std::nullopt);
  EXPECT_TRUE(server().Release(held).ok());
}

TEST_F(StackConnectionTest, FragsOutliveTheirConnectionUntilTheyAreReturned) {
  Arrive(30'000);
  const std::vector<Frag> held = Take(64);
  client().Abort();
  pair_.server.reset();
  pair_.client.reset();
  world_.Settle();
  EXPECT_FALSE(world_.server().account(world_.binding())->idle());
  uint64_t offset = 0;
  for (const Frag& frag : held) {
    EXPECT_EQ(FindMismatch(kStream, offset, world_.Bytes(frag)), std::nullopt);
    offset += frag.length_bytes;
  }
  // Any connection of the session may return them.
  pair_ = world_.Open(*listener_);
  EXPECT_TRUE(server().Release(held).ok());
  EXPECT_TRUE(world_.server().account(world_.binding())->idle());
}

TEST_F(StackConnectionTest, AConnectionOfAnotherQueueMayReturnFragsToo) {
  Arrive(3000);
  const std::vector<Frag> held = Take(4);
  std::unique_ptr<Listener> plain = world_.Listen(false, 1002);
  ConnectionPair other = world_.Open(*plain);
  EXPECT_TRUE(other.server->Release(held).ok());
  EXPECT_EQ(tokens_held(), 0u);
}

TEST_F(StackConnectionTest, AReleaseWaitsForItsFence) {
  Arrive(3000);
  const std::vector<Frag> first = Take(1);
  Arrive(3000);
  const std::vector<Frag> second = Take(1);
  bool done = false;
  const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ASSERT_GE(event, 0);
  UniqueFd signal(::dup(event));
  EXPECT_TRUE(server().Release(first, Fence::FromCallback([&done] { return done; })).ok());
  EXPECT_TRUE(server().Release(second, Fence::FromFd(UniqueFd(event))).ok());
  world_.Run(kSecond);
  EXPECT_EQ(tokens_held(), 2u);
  done = true;
  world_.Run(2 * kMillisecond);
  EXPECT_EQ(tokens_held(), 1u);
  const uint64_t one = 1;
  ASSERT_EQ(::write(signal.get(), &one, sizeof(one)), 8);
  world_.Run(2 * kMillisecond);
  EXPECT_EQ(tokens_held(), 0u);
}

TEST_F(StackConnectionTest, ARecvThatWaitsForRoomAsksTheFences) {
  // The whole region is held, its release waits for a fence, and more is on its way.
  world_.PumpFrom(client(), kStream, 3 << 20);
  std::vector<Frag> held;
  while (true) {
    std::array<Frag, 16> frags;
    const absl::StatusOr<size_t> count = server().Recv(frags, world_.now() + kSecond);
    if (!count.ok()) break;
    held.insert(held.end(), frags.begin(), frags.begin() + static_cast<ptrdiff_t>(*count));
  }
  const Nanos signals_at = world_.now() + 5 * kSecond;
  EXPECT_TRUE(
      server().Release(held, Fence::FromCallback([&] { return world_.now() >= signals_at; })).ok());
  std::array<Frag, 16> frags;
  const size_t count = ValueOrFail(server().Recv(frags), "frags");
  EXPECT_GE(world_.now(), signals_at);
  EXPECT_TRUE(server().Release(std::span(frags).first(count)).ok());
  client().Abort();
}

TEST_F(StackConnectionTest, TokensRunOutBeforeMemoryDoesWhenFragsAreTiny) {
  // One byte at a time, each taken as a frag of its own and held.
  std::vector<Frag> held;
  absl::Status refused;
  for (uint32_t i = 0; i < 20'000 && refused.ok(); ++i) {
    Arrive(1);
    std::array<Frag, 1> frag;
    const absl::StatusOr<size_t> count = server().Recv(frag);
    refused = count.status();
    if (count.ok()) held.push_back(frag[0]);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_EQ(tokens_held(), held.size());
  ASSERT_FALSE(held.empty());
  EXPECT_TRUE(server().Release(held).ok());
  taken_ = held.size();
  EXPECT_TRUE(server().Release(Take(1)).ok());
  EXPECT_EQ(taken_, sent_);
}

TEST_F(StackConnectionTest, BothDirectionsCloseByThemselves) {
  EXPECT_TRUE(client().Shutdown().ok());
  std::array<Frag, 4> frags;
  EXPECT_EQ(*server().Recv(frags), 0u);
  EXPECT_EQ(server().info().state, "CLOSE-WAIT");
  EXPECT_TRUE(absl::IsFailedPrecondition(client().Send(std::vector<uint8_t>(1)).status()));
  // The other way still works.
  const std::vector<uint8_t> reply(50'000, 3);
  EXPECT_EQ(*server().Send(reply), reply.size());
  EXPECT_TRUE(server().Shutdown().ok());
  std::vector<uint8_t> room(60'000);
  size_t read = 0;
  while (const size_t part = ValueOrFail(client().Read(std::span(room).subspan(read)), "read")) {
    read += part;
  }
  EXPECT_EQ(read, reply.size());
  EXPECT_TRUE(server().Flush(world_.now() + kSecond).ok());
  EXPECT_EQ(server().info().state, "CLOSED");
  EXPECT_EQ(client().info().state, "TIME-WAIT");
  EXPECT_EQ(*server().Recv(frags), 0u);
  EXPECT_EQ(*client().Read(room), 0u);
}

TEST_F(StackConnectionTest, AnAbortTellsThePeerAtOnce) {
  Arrive(1000);
  server().Abort();
  std::array<uint8_t, 4> bytes;
  const absl::Status broken = client().Read(bytes).status();
  EXPECT_TRUE(absl::IsUnavailable(broken)) << broken;
  EXPECT_NE(broken.message().find("192.0.2.1:5201"), absl::string_view::npos) << broken;
  EXPECT_TRUE(absl::IsUnavailable(client().Send(bytes).status()));
  EXPECT_TRUE(absl::IsUnavailable(client().Flush()));
  std::array<Frag, 4> frags;
  EXPECT_TRUE(absl::IsUnavailable(server().Recv(frags).status()));
}

TEST_F(StackConnectionTest, DestroyingAConnectionWithUnreadBytesResetsIt) {
  Arrive(1000);
  pair_.server.reset();
  std::array<uint8_t, 4> bytes;
  EXPECT_TRUE(absl::IsUnavailable(client().Read(bytes).status()));
}

TEST_F(StackConnectionTest, DestroyingAListenerResetsWhatWasNotAccepted) {
  std::unique_ptr<Connection> waiting = ValueOrFail(
      world_.client().Connect({.address = kServerAddress, .port = kPort}), "connection");
  world_.Run(kSecond);
  listener_.reset();
  std::array<uint8_t, 4> bytes;
  EXPECT_TRUE(absl::IsUnavailable(waiting->Read(bytes).status()));
  Arrive(100);  // The accepted one goes on.
  EXPECT_TRUE(server().Release(Take(1)).ok());
}

TEST_F(StackConnectionTest, SendTakesWhatFitsAndFlushWaitsForThePeer) {
  const std::vector<uint8_t> much(1 << 20, 5);
  const size_t first = ValueOrFail(client().Send(much), "send");
  EXPECT_EQ(first, kSendBufferBytesDefault);
  // The server's application takes nothing, its window is large: everything is acknowledged.
  EXPECT_TRUE(client().Flush(world_.now() + kSecond).ok());
  EXPECT_EQ(client().info().payload_bytes_sent, first);
  EXPECT_EQ(server().info().payload_bytes_received, first);
  EXPECT_EQ(server().info().remote, client().info().local);
}

TEST_F(StackConnectionTest, AFullSendBufferWaitsForTheDeadlineWhenTheWindowIsShut) {
  const std::vector<uint8_t> much(4 << 20, 5);
  size_t sent = 0;
  absl::Status full;
  while (full.ok()) {
    const absl::StatusOr<size_t> part =
        client().Send(std::span(much).subspan(sent), world_.now() + 10 * kSecond);
    full = part.status();
    if (part.ok()) sent += *part;
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(full)) << full;
  EXPECT_LT(sent, much.size());
  const absl::Status unflushed = client().Flush(world_.now() + kSecond);
  EXPECT_TRUE(absl::IsDeadlineExceeded(unflushed)) << unflushed;
  EXPECT_NE(unflushed.message().find("bytes were not acknowledged"), absl::string_view::npos);
}

}  // namespace
}  // namespace devmem::testing
