// SPDX-License-Identifier: Apache-2.0
//
// A session with a thread per queue, used by threads of the application's, with kernel sockets as
// peers over a TAP. Run under tsan too: what it finds here are the races that the interface allows.
// A wake-up that is lost shows as a deadline that passes.

#include "uapi/threaded_connection.h"

#include <poll.h>

#include <atomic>
#include <thread>
#include <vector>

#include "selftests/testing/tap_session.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kBytes = 4 << 20;

class ThreadedConnectionTest : public TapSessionTest {};

TEST_F(ThreadedConnectionTest, AStreamOfTheKernelsLandsWhole) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::thread sender([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(1, 4 * kBytes), 4 * kBytes);
    peer.ShutDownSending();
    EXPECT_TRUE(peer.Read(1).empty());
  });
  std::unique_ptr<Connection> connection = Accept(*listener);
  EXPECT_TRUE(connection->info().bound);
  EXPECT_EQ(connection->info().queue, 1u);
  EXPECT_EQ(ReceiveAll(*connection, 1), 4 * kBytes);
  EXPECT_EQ(connection->info().state, "CLOSE-WAIT");
  EXPECT_EQ(connection->info().payload_bytes_received, 4 * kBytes);
  connection.reset();
  sender.join();
}

TEST_F(ThreadedConnectionTest, ThreadsReceiveAndReleaseOnConnectionsOfTheirOwn) {
  std::unique_ptr<Region> other = ValueOrFail(session_->Allocate({.bytes = 4 << 20}), "region");
  const BindingId second = ValueOrFail(session_->Bind(*other, {.queues = {2}}), "binding");
  const RegionView other_view = ValueOrFail(RegionView::Map(*other), "view");
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::unique_ptr<Listener> elsewhere = Listen(5202, second);
  std::vector<std::thread> senders;
  std::vector<std::thread> receivers;
  // Two connections on one queue, and one on another.
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const uint16_t port = seed < 2 ? 5201 : 5202;
    senders.emplace_back([port, seed] {
      KernelPeer peer = KernelPeer::Connect(kOurs, port);
      const uint8_t name = static_cast<uint8_t>(seed);
      EXPECT_TRUE(peer.SendAll({&name, 1}));
      EXPECT_EQ(peer.SendPattern(seed, kBytes), kBytes);
      peer.ShutDownSending();
      EXPECT_TRUE(peer.Read(1).empty());
    });
    receivers.emplace_back(
        [this, &other_view, connection = Accept(port == 5201 ? *listener : *elsewhere)] {
          uint8_t name = 0;
          EXPECT_EQ(*connection->Read({&name, 1}, Soon()), 1u);
          if (name < 2) {
            EXPECT_EQ(ReceiveAll(*connection, name), kBytes);
            return;
          }
          std::array<Frag, 16> frags;
          uint64_t offset = 0;
          while (const size_t count = ValueOrFail(connection->Recv(frags, Soon()), "frags")) {
            for (const Frag& frag : std::span(frags).first(count)) {
              const auto part = other_view.bytes().subspan(frag.offset, frag.length_bytes);
              EXPECT_EQ(FindMismatch(name, offset, part), std::nullopt);
              offset += frag.length_bytes;
            }
            EXPECT_TRUE(connection->Release(std::span(frags).first(count)).ok());
          }
          EXPECT_EQ(offset, kBytes);
        });
  }
  for (std::thread& thread : receivers) thread.join();
  receivers.clear();
  for (std::thread& thread : senders) thread.join();
  EXPECT_TRUE(session_->account(second)->idle());
}

TEST_F(ThreadedConnectionTest, RecvAndReadMixOnOneStream) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::thread sender([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(4, kBytes), kBytes);
    peer.ShutDownSending();
    EXPECT_TRUE(peer.Read(1).empty());
  });
  std::unique_ptr<Connection> connection = Accept(*listener);
  uint64_t offset = 0;
  std::vector<uint8_t> room(10'000);
  std::array<Frag, 3> frags;
  for (uint32_t turn = 0;; ++turn) {
    if (turn % 3 == 0) {
      const size_t wanted = 1 + turn * 7 % room.size();
      const size_t got =
          ValueOrFail(connection->Read(std::span(room).first(wanted), Soon()), "read");
      EXPECT_EQ(FindMismatch(4, offset, std::span(room).first(got)), std::nullopt);
      offset += got;
      if (got == 0) break;
      continue;
    }
    const size_t count = ValueOrFail(connection->Recv(frags, Soon()), "frags");
    if (count == 0) break;
    for (const Frag& frag : std::span(frags).first(count)) {
      EXPECT_EQ(FindMismatch(4, offset, Bytes(frag)), std::nullopt) << offset;
      offset += frag.length_bytes;
    }
    EXPECT_TRUE(connection->Release(std::span(frags).first(count)).ok());
  }
  EXPECT_EQ(offset, kBytes);
  connection.reset();
  sender.join();
}

