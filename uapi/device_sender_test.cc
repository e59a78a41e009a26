// SPDX-License-Identifier: Apache-2.0
//
// Sending from device memory: what the kernel is asked for, its notices, and the way through host
// memory where there is no other.

#include "uapi/device_sender.h"

#include <gtest/gtest.h>
#include <linux/errqueue.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "provider/dma_mapping.h"
#include "provider/test_region.h"
#include "selftests/testing/fake_nic.h"
#include "selftests/testing/loopback_peer.h"
#include "uapi/abi/devmem_socket.h"
#include "uapi/copy_session.h"
#include "uapi/kernel_session.h"

namespace devmem {
namespace {

using testing::kLoopback;
using testing::LoopbackPeer;

// A kernel that sends from dma-bufs, and says so when it is told to.
class SendingKernel final : public KernelCalls {
 public:
  struct Sent {
    uint32_t dmabuf_id = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    int flags = 0;
  };

  ssize_t SendMessage(int /*socket*/, const msghdr* message, int flags) override {
    if (!answers.empty()) {
      const ssize_t answer = answers.front();
      answers.pop_front();
      if (answer < 0) return answer;
    }
    const cmsghdr* const header = CMSG_FIRSTHDR(message);
    EXPECT_TRUE(header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_DEVMEM_DMABUF);
    EXPECT_EQ(header->cmsg_len, CMSG_LEN(4));
    Sent one{.offset = reinterpret_cast<uint64_t>(message->msg_iov->iov_base),
             .bytes = message->msg_iov->iov_len,
             .flags = flags};
    std::memcpy(&one.dmabuf_id, CMSG_DATA(header), sizeof(one.dmabuf_id));
    sent.push_back(one);
    return static_cast<ssize_t>(one.bytes);
  }
  ssize_t ReceiveMessage(int socket, msghdr* message, int flags) override {
    if ((flags & MSG_ERRQUEUE) == 0) return KernelCalls::ReceiveMessage(socket, message, flags);
    if (notices.empty()) return -EAGAIN;
    sock_extended_err error{};
    error.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
    error.ee_info = notices.front().first;
    error.ee_data = notices.front().second;
    notices.pop_front();
    cmsghdr* const header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_IP;
    header->cmsg_type = IP_RECVERR;
    header->cmsg_len = CMSG_LEN(sizeof(error));
    std::memcpy(CMSG_DATA(header), &error, sizeof(error));
    message->msg_controllen = CMSG_SPACE(sizeof(error));
    return 0;
  }
  int SetOption(int /*socket*/, int /*level*/, int name, const void* value,
                socklen_t bytes) override {
    options[name] = std::string(static_cast<const char*>(value), bytes);
    return name == refused_option ? -ENOPROTOOPT : 0;
  }

  std::deque<ssize_t> answers;                        // Of the next sends; 0: as asked.
  std::deque<std::pair<uint32_t, uint32_t>> notices;  // Ranges of send numbers.
  std::vector<Sent> sent;
  std::map<int, std::string> options;
  int refused_option = -1;
};

TEST(DeviceSenderTest, AsksForWhatTheKernelWants) {
  SendingKernel kernel;
  DeviceSender sender(3, &kernel);
  EXPECT_TRUE(sender.Prepare("eth7").ok());
  EXPECT_EQ(kernel.options.count(SO_ZEROCOPY), 1u);
  EXPECT_EQ(kernel.options[SO_BINDTODEVICE], std::string("eth7", 5));
  // Offset 0 is one like any other.
  EXPECT_EQ(sender.Send(9, 0, 4096), 4096);
  EXPECT_EQ(sender.Send(9, 8192, 100), 100);
  ASSERT_EQ(kernel.sent.size(), 2u);
  EXPECT_EQ(kernel.sent[1].dmabuf_id, 9u);
  EXPECT_EQ(kernel.sent[1].offset, 8192u);
  EXPECT_EQ(kernel.sent[1].flags, MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL);
}

TEST(DeviceSenderTest, ANoticeMayStandForSeveralSends) {
  SendingKernel kernel;
  DeviceSender sender(3, &kernel);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(sender.Send(1, 0, 10), 10);
  EXPECT_EQ(sender.outstanding(), 5u);
  kernel.notices = {{0, 2}};
  sender.TakeNotices();
  EXPECT_EQ(sender.outstanding(), 2u);
  kernel.notices = {{3, 3}, {4, 4}};
  sender.TakeNotices();
  EXPECT_EQ(sender.outstanding(), 0u);
}

TEST(DeviceSenderTest, SaysSoWhereTheKernelHasNoZerocopy) {
  SendingKernel kernel;
  kernel.refused_option = SO_ZEROCOPY;
  EXPECT_TRUE(absl::IsUnimplemented(DeviceSender(3, &kernel).Prepare("eth7")));
}

class SendFromTest : public ::testing::Test {
 protected:
  void Connect(std::unique_ptr<Session> session) {
    session_ = std::move(session);
    LoopbackPeer server = LoopbackPeer::ListenAnywhere();
    auto connection = session_->Connect({.address = kLoopback, .port = server.port()});
    ASSERT_TRUE(connection.ok()) << connection.status();
    connection_ = *std::move(connection);
    peer_.emplace(server.Accept());
  }
  void ConnectKernel() {
    Connect(*OpenKernelSession({.device = "fake0"}, "test",
                               std::make_unique<testing::FakeNic>(&nic_), &kernel_));
  }
  // What the peer gets of bytes that stand in a region from offset 100 on.
  void ExpectThroughHost(const Region& region) {
    std::vector<uint8_t> bytes(5000);
    std::iota(bytes.begin(), bytes.end(), uint8_t{3});
    MakeAttachment(region)->mapping().Write(100, bytes);
    EXPECT_EQ(*connection_->SendFrom(region, 100, bytes.size()), bytes.size());
    connection_.reset();
    EXPECT_EQ(peer_->ReceiveAll(), bytes);
  }

