// SPDX-License-Identifier: Apache-2.0
//
// A peer on the loopback for tests of sessions over kernel sockets: an ordinary blocking socket.
// Used by one thread at a time.

#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "provider/unique_fd.h"

namespace devmem::testing {

inline constexpr char kLoopback[] = "127.0.0.1";

// An ordinary client or server of the kernel, blocking.
class LoopbackPeer {
 public:
  static LoopbackPeer ConnectTo(uint16_t port) {
    LoopbackPeer peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to = Address(port);
    EXPECT_EQ(::connect(peer.fd(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    return peer;
  }
  static LoopbackPeer ListenAnywhere() {
    LoopbackPeer peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at = Address(0);
    EXPECT_EQ(::bind(peer.fd(), reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
    EXPECT_EQ(::listen(peer.fd(), 4), 0);
    return peer;
  }
  LoopbackPeer Accept() { return LoopbackPeer(::accept(fd(), nullptr, nullptr)); }
  uint16_t port() const {
    sockaddr_in at{};
    socklen_t bytes = sizeof(at);
    EXPECT_EQ(::getsockname(fd(), reinterpret_cast<sockaddr*>(&at), &bytes), 0);
    return ntohs(at.sin_port);
  }

  void Send(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(sent, 0) << std::strerror(errno);
      bytes = bytes.subspan(static_cast<size_t>(sent));
    }
  }
  // All bytes up to the end, or to an error, which is put into `error`.
  std::vector<uint8_t> ReceiveAll(int* error = nullptr) {
    std::vector<uint8_t> all;
    std::array<uint8_t, 4096> part;
    ssize_t got = 0;
    while ((got = ::recv(fd(), part.data(), part.size(), 0)) > 0) {
      all.insert(all.end(), part.begin(), part.begin() + got);
    }
    if (error != nullptr) *error = got < 0 ? errno : 0;
    return all;
  }
  void Reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    fd_.Reset();
  }
  void Close() { fd_.Reset(); }
  int fd() const { return fd_.get(); }

 private:
  explicit LoopbackPeer(int fd) : fd_(fd) { EXPECT_GE(fd, 0); }
  static sockaddr_in Address(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  UniqueFd fd_;
};

}  // namespace devmem::testing
