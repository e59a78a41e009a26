// SPDX-License-Identifier: Apache-2.0
//
// A kernel socket as the peer of a conformance test.

#include "selftests/conformance/peer.h"

#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

// The most that one write of a stream without sizes of its own offers to the socket.
constexpr uint32_t kWriteBytesDefault = 64 << 10;

void SetTcpOption(int fd, int option, int value) {
  EXPECT_EQ(::setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)), 0)
      << std::strerror(errno);
}

}  // namespace

size_t Peer::Send(std::span<const uint8_t> bytes) {
  const ssize_t sent = ::send(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<size_t>(sent);
  EXPECT_EQ(errno, EAGAIN) << "the peer cannot send: " << std::strerror(errno);
  return 0;
}

void Peer::SetNoDelay() { SetTcpOption(fd(), TCP_NODELAY, 1); }

void Peer::Cork(bool corked) { SetTcpOption(fd(), TCP_CORK, corked ? 1 : 0); }

void Peer::SetReceiveBuffer(int bytes) {
  EXPECT_EQ(::setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

ssize_t Peer::Receive(std::span<uint8_t> room) {
  const ssize_t got = ::recv(fd(), room.data(), room.size(), MSG_DONTWAIT);
  return got >= 0 ? got : -errno;
}

uint32_t Peer::UnacknowledgedBytes() const {
  int bytes = 0;
  EXPECT_EQ(::ioctl(fd(), SIOCOUTQ, &bytes), 0) << std::strerror(errno);
  return static_cast<uint32_t>(bytes);
}

void Peer::ShutDownSending() { EXPECT_EQ(::shutdown(fd(), SHUT_WR), 0) << std::strerror(errno); }

void Peer::Reset() {
  const linger at_once{1, 0};
  EXPECT_EQ(::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
  fd_.Reset();
}

Peer Peer::Accept() {
  return Peer(UniqueFd(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)));
}

uint64_t StreamSender::Push(uint64_t bytes_max) {
  uint64_t pushed = 0;
  while (!done() && pushed < bytes_max) {
    if (chunk_.empty()) {
      const std::vector<uint32_t>& sizes = stream_.write_bytes;
      const uint64_t write = sizes.empty() ? kWriteBytesDefault : sizes[write_++ % sizes.size()];
      chunk_.resize(std::min(write, stream_.bytes - sent_bytes_));
      FillPattern(stream_.seed, sent_bytes_, chunk_);
    }
    const size_t sent = peer_.Send(chunk_);
    if (sent == 0) break;
    chunk_.erase(chunk_.begin(), chunk_.begin() + static_cast<ptrdiff_t>(sent));
    sent_bytes_ += sent;
    pushed += sent;
  }
  return pushed;
}

}  // namespace devmem::testing
