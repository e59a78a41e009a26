// SPDX-License-Identifier: Apache-2.0
//
// A vfio-user client for tests: the other end of a server's socket, which says what QEMU says, or
// anything else. It runs the event loop itself until its answer is there, so that a test needs no
// second thread.

#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "netmem/gvnic/event_loop.h"
#include "netmem/gvnic/vfio_user_messages.h"
#include "provider/unique_fd.h"

namespace devmem::testing {

// The bytes of a structure.
template <typename Body>
std::vector<uint8_t> BytesOf(const Body& body) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&body);
  return {bytes, bytes + sizeof(body)};
}

// A command as it is on the wire.
inline std::vector<uint8_t> VfioUserBytes(VfioUserCommand command, std::span<const uint8_t> body,
                                          uint32_t flags = 0) {
  std::vector<uint8_t> bytes =
      BytesOf(VfioUserHeader{.id = 7,
                             .command = static_cast<uint16_t>(command),
                             .bytes = static_cast<uint32_t>(sizeof(VfioUserHeader) + body.size()),
                             .flags = flags});
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

// Writes all of `bytes`, with descriptors if there are some.
inline void SendWithFds(int socket, std::span<const uint8_t> bytes, std::span<const int> fds = {}) {
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(32 * sizeof(int))> control{};
  iovec vector{.iov_base = const_cast<uint8_t*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size_bytes());
  }
  ASSERT_EQ(::sendmsg(socket, &message, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

class VfioUserClient {
 public:
  struct Answer {
    uint32_t error = 0;
    std::vector<uint8_t> body;
  };

  VfioUserClient(EventLoop& loop, UniqueFd socket) : loop_(loop), socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  void Close() { socket_.Reset(); }

  // Sends a command and waits for its answer; nothing: the server closed the connection.
  std::optional<Answer> Call(VfioUserCommand command, std::span<const uint8_t> body,
                             std::span<const int> fds = {}) {
    SendWithFds(fd(), VfioUserBytes(command, body), fds);
    return Receive();
  }
  template <typename Body>
  std::optional<Answer> Call(VfioUserCommand command, const Body& body,
                             std::span<const int> fds = {}) {
    return Call(command, std::span<const uint8_t>(BytesOf(body)), fds);
  }
  // What a guest's write to a BAR is: nobody waits for it.
  void Post(uint32_t region, uint64_t offset, std::span<const uint8_t> data) {
    std::vector<uint8_t> body =
        BytesOf(VfioUserRegionAccess{offset, region, static_cast<uint32_t>(data.size())});
    body.insert(body.end(), data.begin(), data.end());
    SendWithFds(fd(), VfioUserBytes(VfioUserCommand::kRegionWrite, body, VfioUserHeader::kNoReply));
  }
  // The first command of every client.
  void Greet() {
    std::vector<uint8_t> body = BytesOf(VfioUserVersion{0, 0});
    body.push_back(0);
    const std::optional<Answer> answer =
        Call(VfioUserCommand::kVersion, std::span<const uint8_t>(body));
    ASSERT_TRUE(answer.has_value());
    ASSERT_EQ(answer->error, 0u);
  }

 private:
  // True: `bytes` is full. The loop runs whenever nothing has arrived.
  bool ReadAll(std::span<uint8_t> bytes) {
    size_t filled = 0;
    while (filled < bytes.size()) {
      const ssize_t got = ::recv(fd(), bytes.data() + filled, bytes.size() - filled, MSG_DONTWAIT);
      if (got == 0) return false;
      if (got > 0) {
        filled += static_cast<size_t>(got);
        continue;
      }
      if (errno != EAGAIN) return false;
      EXPECT_TRUE(loop_.RunOnce(0).ok());
    }
    return true;
  }
  std::optional<Answer> Receive() {
    std::array<uint8_t, sizeof(VfioUserHeader)> bytes;
    if (!ReadAll(bytes)) return std::nullopt;
    const auto header = *LoadVfioUser<VfioUserHeader>(bytes);
    EXPECT_EQ(header.id, 7);
    EXPECT_EQ(header.flags & VfioUserHeader::kTypeMask, VfioUserHeader::kReply);
    Answer answer{header.error, std::vector<uint8_t>(header.bytes - sizeof(header))};
    if (!ReadAll(answer.body)) return std::nullopt;
    return answer;
  }

  EventLoop& loop_;
  UniqueFd socket_;
};

}  // namespace devmem::testing
