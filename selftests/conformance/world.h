// SPDX-License-Identifier: Apache-2.0
//
// The machine around a conformance test: our addresses and the peer's, the options that the session
// under test is opened with, and sockets in the peer's network namespace. One per test; the test's
// thread.

#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "provider/unique_fd.h"
#include "selftests/conformance/peer.h"
#include "selftests/conformance/world_options.h"

namespace devmem::testing {

enum class Family { kIpv4, kIpv6 };
void PrintTo(Family family, std::ostream* out);  // For GoogleTest.

class World {
 public:
  // Makes the world or finds it. A world that this machine or this run does not have is no failure:
  // the reason is why_not() then, and the test skips with it.
  World(const WorldOptions& options, Family family);

  const std::string& why_not() const { return why_not_; }
  const std::string& ours() const { return ours_; }
  const std::string& peers() const { return peers_; }
  SessionOptions session_options() const;

  // A socket of the peer that begins to connect to us; it is connected once we accept it.
  Peer Connect(uint16_t port) const;
  // A socket of the peer that listens.
  Peer Listen(uint16_t port) const;

 private:
  void MakeOwn();
  void FindGiven();
  UniqueFd PeerSocket() const;

  const WorldOptions& options_;
  const Family family_;
  std::string why_not_;
  std::string ours_;
  std::string peers_;
  UniqueFd peer_network_;  // None: our own.
};

}  // namespace devmem::testing
