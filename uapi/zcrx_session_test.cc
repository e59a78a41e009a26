// SPDX-License-Identifier: Apache-2.0
//
// The public interface over the zcrx backend, with a NIC and an io_uring that are played, and the
// kernel's real sockets on the loopback beneath them. What can block has a deadline far away.

#include "uapi/zcrx_session.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "provider/region_view.h"
#include "provider/test_region.h"
#include "selftests/testing/fake_nic.h"
#include "selftests/testing/fake_zcrx_system.h"
#include "selftests/testing/loopback_peer.h"
#include "selftests/testing/nic_session_rig.h"

namespace devmem {
namespace {

using testing::FakeNic;
using testing::FakeZcrxSystem;
using testing::kLoopback;
using testing::LoopbackPeer;

constexpr uint64_t kRegionBytes = 4u << 20;

std::vector<uint8_t> Numbered(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  return bytes;
}

class ZcrxSessionTest : public testing::NicSessionRig {
 protected:
  ZcrxSessionTest() {
    region_ = MakeRegion(kRegionBytes);
    Open({.device = "fake0"});
  }
  ~ZcrxSessionTest() override {
    End();
    for (const FakeZcrxSystem::Opened& one : system_.opened) {
      EXPECT_TRUE(one.record.closed);
      EXPECT_EQ(one.record.over_returned, 0u);
    }
  }

  void Open(const SessionOptions& options) {
    session_.reset();
    Use(OpenZcrxSession(options, "a test asked for it", std::make_unique<FakeNic>(&nic_),
                        &system_));
  }
  // The next bytes of the stream; what they lay in is released.
  std::vector<uint8_t> Receive(Connection& connection, size_t count) {
    const auto view = RegionView::Map(*region_);
    std::vector<uint8_t> bytes;
    std::array<Frag, 16> frags;
    while (bytes.size() < count) {
      const auto got = connection.Recv(frags);
      EXPECT_TRUE(got.ok()) << got.status();
      if (!got.ok() || *got == 0) break;
      for (const Frag& frag : std::span(frags).first(*got)) {
        const auto part = view->bytes().subspan(frag.offset, frag.length_bytes);
        bytes.insert(bytes.end(), part.begin(), part.end());
      }
      EXPECT_TRUE(connection.Release(std::span(frags).first(*got)).ok());
    }
    return bytes;
  }

