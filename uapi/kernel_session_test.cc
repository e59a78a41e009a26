// SPDX-License-Identifier: Apache-2.0
//
// The public interface over the kernel backend, with a NIC and a devmem TCP that are played, and
// the kernel's real sockets on the loopback beneath them. Nothing sleeps.

#include "uapi/kernel_session.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "netmem/wire/ip_address.h"
#include "provider/memfd_provider.h"
#include "selftests/testing/fake_kernel.h"
#include "selftests/testing/fake_nic.h"
#include "selftests/testing/loopback_peer.h"
#include "selftests/testing/nic_session_rig.h"

namespace devmem {
namespace {

using testing::ExportableRegion;
using testing::FakeKernel;
using testing::FakeNic;
using testing::kLoopback;
using testing::LoopbackPeer;

constexpr uint64_t kRegionBytes = 4u << 20;
constexpr uint64_t kPage = 4096;

class KernelSessionTest : public testing::NicSessionRig {
 protected:
  KernelSessionTest() { Open(&kernel_); }
  ~KernelSessionTest() override { End(); }

  void Open(KernelCalls* calls) {
    session_ = nullptr;
    Use(OpenKernelSession({.device = "fake0"}, "a test asked for it",
                          std::make_unique<FakeNic>(&nic_), calls));
    auto region = std::make_unique<ExportableRegion>(kRegionBytes);
    exportable_ = region.get();
    region_ = std::move(region);
  }