TEST_F(ThreadedConnectionTest, EveryMessageOfAPingPongWakesTheOtherSide) {
  constexpr uint32_t kRounds = 1000;
  std::unique_ptr<Listener> listener = Listen(5201, std::nullopt);
  std::thread client([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    std::vector<uint8_t> message(100);
    for (uint32_t round = 0; round < kRounds; ++round) {
      FillPattern(round, 0, message);
      ASSERT_TRUE(peer.SendAll(message));
      ASSERT_EQ(peer.Read(message.size()), message) << "round " << round;
    }
  });
  std::unique_ptr<Connection> connection = Accept(*listener);
  std::array<uint8_t, 100> room;
  while (true) {
    const absl::StatusOr<size_t> got = connection->Read(room, Soon());
    ASSERT_TRUE(got.ok()) << got.status();
    if (*got == 0) break;
    for (size_t done = 0; done < *got;) {
      done +=
          ValueOrFail(connection->Send(std::span(room).subspan(done, *got - done), Soon()), "send");
    }
  }
  client.join();
}

TEST_F(ThreadedConnectionTest, SendsFlushesAndClosesBothWays) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::thread peer_thread([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(1, 100), 100u);
    peer.ShutDownSending();
    EXPECT_EQ(peer.ReadPatternToEnd(2), kBytes);
  });
  std::unique_ptr<Connection> connection = Accept(*listener);
  EXPECT_EQ(ReceiveAll(*connection, 1), 100u);
  std::vector<uint8_t> reply(kBytes);
  FillPattern(2, 0, reply);
  for (size_t done = 0; done < reply.size();) {
    done += ValueOrFail(connection->Send(std::span(reply).subspan(done), Soon()), "send");
  }
  EXPECT_TRUE(connection->Shutdown().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(connection->Send(reply).status()));
  const absl::Status flushed = connection->Flush(Soon());
  EXPECT_TRUE(flushed.ok()) << flushed;
  EXPECT_EQ(connection->info().state, "CLOSED");
  peer_thread.join();
}

TEST_F(ThreadedConnectionTest, ConnectsToAServerOfTheKernels) {
  KernelPeer server = KernelPeer::Listen(kKernel, 8080);
  std::thread serving([&server] {
    KernelPeer peer = server.Accept();
    EXPECT_EQ(peer.Read(7), std::vector<uint8_t>(7, 'x'));
    EXPECT_EQ(peer.SendPattern(6, kBytes), kBytes);
  });
  std::unique_ptr<Connection> connection = ValueOrFail(
      session_->Connect({.address = kKernel, .port = 8080}, binding_, Soon()), "connection");
  EXPECT_EQ(*connection->Send(std::vector<uint8_t>(7, 'x')), 7u);
  EXPECT_EQ(ReceiveAll(*connection, 6), kBytes);
  connection.reset();
  serving.join();
  const absl::Status refused =
      session_->Connect({.address = kKernel, .port = 9}, binding_, Soon()).status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
}

TEST_F(ThreadedConnectionTest, AReleaseWithAFenceHappensWithoutAnyCallOfTheApplication) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::thread sender([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(1, 16 << 20), 16u << 20);
    peer.ShutDownSending();
    EXPECT_TRUE(peer.Read(1).empty());
  });
  std::unique_ptr<Connection> connection = Accept(*listener);
  // Everything is kept back until the region is full, and then waits for one fence after the other.
  std::array<Frag, 16> frags;
  uint64_t offset = 0;
  std::atomic<uint32_t> asked{0};
  while (true) {
    const size_t count = ValueOrFail(connection->Recv(frags, Soon()), "frags");
    if (count == 0) break;
    for (const Frag& frag : std::span(frags).first(count)) {
      EXPECT_EQ(FindMismatch(1, offset, Bytes(frag)), std::nullopt);
      offset += frag.length_bytes;
    }
    const uint32_t from = asked.load();
    EXPECT_TRUE(connection
                    ->Release(std::span(frags).first(count),
                              Fence::FromCallback([&asked, from] { return ++asked > from + 3; }))
                    .ok());
  }
  EXPECT_EQ(offset, 16u << 20);
  while (!session_->account(*binding_)->idle()) std::this_thread::yield();
  connection.reset();
  sender.join();
}

