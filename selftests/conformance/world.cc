// SPDX-License-Identifier: Apache-2.0
//
// Namespaces, addresses and peers' sockets of the conformance suite.

#include "selftests/conformance/world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <ostream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "selftests/testing/tap_fixture.h"

namespace devmem::testing {
namespace {

constexpr char kTapName[] = "dmc0";
// One more than the tests bind, so that there is one for what is not steered.
constexpr uint32_t kTapQueues = 3;

struct SocketAddress {
  SocketAddress(const std::string& text, uint16_t port) {
    if (absl::StrContains(text, ':')) {
      auto* const v6 = reinterpret_cast<sockaddr_in6*>(&storage);
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(port);
      EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr), 1) << text;
      bytes = sizeof(*v6);
    } else {
      auto* const v4 = reinterpret_cast<sockaddr_in*>(&storage);
      v4->sin_family = AF_INET;
      v4->sin_port = htons(port);
      EXPECT_EQ(::inet_pton(AF_INET, text.c_str(), &v4->sin_addr), 1) << text;
      bytes = sizeof(*v4);
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

  sockaddr_storage storage{};
  socklen_t bytes = 0;
};

}  // namespace

void PrintTo(Family family, std::ostream* out) {
  *out << (family == Family::kIpv6 ? "IPv6" : "IPv4");
}

World::World(const WorldOptions& options, Family family) : options_(options), family_(family) {
  if (options.own_world()) {
    MakeOwn();
  } else {
    FindGiven();
  }
}

void World::MakeOwn() {
  const bool v6 = family_ == Family::kIpv6;
  why_not_ = EnterNewNetwork(v6);
  if (options_.backend == Backend::kCopy) {
    ours_ = v6 ? "::1" : "127.0.0.1";
    peers_ = ours_;
  } else {
    ours_ = v6 ? "2001:db8::2" : "192.0.2.2";
    peers_ = v6 ? "2001:db8::1" : "192.0.2.1";
  }
}

void World::FindGiven() {
  for (size_t i = 0; i < options_.our_addresses.size(); ++i) {
    const bool v6 = absl::StrContains(options_.our_addresses[i], ':');
    if (v6 != (family_ == Family::kIpv6)) continue;
    ours_ = options_.our_addresses[i];
    peers_ = options_.peer_addresses[i];
  }
  if (ours_.empty()) why_not_ = "this run was given no address of the family";
  if (options_.peer_network.empty()) return;
  const std::string path = absl::StartsWith(options_.peer_network, "/")
                               ? options_.peer_network
                               : absl::StrCat("/run/netns/", options_.peer_network);
  peer_network_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(peer_network_.valid()) << path << ": " << std::strerror(errno);
}

SessionOptions World::session_options() const {
  SessionOptions session;
  session.backend = options_.backend;
  session.threading = options_.threading;
  session.connections_max = 256;
  const bool v6 = family_ == Family::kIpv6;
  session.addresses = {absl::StrCat(ours_, v6 ? "/64" : "/24")};
  if (!options_.own_world()) {
    session.device = options_.device;
    return session;
  }
  session.device = kTapName;
  session.kernel_address = absl::StrCat(peers_, v6 ? "/64" : "/24");
  session.queue_count = kTapQueues;
  return session;
}

// A socket belongs for good to the namespace of the thread that opens it.
UniqueFd World::PeerSocket() const {
  const int family = family_ == Family::kIpv6 ? AF_INET6 : AF_INET;
  const auto open = [family] {
    return UniqueFd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  };
  UniqueFd fd;
  if (peer_network_.valid()) {
    std::thread([&] {
      EXPECT_EQ(::setns(peer_network_.get(), CLONE_NEWNET), 0) << std::strerror(errno);
      fd = open();
    }).join();
  } else {
    fd = open();
  }
  EXPECT_TRUE(fd.valid()) << std::strerror(errno);
  return fd;
}

Peer World::Connect(uint16_t port) const {
  UniqueFd fd = PeerSocket();
  const SocketAddress to(ours_, port);
  if (::connect(fd.get(), to.get(), to.bytes) != 0) {
    EXPECT_EQ(errno, EINPROGRESS) << std::strerror(errno);
  }
  return Peer(std::move(fd));
}

Peer World::Listen(uint16_t port) const {
  UniqueFd fd = PeerSocket();
  const int on = 1;
  EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
  const SocketAddress at(peers_, port);
  EXPECT_EQ(::bind(fd.get(), at.get(), at.bytes), 0) << std::strerror(errno);
  EXPECT_EQ(::listen(fd.get(), 128), 0) << std::strerror(errno);
  return Peer(std::move(fd));
}

}  // namespace devmem::testing