  testing::FakeNicState nic_;
  SendingKernel kernel_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Connection> connection_;
  std::optional<LoopbackPeer> peer_;
};

TEST_F(SendFromTest, TheNicReadsTheRegionAndFlushWaitsUntilItHas) {
  ConnectKernel();
  const testing::ExportableRegion region(1 << 20);
  EXPECT_EQ(*connection_->SendFrom(region, 4096, 1000), 1000u);
  EXPECT_EQ(*connection_->SendFrom(region, 8192, 500), 500u);
  ASSERT_EQ(nic_.tx_bindings.size(), 1u);
  EXPECT_EQ(region.exported_bytes, 1u << 20);
  EXPECT_EQ(kernel_.sent[0].dmabuf_id, nic_.tx_bindings.begin()->first);
  EXPECT_EQ(kernel_.options[SO_BINDTODEVICE], std::string("fake0", 6));
  EXPECT_TRUE(absl::IsDeadlineExceeded(connection_->Flush(0)));
  kernel_.notices = {{0, 1}};
  EXPECT_TRUE(connection_->Flush(0).ok());
  EXPECT_TRUE(absl::IsOutOfRange(connection_->SendFrom(region, 1 << 20, 1).status()));
}

TEST_F(SendFromTest, WhatTheKernelRefusesIsExplained) {
  ConnectKernel();
  const testing::ExportableRegion region(1 << 20);
  kernel_.answers = {-ENODEV};
  EXPECT_TRUE(absl::IsUnavailable(connection_->SendFrom(region, 0, 10).status()));
  kernel_.answers = {-EINVAL};
  EXPECT_TRUE(absl::IsUnimplemented(connection_->SendFrom(region, 0, 10).status()));
  // No room is waited for; here it is there at once.
  kernel_.answers = {-EAGAIN, -ENOBUFS};
  EXPECT_EQ(*connection_->SendFrom(region, 0, 10), 10u);
  nic_.bind_tx_answer = absl::PermissionDeniedError("no");
  const testing::ExportableRegion other(1 << 20);
  EXPECT_TRUE(absl::IsPermissionDenied(connection_->SendFrom(other, 0, 10).status()));
}

TEST_F(SendFromTest, ARegionThatGoesIsNoLongerBoundForSending) {
  ConnectKernel();
  testing::ExportableRegion region(1 << 20);
  EXPECT_EQ(*connection_->SendFrom(region, 0, 10), 10u);
  EXPECT_TRUE(session_->Remove(region, "done", session_->Now() + kSecond).ok());
  EXPECT_TRUE(nic_.tx_bindings.empty());
}

TEST_F(SendFromTest, ANicThatCannotSendsThroughHostMemory) {
  ConnectKernel();
  nic_.bind_tx_answer = absl::UnimplementedError("the driver does not support netmem TX");
  ExpectThroughHost(testing::ExportableRegion(1 << 20));
}

TEST_F(SendFromTest, TheCopyBackendSendsThroughHostMemory) {
  Connect(*OpenCopySession({}));
  ExpectThroughHost(*MakeRegion(1 << 20));
}

}  // namespace
}  // namespace devmem