  FakeKernel kernel_;
  const ExportableRegion* exportable_ = nullptr;  // The region.
};

TEST_F(KernelSessionTest, SaysWhatItRunsOn) {
  EXPECT_EQ(session_->info().backend, Backend::kKernel);
  EXPECT_EQ(session_->info().device, "fake0");
  EXPECT_EQ(session_->info().nic, "fake");
  EXPECT_EQ(session_->info().why, "a test asked for it");
  EXPECT_EQ(session_->info().queue_count, 4u);
}

TEST_F(KernelSessionTest, BindingSetsTheQueuesApartAndBindsTheSubRange) {
  Bind({.queues = {1, 3}, .offset = 1 << 20, .bytes = 2 << 20});
  EXPECT_EQ(nic_.set_apart, (std::vector<uint32_t>{1, 3}));
  ASSERT_EQ(nic_.rx_bindings.size(), 1u);
  EXPECT_EQ(nic_.rx_bindings.begin()->second, (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(exportable_->exported_offset, 1u << 20);
  EXPECT_EQ(exportable_->exported_bytes, 2u << 20);
  // The two queues share one allocator: the account is that of all pages, once.
  EXPECT_EQ(session_->account(binding_)->total, (2u << 20) / kPage);
  EXPECT_TRUE(session_->Unbind(binding_).ok());
  EXPECT_TRUE(nic_.rx_bindings.empty());
}

TEST_F(KernelSessionTest, ABindThatTheNicRefusesLeavesNothingBehind) {
  nic_.bind_rx_answer = absl::AlreadyExistsError("queue 1 is bound already");
  EXPECT_TRUE(absl::IsAlreadyExists(session_->Bind(*region_, {}).status()));
  nic_.bind_rx_answer = absl::OkStatus();
  Bind();
  EXPECT_EQ(region_->life()->user_count(), 1u);
}

TEST_F(KernelSessionTest, WhatAKernelNicCannotWriteIsRefusedWithTheReason) {
  const absl::Status chunks = session_->Bind(*region_, {.net_iov_bytes = 8192}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(chunks)) << chunks;
  EXPECT_NE(chunks.message().find("8192"), absl::string_view::npos);
  EXPECT_TRUE(absl::IsOutOfRange(session_->Bind(*region_, {.queues = {4}}).status()));
  auto movable =
      MemfdProvider().Allocate({.bytes = kRegionBytes, .kind = AttachmentKind::kMayMove});
  ASSERT_TRUE(movable.ok()) << movable.status();
  EXPECT_FALSE(session_->Bind(**movable, {}).ok());
  EXPECT_TRUE(nic_.set_apart.empty());
}

TEST_F(KernelSessionTest, PayloadLandsInTheRegionAndItsTokensGoBack) {
  Bind();
  kernel_.Devmem(FakeKernel::kNextSocket, 0, kPage);
  kernel_.Devmem(FakeKernel::kNextSocket, kPage, kPage);
  kernel_.Linear(FakeKernel::kNextSocket, std::vector<uint8_t>(10, 0x5a));
  kernel_.End(FakeKernel::kNextSocket);
  const LoopbackPeer peer = AcceptOne(binding_);
  std::array<Frag, 8> frags;
  const auto count = connection_->Recv(frags, 0);
  ASSERT_TRUE(count.ok()) << count.status();
  ASSERT_EQ(*count, 2u);
  EXPECT_EQ(frags[0].region_id, region_->id());
  EXPECT_EQ(frags[0].length_bytes, 2 * kPage);
  EXPECT_EQ(frags[1].region_id, session_->host_region_id());
  EXPECT_EQ(session_->account(binding_)->used, 2u);
  EXPECT_TRUE(connection_->Release(std::span(frags).first(2)).ok());
  EXPECT_FALSE(connection_->Release(std::span(frags).first(2)).ok());
  EXPECT_EQ(StatisticOf("tokens_refused"), 2u);
  EXPECT_EQ(StatisticOf("dontneed_calls"), 1u);
  EXPECT_EQ(StatisticOf("kernel_tokens_held"), 0u);
  EXPECT_EQ(StatisticOf("steered_bytes"), 2 * kPage);
  EXPECT_EQ(StatisticOf("payload_bytes_bounced"), 10u);
  EXPECT_EQ(*connection_->Recv(frags, 0), 0u);
}

TEST_F(KernelSessionTest, TokensWaitForTheirFence) {
  Bind();
  kernel_.Devmem(FakeKernel::kNextSocket, 0, kPage);
  const LoopbackPeer peer = AcceptOne(binding_);
  std::array<Frag, 8> frags;
  ASSERT_EQ(*connection_->Recv(frags, 0), 1u);
  bool done = false;
  EXPECT_TRUE(
      connection_->Release(std::span(frags).first(1), Fence::FromCallback([&done] { return done; }))
          .ok());
  session_->Drive();
  EXPECT_EQ(StatisticOf("kernel_tokens_held"), 1u);
  EXPECT_TRUE(absl::IsFailedPrecondition(session_->Unbind(binding_)));
  done = true;
  session_->Drive();
  EXPECT_EQ(StatisticOf("kernel_tokens_held"), 0u);
}

TEST_F(KernelSessionTest, AListenersRuleStaysUntilItsLastConnectionHasGone) {
  Bind({.queues = {2}});
  const LoopbackPeer peer = AcceptOne(binding_);
  ASSERT_EQ(nic_.rules.size(), 1u);
  const auto& rule = nic_.rules.begin()->second;
  EXPECT_EQ(rule.queue, 2u);
  EXPECT_EQ(rule.match.local, ParseIpAddress(kLoopback));
  EXPECT_EQ(rule.match.local_port, listener_->port());
  EXPECT_FALSE(rule.match.remote.has_value() || rule.match.remote_port.has_value());
  const uint16_t port = listener_->port();
  listener_.reset();
  EXPECT_EQ(nic_.rules.size(), 1u);
  // The same address and port again: the rule that is there serves both.
  auto again = session_->Listen({.address = kLoopback, .port = port}, binding_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(nic_.rules.size(), 1u);
  connection_.reset();
  EXPECT_EQ(nic_.rules.size(), 1u);
  again->reset();
  EXPECT_TRUE(nic_.rules.empty());
}

TEST_F(KernelSessionTest, AnActiveOpenIsSteeredBeforeItsSynLeaves) {
  Bind();
  LoopbackPeer server = LoopbackPeer::ListenAnywhere();
  std::optional<FlowMatch> seen;
  nic_.on_rule = [&](const FlowMatch& match) {
    seen = match;
    pollfd polled{server.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&polled, 1, 0), 0);  // No SYN has arrived.
  };
  auto connection = session_->Connect({.address = kLoopback, .port = server.port()}, binding_);
  ASSERT_TRUE(connection.ok()) << connection.status();
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->remote, ParseIpAddress(kLoopback));
  EXPECT_EQ(seen->local, ParseIpAddress(kLoopback));
  EXPECT_EQ(seen->remote_port, server.port());
  const std::string local = (*connection)->info().local;
  EXPECT_EQ(local, "127.0.0.1:" + std::to_string(*seen->local_port));
}

TEST_F(KernelSessionTest, ARuleThatTheNicRefusesOpensNoPort) {
  Bind();
  nic_.rule_answer = absl::ResourceExhaustedError("the rule table is full");
  EXPECT_TRUE(
      absl::IsResourceExhausted(session_->Listen({.address = kLoopback}, binding_).status()));
  LoopbackPeer server = LoopbackPeer::ListenAnywhere();
  EXPECT_TRUE(absl::IsResourceExhausted(
      session_->Connect({.address = kLoopback, .port = server.port()}, binding_).status()));
}

TEST_F(KernelSessionTest, WithoutABindingAConnectionLivesInHostMemory) {
  LoopbackPeer peer = AcceptOne(std::nullopt);
  EXPECT_TRUE(nic_.rules.empty());
  peer.Send(std::vector<uint8_t>(300, 7));
  std::array<uint8_t, 1000> bytes;
  EXPECT_EQ(*connection_->Read(bytes), 300u);
  std::array<Frag, 4> frags;
  EXPECT_TRUE(absl::IsFailedPrecondition(connection_->Recv(frags).status()));
}

TEST_F(KernelSessionTest, BytesOfAnUnboundQueueAreHostFragsAndCounted) {
  Open(&KernelCalls::System());
  Bind();
  LoopbackPeer peer = AcceptOne(binding_);
  peer.Send(std::vector<uint8_t>(5000, 0x42));
  peer.Close();
  uint64_t bytes = 0;
  std::array<Frag, 8> frags;
  for (;;) {
    const auto count = connection_->Recv(frags);
    ASSERT_TRUE(count.ok()) << count.status();
    if (*count == 0) break;
    for (size_t i = 0; i < *count; ++i) {
      EXPECT_EQ(frags[i].region_id, session_->host_region_id());
      bytes += frags[i].length_bytes;
    }
    EXPECT_TRUE(connection_->Release(std::span(frags).first(*count)).ok());
  }
  EXPECT_EQ(bytes, 5000u);
  EXPECT_EQ(StatisticOf("payload_bytes_bounced"), 5000u);
  EXPECT_EQ(StatisticOf("unbound_queue_bytes"), 5000u);
}

TEST_F(KernelSessionTest, UnbindingWithTokensOutReturnsThemAndResetsTheConnection) {
  Bind();
  kernel_.Devmem(FakeKernel::kNextSocket, 0, 3 * kPage);
  const LoopbackPeer peer = AcceptOne(binding_);
  std::array<Frag, 8> frags;
  ASSERT_EQ(*connection_->Recv(frags, 0), 1u);
  EXPECT_TRUE(session_->Unbind(binding_).ok());
  EXPECT_EQ(StatisticOf("kernel_tokens_held"), 0u);
  EXPECT_TRUE(nic_.rx_bindings.empty());
  EXPECT_TRUE(absl::IsUnavailable(connection_->Recv(frags, 0).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(connection_->Release(std::span(frags).first(1))));
  EXPECT_TRUE(absl::IsNotFound(session_->account(binding_).status()));
}

TEST_F(KernelSessionTest, FragsOutliveTheirConnection) {
  Bind();
  kernel_.Devmem(FakeKernel::kNextSocket, 0, kPage);
  const LoopbackPeer peer = AcceptOne(binding_);
  std::array<Frag, 8> frags;
  ASSERT_EQ(*connection_->Recv(frags, 0), 1u);
  connection_.reset();
  EXPECT_EQ(StatisticOf("sockets_kept"), 1u);
  EXPECT_EQ(session_->account(binding_)->used, 1u);
  const LoopbackPeer second = AcceptOne(binding_);
  EXPECT_TRUE(connection_->Release(std::span(frags).first(1)).ok());
  EXPECT_EQ(session_->account(binding_)->used, 0u);
}

TEST_F(KernelSessionTest, ARegionThatIsRemovedDrainsAndIsUnbound) {
  Bind();
  kernel_.Devmem(FakeKernel::kNextSocket, 0, kPage);
  const LoopbackPeer peer = AcceptOne(binding_);
  std::array<Frag, 8> frags;
  ASSERT_EQ(*connection_->Recv(frags, 0), 1u);
  EXPECT_TRUE(session_->BindingStatus(binding_).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(session_->Remove(*region_, "no longer needed", 0)));
  EXPECT_TRUE(absl::IsAborted(session_->BindingStatus(binding_)));
  EXPECT_TRUE(nic_.rx_bindings.empty());
}

TEST_F(KernelSessionTest, ReceivingStopsAtTheBudgetAndSaysSo) {
  Bind();
  kernel_.Devmem(FakeKernel::kNextSocket, 0, kRegionBytes);
  const LoopbackPeer peer = AcceptOne(binding_);
  std::vector<Frag> held;
  std::array<Frag, 8> frags;
  for (;;) {
    const auto count = connection_->Recv(frags);
    if (!count.ok()) {
      EXPECT_TRUE(absl::IsResourceExhausted(count.status())) << count.status();
      EXPECT_NE(count.status().message().find("held_bytes_max"), absl::string_view::npos);
      break;
    }
    held.insert(held.end(), frags.begin(), frags.begin() + static_cast<ptrdiff_t>(*count));
  }
  EXPECT_EQ(session_->account(binding_)->used * kPage, kRegionBytes / 2);
  EXPECT_TRUE(connection_->Release(held).ok());
  EXPECT_TRUE(connection_->Recv(frags).ok());
  EXPECT_TRUE(session_->Unbind(binding_).ok());
}

}  // namespace
}  // namespace devmem