TEST_F(ThreadedConnectionTest, CountersAndAccountsMayBeReadWhileTrafficRuns) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::thread sender([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(1, 4 * kBytes), 4 * kBytes);
    peer.ShutDownSending();
    EXPECT_TRUE(peer.Read(1).empty());
  });
  std::unique_ptr<Connection> connection = Accept(*listener);
  std::atomic<bool> over{false};
  std::thread receiver([&] {
    EXPECT_EQ(ReceiveAll(*connection, 1), 4 * kBytes);
    over.store(true);
  });
  uint64_t last = 0;
  while (!over.load()) {
    EXPECT_TRUE(session_->account(*binding_)->balanced());
    EXPECT_TRUE(session_->host_account().balanced());
    for (const Statistic& statistic : session_->statistics()) {
      if (statistic.name != "tcp.payload_bytes_in") continue;
      EXPECT_GE(statistic.value, last);
      last = statistic.value;
    }
  }
  receiver.join();
  connection.reset();
  sender.join();
}

TEST_F(ThreadedConnectionTest, OtherQueuesAreBoundAndUnboundUnderTraffic) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::thread sender([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(1, 4 * kBytes), 4 * kBytes);
    peer.ShutDownSending();
    EXPECT_TRUE(peer.Read(1).empty());
  });
  std::unique_ptr<Connection> connection = Accept(*listener);
  std::unique_ptr<Region> other = ValueOrFail(session_->Allocate({.bytes = 1 << 20}), "region");
  std::atomic<bool> over{false};
  std::thread receiver([&] {
    EXPECT_EQ(ReceiveAll(*connection, 1), 4 * kBytes);
    over.store(true);
  });
  do {
    const BindingId binding = ValueOrFail(session_->Bind(*other, {.queues = {2}}), "binding");
    EXPECT_TRUE(session_->Unbind(binding).ok());
  } while (!over.load());
  receiver.join();
  connection.reset();
  sender.join();
}

TEST_F(ThreadedConnectionTest, UnbindingWakesAReceiverThatWaits) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::thread sender([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(1, 1000), 1000u);
    EXPECT_TRUE(peer.Read(1).empty());  // A reset.
  });
  std::unique_ptr<Connection> connection = Accept(*listener);
  std::array<Frag, 4> frags;
  const size_t count = ValueOrFail(connection->Recv(frags, Soon()), "frags");
  std::atomic<bool> waits{false};
  absl::Status ended;
  std::thread receiver([&] {
    std::array<Frag, 4> more;
    waits.store(true);
    absl::StatusOr<size_t> got = size_t{1};
    while (got.ok() && *got != 0) got = connection->Recv(more, Soon());
    ended = got.status();
  });
  while (!waits.load()) std::this_thread::yield();
  EXPECT_TRUE(session_->Unbind(*binding_).ok());
  binding_.reset();
  receiver.join();
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
  EXPECT_TRUE(absl::IsInvalidArgument(connection->Release(std::span(frags).first(count))));
  connection.reset();
  sender.join();
}

TEST_F(ThreadedConnectionTest, ADeadlineEndsEveryWait) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  const Nanos short_time = 5 * kMillisecond;
  EXPECT_TRUE(absl::IsDeadlineExceeded(listener->Accept(session_->Now() + short_time).status()));
  KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
  std::unique_ptr<Connection> connection = Accept(*listener);
  std::array<Frag, 1> frags;
  std::array<uint8_t, 1> bytes;
  const Nanos begin = session_->Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(connection->Recv(frags, begin + short_time).status()));
  EXPECT_GE(session_->Now(), begin + short_time);
  EXPECT_TRUE(absl::IsDeadlineExceeded(connection->Recv(frags, 0).status()));
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(connection->Read(bytes, session_->Now() + short_time).status()));
}

TEST_F(ThreadedConnectionTest, TheSessionsDescriptorTellsOfNews) {
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  session_->Drive();
  std::thread sender([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(1, kBytes), kBytes);
    peer.ShutDownSending();
    EXPECT_TRUE(peer.Read(1).empty());
  });
  std::unique_ptr<Connection> connection;
  std::array<Frag, 16> frags;
  uint64_t bytes = 0;
  bool over = false;
  while (!over) {
    pollfd waiter{session_->fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&waiter, 1, kPatienceMilliseconds), 1) << "at byte " << bytes;
    session_->Drive();
    if (connection == nullptr) {
      absl::StatusOr<std::unique_ptr<Connection>> accepted = listener->Accept(0);
      if (!accepted.ok()) continue;
      connection = *std::move(accepted);
    }
    while (true) {
      const absl::StatusOr<size_t> count = connection->Recv(frags, 0);
      if (!count.ok()) break;
      over = *count == 0;
      if (over) break;
      for (const Frag& frag : std::span(frags).first(*count)) bytes += frag.length_bytes;
      EXPECT_TRUE(connection->Release(std::span(frags).first(*count)).ok());
    }
  }
  EXPECT_EQ(bytes, kBytes);
  connection.reset();
  sender.join();
}

}  // namespace
}  // namespace devmem::testing
