// SPDX-License-Identifier: Apache-2.0
//
// The public interface over the copy backend, with kernel sockets on the loopback as peers. What
// can block has a deadline far away; nothing sleeps.

#include "uapi/copy_session.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "netmem/stack/clock.h"
#include "provider/region_view.h"
#include "provider/test_region.h"
#include "provider/unique_fd.h"
#include "selftests/testing/loopback_peer.h"

namespace devmem {
namespace {

using Peer = testing::LoopbackPeer;
using testing::kLoopback;

constexpr uint64_t kRegionBytes = 4u << 20;

std::vector<uint8_t> Numbered(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  return bytes;
}

class CopySessionTest : public ::testing::Test {
 protected:
  CopySessionTest() { Open({}); }
  ~CopySessionTest() override {
    connection_.reset();
    listener_.reset();
    if (session_ == nullptr) return;
    const auto account = session_->account(binding_);
    if (account.ok()) {
      EXPECT_TRUE(account->idle()) << account->ToString();
    }
    EXPECT_TRUE(session_->host_account().idle());
  }

  void Open(const SessionOptions& options) {
    auto session = OpenCopySession(options);
    ASSERT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
    region_ = MakeRegion(kRegionBytes);
    const auto binding = session_->Bind(*region_, {});
    ASSERT_TRUE(binding.ok()) << binding.status();
    binding_ = *binding;
  }
  Peer AcceptOne(std::optional<BindingId> binding) {
    auto listener = session_->Listen({.address = kLoopback}, binding);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    Peer peer = Peer::ConnectTo(listener_->port());
    auto connection = listener_->Accept();
    EXPECT_TRUE(connection.ok()) << connection.status();
    connection_ = *std::move(connection);
    return peer;
  }
  Peer AcceptBound() { return AcceptOne(binding_); }

  // Receives one batch, which a test wants to be there.
  std::vector<Frag> RecvSome() {
    std::vector<Frag> frags(16);
    const auto count = connection_->Recv(frags);
    EXPECT_TRUE(count.ok()) << count.status();
    frags.resize(count.value_or(0));
    return frags;
  }
  uint64_t Statistic(const std::string& name) {
    for (const auto& statistic : session_->statistics()) {
      if (statistic.name == name) return statistic.value;
    }
    ADD_FAILURE() << "no statistic " << name;
    return 0;
  }