  FakeZcrxSystem system_;
};

TEST_F(ZcrxSessionTest, SaysWhatItRunsOn) {
  EXPECT_EQ(session_->info().backend, Backend::kZcrx);
  EXPECT_EQ(ToString(session_->info().backend), "zcrx");
  EXPECT_EQ(session_->info().device, "fake0");
  EXPECT_EQ(session_->info().why, "a test asked for it");
}

TEST_F(ZcrxSessionTest, ThreadsAreRefusedBecauseARingBelongsToOne) {
  const auto refused = OpenZcrxSession({.device = "fake0", .threading = Threading::kThread}, "why",
                                       std::make_unique<FakeNic>(&nic_), &system_);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(ZcrxSessionTest, AStreamLandsInTheRegionByteForByteAndEnds) {
  Bind();
  ASSERT_EQ(nic_.set_apart, std::vector<uint32_t>{1});
  LoopbackPeer peer = AcceptOne(binding_);
  const std::vector<uint8_t> sent = Numbered(200'000);
  peer.Send(sent);
  EXPECT_EQ(Receive(*connection_, sent.size()), sent);
  peer.Close();
  std::array<Frag, 4> frags;
  EXPECT_EQ(*connection_->Recv(frags), 0u);
}

TEST_F(ZcrxSessionTest, HostMemoryIsRegisteredByItsAddressAndADmabufAsAWhole) {
  Bind({.queues = {1}, .offset = 1 << 20, .bytes = 2 << 20});
  ASSERT_EQ(system_.opened.size(), 1u);
  EXPECT_FALSE(system_.opened[0].dmabuf);
  EXPECT_EQ(system_.opened[0].bytes, 2u << 20);
  EXPECT_EQ(system_.opened[0].options.queue, 1u);
  EXPECT_EQ(system_.opened[0].options.chunk_bytes, 0u);
  LoopbackPeer peer = AcceptOne(binding_);
  peer.Send(Numbered(5000));
  std::array<Frag, 4> frags;
  const auto got = connection_->Recv(frags);
  ASSERT_TRUE(got.ok());
  EXPECT_GE(frags[0].offset, 1u << 20);
  EXPECT_TRUE(connection_->Release(std::span(frags).first(*got)).ok());
  EXPECT_EQ(Receive(*connection_, 0).size(), 0u);
}

TEST_F(ZcrxSessionTest, EachQueueHasARingAndAPartOfItsOwn) {
  Bind({.queues = {1, 2}});
  ASSERT_EQ(system_.opened.size(), 2u);
  EXPECT_EQ(system_.opened[0].bytes, kRegionBytes / 2);
  EXPECT_EQ(system_.opened[1].options.queue, 2u);
  auto listener = session_->Listen({.address = kLoopback, .queue = 2}, binding_);
  ASSERT_TRUE(listener.ok()) << listener.status();
  ASSERT_EQ(nic_.rules.size(), 1u);
  EXPECT_EQ(nic_.rules.begin()->second.queue, 2u);
  EXPECT_EQ(nic_.rules.begin()->second.match.local_port, (*listener)->port());
}

TEST_F(ZcrxSessionTest, ARefusedQueueEndsThoseBeforeItAndSaysWhy) {
  system_.refused_from = 1;
  nic_.link_state = "; fake0 has lost its link";
  system_.open_answer = absl::AlreadyExistsError("queue 2 is bound already");
  const absl::Status refused = session_->Bind(*region_, {.queues = {1, 2}}).status();
  EXPECT_EQ(refused.message(), "queue 2 is bound already; fake0 has lost its link");
  EXPECT_TRUE(system_.opened[0].record.closed);
  EXPECT_EQ(system_.freed, std::vector<uint32_t>{1});
  system_.refused_from = SIZE_MAX;
  Bind({.queues = {1, 2}});
}

TEST_F(ZcrxSessionTest, UnbindingClosesTheRingWaitsForTheQueueAndResetsThePeer) {
  Bind();
  LoopbackPeer peer = AcceptOne(binding_);
  peer.Send(Numbered(1000));
  std::array<Frag, 4> frags;
  ASSERT_TRUE(connection_->Recv(frags).ok());
  EXPECT_TRUE(session_->Unbind(binding_).ok());
  EXPECT_TRUE(system_.opened[0].record.closed);
  EXPECT_EQ(system_.freed, std::vector<uint32_t>{1});
  EXPECT_EQ(connection_->Recv(frags).status().code(), absl::StatusCode::kUnavailable);
  int error = 0;
  (void)peer.ReceiveAll(&error);
  EXPECT_EQ(error, ECONNRESET);
  Bind();
}

TEST_F(ZcrxSessionTest, TheSessionsDescriptorWakesForBytesOfTheRing) {
  Bind();
  LoopbackPeer peer = AcceptOne(binding_);
  session_->Drive();
  pollfd polled{session_->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 0), 0);
  peer.Send(Numbered(100));
  EXPECT_EQ(::poll(&polled, 1, 60'000), 1);
  EXPECT_GT(session_->Drive(), 0u);
  EXPECT_EQ(Receive(*connection_, 100), Numbered(100));
}

TEST_F(ZcrxSessionTest, ReadAndRecvMixOnOneStream) {
  Bind();
  LoopbackPeer peer = AcceptOne(binding_);
  const std::vector<uint8_t> sent = Numbered(10'000);
  peer.Send(sent);
  std::vector<uint8_t> header;
  while (header.size() < 50) {
    std::array<uint8_t, 50> part;
    const auto got = connection_->Read(std::span(part).first(50 - header.size()));
    ASSERT_TRUE(got.ok()) << got.status();
    header.insert(header.end(), part.begin(), part.begin() + static_cast<ptrdiff_t>(*got));
  }
  EXPECT_EQ(header, std::vector<uint8_t>(sent.begin(), sent.begin() + 50));
  EXPECT_EQ(Receive(*connection_, 9950), std::vector<uint8_t>(sent.begin() + 50, sent.end()));
}

TEST_F(ZcrxSessionTest, WhoHoldsEverythingAndWaitsForEverIsToldToRelease) {
  Open({.device = "fake0", .held_bytes_max = 64 << 10});
  Bind();
  LoopbackPeer peer = AcceptOne(binding_);
  peer.Send(Numbered(1 << 20));
  std::array<Frag, 16> frags;
  std::vector<Frag> held;
  for (;;) {
    const auto got = connection_->Recv(frags);
    if (!got.ok()) {
      EXPECT_EQ(got.status().code(), absl::StatusCode::kResourceExhausted) << got.status();
      break;
    }
    ASSERT_GT(*got, 0u);
    held.insert(held.end(), frags.begin(), frags.begin() + static_cast<ptrdiff_t>(*got));
  }
  EXPECT_TRUE(connection_->Release(held).ok());
  EXPECT_GT(*connection_->Recv(frags), 0u);
  connection_->Abort();
  EXPECT_TRUE(session_->Unbind(binding_).ok());
}

TEST_F(ZcrxSessionTest, AnActiveOpenHasItsRuleBeforeItsFirstPacket) {
  Bind();
  LoopbackPeer server = LoopbackPeer::ListenAnywhere();
  FlowMatch seen;
  nic_.on_rule = [&](const FlowMatch& match) {
    seen = match;
    // Nobody has connected yet.
    pollfd polled{server.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&polled, 1, 0), 0);
  };
  auto connection = session_->Connect({.address = kLoopback, .port = server.port()}, binding_);
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ(seen.remote_port, server.port());
  EXPECT_NE(seen.local_port, 0);
  LoopbackPeer peer = server.Accept();
  peer.Send(Numbered(3000));
  EXPECT_EQ(Receive(**connection, 3000), Numbered(3000));
  connection->reset();
  EXPECT_TRUE(nic_.rules.empty());
}

TEST_F(ZcrxSessionTest, AConnectionClosedWithBytesUnreadResetsItsPeer) {
  Bind();
  LoopbackPeer peer = AcceptOne(binding_);
  peer.Send(Numbered(1000));
  while (system_.opened[0].record.user_references == 0) session_->Drive();
  connection_.reset();
  int error = 0;
  (void)peer.ReceiveAll(&error);
  EXPECT_EQ(error, ECONNRESET);
}

TEST_F(ZcrxSessionTest, WithoutABindingBytesComeByRead) {
  LoopbackPeer peer = AcceptOne(std::nullopt);
  peer.Send(Numbered(100));
  std::vector<uint8_t> bytes(100);
  EXPECT_EQ(*connection_->Read(bytes), 100u);
  EXPECT_EQ(bytes, Numbered(100));
}

}  // namespace
}  // namespace devmem
