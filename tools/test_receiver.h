// SPDX-License-Identifier: Apache-2.0
//
// For tests of ncdevmem's receive loop: it runs over the copy backend on the loopback, and a kernel
// socket in another thread is its peer, from the moment that the loop says that it listens.

#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "tools/blocking_tcp.h"
#include "tools/ncdevmem_receive.h"
#include "tools/pattern.h"
#include "tools/sha256.h"

namespace devmem {

inline constexpr char kLoopback[] = "127.0.0.1";
inline constexpr PatternSpec kModSeven{PatternSpec::Kind::kModulo, 7};

inline NcdevmemOptions Listening() {
  NcdevmemOptions options;
  options.listen = true;
  options.server_address = kLoopback;
  options.port = 0;
  options.backend = Backend::kCopy;
  options.region_bytes = 1u << 20;
  return options;
}

inline std::vector<uint8_t> Content(uint64_t bytes) {
  Pattern pattern(kModSeven);
  std::vector<uint8_t> content;
  while (content.size() < bytes) {
    const auto part = pattern.At(content.size(), bytes - content.size());
    content.insert(content.end(), part.begin(), part.end());
  }
  return content;
}

inline std::string HashOf(std::span<const uint8_t> bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

// A client of the kernel.
class Client {
 public:
  explicit Client(uint16_t port) {
    auto socket = ConnectTo(kLoopback, port, "");
    EXPECT_TRUE(socket.ok()) << socket.status();
    if (socket.ok()) socket_ = *std::move(socket);
  }
  // Sends everything, unless the receiver has enough before.
  void Send(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
  }
  // Says that it is done, and reads the answer to its end.
  std::string Finish() {
    ::shutdown(socket_.get(), SHUT_WR);
    return ReadAnswer();
  }
  // Until the receiver closes, in order or with a reset.
  std::string ReadAnswer() {
    std::string answer;
    char part[4096];
    ssize_t got = 0;
    while ((got = ::recv(socket_.get(), part, sizeof(part), 0)) > 0) {
      answer.append(part, static_cast<size_t>(got));
    }
    return answer;
  }

 private:
  UniqueFd socket_;
};

inline std::string SendAndReadAnswer(uint16_t port, std::span<const uint8_t> bytes) {
  Client client(port);
  client.Send(bytes);
  return client.Finish();
}

// Runs a receiver; `peer` runs in a thread of its own with the ports, once the receiver listens.
inline RunResult RunWith(const NcdevmemOptions& options,
                         const std::function<void(const std::vector<uint16_t>&)>& peer) {
  std::vector<uint16_t> ports;
  std::thread thread;
  NcdevmemReceiver::Hooks hooks;
  hooks.stopped = [] { return false; };
  hooks.listening = [&ports](absl::string_view endpoint) {
    uint32_t port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(endpoint.substr(endpoint.rfind(':') + 1), &port));
    ports.push_back(static_cast<uint16_t>(port));
  };
  hooks.ready = [&] { thread = std::thread([&] { peer(ports); }); };
  RunResult result = NcdevmemReceiver(options, hooks).Run();
  if (thread.joinable()) thread.join();
  EXPECT_EQ(result.net_iovs_leaked, 0u);
  return result;
}

}  // namespace devmem