  std::unique_ptr<Session> session_;
  std::unique_ptr<Region> region_;
  BindingId binding_ = 0;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(CopySessionTest, AStreamLargerThanTheRegionLandsThereByteForByte) {
  Peer peer = AcceptBound();
  const std::vector<uint8_t> sent = Numbered(3 * kRegionBytes + 17);
  std::thread sender([&] {
    peer.Send(sent);
    peer.Close();
  });
  const auto view = RegionView::Map(*region_);
  ASSERT_TRUE(view.ok());
  std::vector<uint8_t> landed;
  for (std::vector<Frag> frags; !(frags = RecvSome()).empty();) {
    for (const Frag& frag : frags) {
      EXPECT_EQ(frag.region_id, region_->id());
      const auto part = view->bytes().subspan(frag.offset, frag.length_bytes);
      landed.insert(landed.end(), part.begin(), part.end());
    }
    EXPECT_TRUE(connection_->Release(frags).ok());
  }
  sender.join();
  EXPECT_TRUE(landed == sent);
  EXPECT_EQ(Statistic("payload_bytes"), sent.size());
  EXPECT_EQ(Statistic("payload_bytes_bounced"), sent.size());
  EXPECT_EQ(Statistic("tokens_issued"), Statistic("tokens_returned"));
  EXPECT_EQ(connection_->info().payload_bytes_received, sent.size());
}

TEST_F(CopySessionTest, TheProviderAutoGivesMemoryAndSaysWhyItIsThat) {
  EXPECT_EQ(session_->provider_choice(), "");
  const auto region = session_->Allocate({.provider = "auto", .bytes = kRegionBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->size_bytes(), kRegionBytes);
  EXPECT_EQ(session_->provider_choice().rfind(std::string((*region)->provider_name()), 0), 0u)
      << session_->provider_choice();
}

TEST_F(CopySessionTest, AReturnThatNamesNothingIsRefusedAndTheOthersAreReleased) {
  Peer peer = AcceptBound();
  peer.Send(Numbered(100));
  std::vector<Frag> frags = RecvSome();
  ASSERT_EQ(frags.size(), 1u);
  const Frag made_up{.region_id = region_->id(), .length_bytes = 1, .offset = 0, .token = 12345};
  frags.push_back(made_up);
  const absl::Status status = connection_->Release(frags);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().substr(0, 7), "1 of 2 ");
  EXPECT_EQ(Statistic("tokens_returned"), 1u);
  EXPECT_EQ(Statistic("tokens_refused"), 1u);
  EXPECT_FALSE(connection_->Release(std::span(frags).first(1)).ok());
}

TEST_F(CopySessionTest, ADeadlineThatHasPassedChangesNothing) {
  Peer peer = AcceptBound();
  std::array<Frag, 4> frags;
  EXPECT_EQ(connection_->Recv(frags, 0).status().code(), absl::StatusCode::kDeadlineExceeded);
  const Nanos soon = session_->Now() + kMillisecond;
  EXPECT_EQ(connection_->Recv(frags, soon).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(session_->Now(), soon);
  EXPECT_EQ(listener_->Accept(0).status().code(), absl::StatusCode::kDeadlineExceeded);
  peer.Send(Numbered(5));
  const auto count = connection_->Recv(frags);
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(*count, 1u);
  EXPECT_TRUE(connection_->Release(std::span(frags).first(*count)).ok());
}

TEST_F(CopySessionTest, WithoutABindingReadWorksAndRecvSaysWhyNot) {
  Peer peer = AcceptOne(std::nullopt);
  peer.Send(Numbered(300));
  std::array<Frag, 4> frags;
  const absl::Status refusal = connection_->Recv(frags).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refusal.message().find("use Read()"), absl::string_view::npos);
  std::vector<uint8_t> bytes(1000);
  const auto count = connection_->Read(bytes);
  ASSERT_TRUE(count.ok()) << count.status();
  bytes.resize(*count);
  EXPECT_EQ(bytes, Numbered(300));
  peer.Close();
  EXPECT_EQ(*connection_->Read(bytes), 0u);
  EXPECT_FALSE(connection_->info().bound);
}

TEST_F(CopySessionTest, ReadAndRecvMixOnOneStream) {
  Peer peer = AcceptBound();
  const std::vector<uint8_t> sent = Numbered(200);
  peer.Send(sent);
  std::vector<uint8_t> header(50);
  ASSERT_EQ(*connection_->Read(header), 50u);
  EXPECT_TRUE(std::equal(header.begin(), header.end(), sent.begin()));
  const std::vector<Frag> frags = RecvSome();
  ASSERT_EQ(frags.size(), 1u);
  EXPECT_EQ(frags[0].length_bytes, 150u);
  const auto view = RegionView::Map(*region_);
  EXPECT_EQ(view->bytes()[frags[0].offset], sent[50]);
  EXPECT_TRUE(connection_->Release(frags).ok());
}

TEST_F(CopySessionTest, TokensComeBackWhenTheFenceSignals) {
  Peer peer = AcceptBound();
  peer.Send(Numbered(10));
  const std::vector<Frag> frags = RecvSome();
  bool done = false;
  ASSERT_TRUE(connection_->Release(frags, Fence::FromCallback([&done] { return done; })).ok());
  session_->Drive();
  EXPECT_EQ(Statistic("tokens_returned"), 0u);
  done = true;
  session_->Drive();
  EXPECT_EQ(Statistic("tokens_returned"), 1u);
}

TEST_F(CopySessionTest, AWaitEndsWhenTheDescriptorOfAFenceSignals) {
  Peer peer = AcceptBound();
  peer.Send(Numbered(10));
  const std::vector<Frag> frags = RecvSome();
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  ASSERT_TRUE(connection_->Release(frags, Fence::FromFd(UniqueFd(::dup(event.get())))).ok());
  session_->Drive();
  EXPECT_EQ(Statistic("tokens_returned"), 0u);
  ASSERT_EQ(::eventfd_write(event.get(), 1), 0);
  session_->Wait(kNever);
  EXPECT_EQ(Statistic("tokens_returned"), 1u);
}

TEST_F(CopySessionTest, WhenTokensAreNotReturnedTheWindowClosesAndWhenTheyAreItOpens) {
  Peer peer = AcceptBound();
  const std::vector<uint8_t> sent = Numbered(kRegionBytes + 100'000);
  std::thread sender([&] {
    peer.Send(sent);
    peer.Close();
  });
  std::vector<Frag> held;
  uint64_t held_bytes = 0;
  while (held_bytes < kRegionBytes) {
    for (const Frag& frag : RecvSome()) {
      held.push_back(frag);
      held_bytes += frag.length_bytes;
    }
  }
  std::array<Frag, 4> frags;
  EXPECT_EQ(connection_->Recv(frags, 0).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(connection_->Recv(frags).status().code(), absl::StatusCode::kResourceExhausted);
  // A full pool is no news; a release makes the waiting bytes news again.
  pollfd news{session_->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&news, 1, 0), 0);
  EXPECT_TRUE(connection_->Release(held).ok());
  EXPECT_EQ(::poll(&news, 1, -1), 1);
  for (std::vector<Frag> more; !(more = RecvSome()).empty();) {
    for (const Frag& frag : more) held_bytes += frag.length_bytes;
    EXPECT_TRUE(connection_->Release(more).ok());
  }
  sender.join();
  EXPECT_EQ(held_bytes, sent.size());
}

TEST_F(CopySessionTest, BothSidesSendAndEndInOrder) {
  Peer peer = AcceptBound();
  const std::vector<uint8_t> reply = Numbered(2'000'000);
  std::vector<uint8_t> arrived;
  std::thread reader([&] { arrived = peer.ReceiveAll(); });
  for (size_t sent = 0; sent < reply.size();) {
    const auto count = connection_->Send(std::span(reply).subspan(sent));
    ASSERT_TRUE(count.ok()) << count.status();
    sent += *count;
  }
  EXPECT_TRUE(connection_->Shutdown().ok());
  EXPECT_TRUE(connection_->Flush().ok());
  EXPECT_EQ(connection_->info().state, "FIN-WAIT-2");
  EXPECT_EQ(connection_->Send(reply).status().code(), absl::StatusCode::kFailedPrecondition);
  reader.join();
  EXPECT_TRUE(arrived == reply);
  peer.Close();
  std::array<Frag, 4> frags;
  EXPECT_EQ(*connection_->Recv(frags), 0u);
}

TEST_F(CopySessionTest, AResetByThePeerBreaksTheConnectionAfterAllBytesWereHandedOut) {
  Peer peer = AcceptBound();
  peer.Send(Numbered(10));
  pollfd news{session_->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&news, 1, -1), 1);
  peer.Reset();
  const std::vector<Frag> frags = RecvSome();
  ASSERT_EQ(frags.size(), 1u);
  std::array<Frag, 4> more;
  EXPECT_EQ(connection_->Recv(more).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(connection_->Release(frags).ok());  // Its frags stay valid.
}

TEST_F(CopySessionTest, AbortResetsThePeer) {
  Peer peer = AcceptBound();
  connection_->Abort();
  int error = 0;
  peer.ReceiveAll(&error);
  EXPECT_EQ(error, ECONNRESET);
  std::array<Frag, 4> frags;
  EXPECT_EQ(connection_->Recv(frags).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(CopySessionTest, UnbindingResetsTheConnectionsAndTakesEveryTokenBack) {
  Peer peer = AcceptBound();
  peer.Send(Numbered(10));
  const std::vector<Frag> frags = RecvSome();
  ASSERT_TRUE(session_->Unbind(binding_).ok());
  int error = 0;
  peer.ReceiveAll(&error);
  EXPECT_EQ(error, ECONNRESET);
  std::array<Frag, 4> more;
  EXPECT_EQ(connection_->Recv(more).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(connection_->Release(frags).ok());
  EXPECT_EQ(session_->account(binding_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(session_->Unbind(binding_).code(), absl::StatusCode::kNotFound);
  const auto again = session_->Bind(*region_, {});
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST_F(CopySessionTest, ABoundConnectionGoesToAKernelServer) {
  Peer server = Peer::ListenAnywhere();
  auto connection =
      session_->Connect({.address = kLoopback, .port = server.port()}, binding_, kNever);
  ASSERT_TRUE(connection.ok()) << connection.status();
  connection_ = *std::move(connection);
  Peer peer = server.Accept();
  peer.Send(Numbered(10));
  const std::vector<Frag> frags = RecvSome();
  ASSERT_EQ(frags.size(), 1u);
  EXPECT_EQ(frags[0].length_bytes, 10u);
  EXPECT_EQ(connection_->info().state, "ESTABLISHED");
  EXPECT_TRUE(connection_->Release(frags).ok());
}

TEST_F(CopySessionTest, AConnectionThatNobodyAcceptsIsRefusedWithTheReason) {
  Peer server = Peer::ListenAnywhere();
  const uint16_t port = server.port();
  server.Close();
  const auto refused = session_->Connect({.address = kLoopback, .port = port}, binding_, kNever);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(refused.status().message().find("Connection refused"), absl::string_view::npos);
}

TEST_F(CopySessionTest, AnAddressThatIsNotOursIsRefusedWithTheListOfOurs) {
  const auto listener = session_->Listen({.address = "192.0.2.77", .port = 5201}, binding_);
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(listener.status().message().find("192.0.2.77 is not an address of this machine"),
            absl::string_view::npos);
  EXPECT_NE(listener.status().message().find(kLoopback), absl::string_view::npos);
}

TEST_F(CopySessionTest, APortInUseAndATextThatIsNoAddressAreRefused) {
  const Peer holder = Peer::ListenAnywhere();
  const auto in_use = session_->Listen({.address = kLoopback, .port = holder.port()}, binding_);
  EXPECT_EQ(in_use.status().code(), absl::StatusCode::kAlreadyExists);
  const auto no_address = session_->Listen({.address = "localhost", .port = 1}, binding_);
  EXPECT_EQ(no_address.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CopySessionTest, AnUnknownBindingAndAForeignQueueAreRefused) {
  const auto unknown = session_->Listen({.address = kLoopback}, BindingId{99});
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kNotFound);
  const auto foreign = session_->Listen({.address = kLoopback, .queue = 7}, binding_);
  EXPECT_EQ(foreign.status().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(CopySessionTest, EachQueueOfABindingReceivesIntoItsOwnSlice) {
  const auto region = MakeRegion(kRegionBytes);
  const auto binding = session_->Bind(*region, {.queues = {2, 3}});
  ASSERT_TRUE(binding.ok()) << binding.status();
  for (const uint32_t queue : {2u, 3u}) {
    auto listener = session_->Listen({.address = kLoopback, .queue = queue}, *binding);
    ASSERT_TRUE(listener.ok());
    Peer peer = Peer::ConnectTo((*listener)->port());
    auto connection = (*listener)->Accept();
    ASSERT_TRUE(connection.ok());
    peer.Send(Numbered(10));
    std::array<Frag, 4> frags;
    ASSERT_EQ(*(*connection)->Recv(frags), 1u);
    EXPECT_EQ(frags[0].offset, queue == 2 ? 0 : kRegionBytes / 2);
    EXPECT_EQ((*connection)->info().queue, queue);
    EXPECT_TRUE((*connection)->Release(std::span(frags).first(1)).ok());
  }
  EXPECT_TRUE(session_->account(*binding)->idle());
}

TEST_F(CopySessionTest, ConnectionsOfOneQueueMayBeUsedByDifferentThreads) {
  Open({.threading = Threading::kThread});
  auto listener = session_->Listen({.address = kLoopback}, binding_);
  ASSERT_TRUE(listener.ok());
  const std::vector<uint8_t> sent = Numbered(2 * kRegionBytes);
  const auto view = RegionView::Map(*region_);
  ASSERT_TRUE(view.ok());
  const auto receive_all = [&](Connection* connection, std::vector<uint8_t>* landed) {
    std::array<Frag, 16> frags;
    for (auto n = connection->Recv(frags, kNever); n.ok() && *n > 0;
         n = connection->Recv(frags, kNever)) {
      for (const Frag& frag : std::span(frags).first(*n)) {
        const auto part = view->bytes().subspan(frag.offset, frag.length_bytes);
        landed->insert(landed->end(), part.begin(), part.end());
      }
      EXPECT_TRUE(connection->Release(std::span(frags).first(*n)).ok());
    }
  };
  std::vector<std::unique_ptr<Connection>> connections;
  std::array<std::vector<uint8_t>, 2> landed;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < landed.size(); ++i) {
    Peer peer = Peer::ConnectTo((*listener)->port());
    connections.push_back(*(*listener)->Accept());
    threads.emplace_back(receive_all, connections.back().get(), &landed[i]);
    threads.emplace_back([&sent, client = std::move(peer)]() mutable { client.Send(sent); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(landed[0] == sent);
  EXPECT_TRUE(landed[1] == sent);
}

TEST_F(CopySessionTest, TheSessionSaysWhatItIs) {
  EXPECT_EQ(session_->info().backend, Backend::kCopy);
  EXPECT_EQ(session_->info().nic, "socket");
  EXPECT_EQ(session_->info().why, "the caller asked for it");
  EXPECT_FALSE(session_->Bind(*region_, {.queues = {64}}).ok());
}

}  // namespace
}  // namespace devmem
