// SPDX-License-Identifier: Apache-2.0
//
// A TCP socket of the kernel's as the peer of a session, blocking, with streams of the test
// pattern. Used on the test's thread or on one of its own; a call that gets stuck fails the test
// after a while.

#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "provider/unique_fd.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {

class KernelPeer {
 public:
  static KernelPeer Connect(const std::string& address, uint16_t port) {
    KernelPeer peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in to = At(address, port);
    EXPECT_EQ(::connect(peer.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0)
        << std::strerror(errno);
    return peer;
  }
  static KernelPeer Listen(const std::string& address, uint16_t port) {
    KernelPeer peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in at = At(address, port);
    EXPECT_EQ(::bind(peer.fd(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0)
        << std::strerror(errno);
    EXPECT_EQ(::listen(peer.fd(), 8), 0);
    return peer;
  }
  KernelPeer Accept() { return KernelPeer(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC)); }

  int fd() const { return fd_.get(); }

  // Sends bytes [offset, offset + bytes) of stream `seed`. Returns how many the kernel took.
  uint64_t SendPattern(uint64_t seed, uint64_t bytes, uint64_t offset = 0) {
    auto chunk = std::make_unique<std::array<uint8_t, 64 << 10>>();
    uint64_t done = 0;
    while (done < bytes) {
      const std::span<uint8_t> part =
          std::span(*chunk).first(std::min<uint64_t>(bytes - done, chunk->size()));
      FillPattern(seed, offset + done, part);
      if (!SendAll(part)) return done;
      done += part.size();
    }
    return done;
  }
  bool SendAll(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes = bytes.subspan(static_cast<size_t>(sent));
    }
    return true;
  }
  void ShutDownSending() { EXPECT_EQ(::shutdown(fd(), SHUT_WR), 0) << std::strerror(errno); }

  // The next `bytes` bytes, or fewer at the end of the stream.
  std::vector<uint8_t> Read(size_t bytes) {
    std::vector<uint8_t> room(bytes);
    size_t done = 0;
    while (done < bytes) {
      const ssize_t got = ::recv(fd(), room.data() + done, bytes - done, 0);
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    room.resize(done);
    return room;
  }
  // Reads to the end: how many bytes of stream `seed` came, all of them right; 0 if any was wrong.
  uint64_t ReadPatternToEnd(uint64_t seed) {
    auto chunk = std::make_unique<std::array<uint8_t, 64 << 10>>();
    uint64_t offset = 0;
    while (true) {
      const ssize_t got = ::recv(fd(), chunk->data(), chunk->size(), 0);
      if (got <= 0) return got == 0 ? offset : 0;
      const auto part = std::span(*chunk).first(static_cast<size_t>(got));
      if (FindMismatch(seed, offset, part).has_value()) return 0;
      offset += part.size();
    }
  }

 private:
  explicit KernelPeer(int fd) : fd_(fd) {
    EXPECT_TRUE(fd_.valid()) << std::strerror(errno);
    const timeval patience{60, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  }
  static sockaddr_in At(const std::string& address, uint16_t port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    EXPECT_EQ(::inet_pton(AF_INET, address.c_str(), &at.sin_addr), 1);
    return at;
  }

  UniqueFd fd_;
};

}  // namespace devmem::testing
