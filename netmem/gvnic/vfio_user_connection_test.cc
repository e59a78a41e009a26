// SPDX-License-Identifier: Apache-2.0
//
// Framing: messages in pieces and in one piece, the descriptors of each, and streams that are no
// messages.

#include "netmem/gvnic/vfio_user_connection.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "netmem/gvnic/limits.h"
#include "selftests/testing/vfio_user_client.h"

namespace devmem {
namespace {

using testing::SendWithFds;
using testing::VfioUserBytes;

class VfioUserConnectionTest : public ::testing::Test {
 protected:
  VfioUserConnectionTest() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    client_ = UniqueFd(fds[0]);
    connection_ = std::make_unique<VfioUserConnection>(UniqueFd(fds[1]));
  }

  void Send(std::span<const uint8_t> bytes, std::span<const int> fds = {}) {
    SendWithFds(client_.get(), bytes, fds);
  }
  std::vector<uint8_t> Message(size_t body_bytes) {
    return VfioUserBytes(VfioUserCommand::kDmaMap, std::vector<uint8_t>(body_bytes, 0x5a));
  }
  std::vector<uint8_t> Header(uint32_t bytes) {
    std::vector<uint8_t> message = Message(0);
    std::memcpy(&message[4], &bytes, sizeof(bytes));
    return message;
  }

  UniqueFd client_;
  std::unique_ptr<VfioUserConnection> connection_;
};

TEST_F(VfioUserConnectionTest, AMessageInPiecesIsThereWhenItsLastByteIs) {
  const std::vector<uint8_t> bytes = Message(32);
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(*connection_->Receive(), nullptr);
    Send(std::span(bytes).subspan(i, 1));
  }
  const auto message = connection_->Receive();
  ASSERT_TRUE(message.ok());
  ASSERT_NE(*message, nullptr);
  EXPECT_EQ((*message)->body, std::vector<uint8_t>(32, 0x5a));
  EXPECT_EQ(*connection_->Receive(), nullptr);
}

// QEMU's start-up bursts: a message without descriptors directly before one with some.
TEST_F(VfioUserConnectionTest, DescriptorsBelongToTheMessageThatTheyCameWith) {
  const int fds[] = {client_.get(), client_.get()};
  Send(Message(24));
  Send(Message(32), fds);
  Send(Message(0));
  const size_t expected[] = {0, 2, 0};
  for (const size_t count : expected) {
    const auto message = connection_->Receive();
    ASSERT_TRUE(message.ok());
    ASSERT_NE(*message, nullptr);
    EXPECT_EQ((*message)->fds.size(), count);
  }
}

TEST_F(VfioUserConnectionTest, DescriptorsThatNobodyTakesAreClosed) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
  UniqueFd reader(pipe_fds[0]);
  UniqueFd writer(pipe_fds[1]);
  const int fds[] = {writer.get()};
  Send(Message(8), fds);
  Send(Message(8));
  writer.Reset();
  ASSERT_NE(*connection_->Receive(), nullptr);
  uint8_t byte;
  EXPECT_EQ(::read(reader.get(), &byte, 1), -1);
  ASSERT_NE(*connection_->Receive(), nullptr);
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0);
}

TEST_F(VfioUserConnectionTest, SizesThatNoMessageHasEndTheConnection) {
  for (const uint32_t bytes : {0u, 15u, kVfioUserMessageBytesMax + 1, UINT32_MAX}) {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    const UniqueFd client(fds[0]);
    VfioUserConnection connection{UniqueFd(fds[1])};
    SendWithFds(client.get(), Header(bytes));
    EXPECT_EQ(connection.Receive().status().code(), absl::StatusCode::kInvalidArgument) << bytes;
  }
}

TEST_F(VfioUserConnectionTest, MoreDescriptorsThanWereAgreedOnEndTheConnection) {
  const std::vector<int> fds(kVfioUserFdsMax + 1, client_.get());
  Send(Message(8), fds);
  EXPECT_EQ(connection_->Receive().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(VfioUserConnectionTest, AnEndBetweenMessagesIsToldFromOneWithin) {
  Send(Message(8));
  ASSERT_NE(*connection_->Receive(), nullptr);
  Send(std::span<const uint8_t>(Message(8)).first(20));
  EXPECT_EQ(*connection_->Receive(), nullptr);
  client_.Reset();
  EXPECT_EQ(connection_->Receive().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(VfioUserConnectionTest, AnOrderlyEndIsCancelled) {
  client_.Reset();
  EXPECT_EQ(connection_->Receive().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(VfioUserConnectionTest, AnswersRepeatTheCommandAndCarryErrors) {
  const VfioUserHeader command{.id = 9, .command = 4, .bytes = 16};
  ASSERT_TRUE(connection_->Reply(command, EINVAL, std::vector<uint8_t>(8)).ok());
  std::array<uint8_t, 64> bytes;
  ASSERT_EQ(::recv(client_.get(), bytes.data(), bytes.size(), 0), 16);
  const auto header = *LoadVfioUser<VfioUserHeader>(bytes);
  EXPECT_EQ(header.id, 9);
  EXPECT_EQ(header.command, 4);
  EXPECT_EQ(header.bytes, 16u);
  EXPECT_EQ(header.flags, VfioUserHeader::kReply | VfioUserHeader::kError);
  EXPECT_EQ(header.error, static_cast<uint32_t>(EINVAL));
}

TEST_F(VfioUserConnectionTest, AClientThatDoesNotReadItsAnswersIsGivenUp) {
  const VfioUserHeader command{.id = 1, .command = 9, .bytes = 16};
  const std::vector<uint8_t> body(kVfioUserTransferBytesMax);
  absl::Status status;
  uint32_t answers = 0;
  for (; status.ok() && answers < 1000; ++answers) status = connection_->Reply(command, 0, body);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(connection_->has_backlog());
  // What was accepted arrives, once it is read.
  size_t read = 0;
  std::vector<uint8_t> bytes(1u << 20);
  while (connection_->has_backlog()) {
    read += static_cast<size_t>(::recv(client_.get(), bytes.data(), bytes.size(), 0));
    ASSERT_TRUE(connection_->Flush().ok());
  }
  for (ssize_t got; (got = ::recv(client_.get(), bytes.data(), bytes.size(), 0)) > 0;) {
    read += static_cast<size_t>(got);
  }
  EXPECT_EQ(read, (answers - 1) * (sizeof(VfioUserHeader) + body.size()));
}

}  // namespace
}  // namespace devmem
