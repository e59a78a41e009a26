// SPDX-License-Identifier: Apache-2.0
//
// Where the conformance suite runs: which backend, on which device, with the peer in which network
// namespace. Read once from the program's arguments, before any test. By default a world of the
// test's own; the lab names the devices of its guest.

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "uapi/devmem.h"

namespace devmem::testing {

struct WorldOptions {
  Backend backend = Backend::kStack;
  // Empty: each test makes a network namespace of its own, with a TAP for the stack.
  std::string device = {};
  // One of each family, without prefix length. With a device, both or the one to be tested.
  std::vector<std::string> our_addresses = {};
  std::vector<std::string> peer_addresses = {};
  // Path of the network namespace that the peers' sockets are opened in, or its name under
  // /run/netns. Empty: our own.
  std::string peer_network = {};
  // Those that are bound: the first by most tests, the second by tests with two bindings.
  std::vector<uint32_t> queues = {1, 2};
  std::string provider = "memfd";
  uint64_t region_bytes = 8 << 20;
  // Sizes and counts of the long tests, of what they are on an ordinary machine.
  uint32_t scale_percent = 100;
  Threading threading = Threading::kInline;

  bool own_world() const { return device.empty(); }
  uint64_t Scaled(uint64_t amount) const { return amount * scale_percent / 100; }
};

// The options of this run; the main program fills them in.
WorldOptions& TheWorldOptions();

// Takes arguments of the form --name=value. kInvalidArgument names what is not understood.
absl::Status ParseWorldOptions(std::span<char* const> arguments, WorldOptions* options);

// One line for each argument.
extern const char kWorldOptionsHelp[];

}  // namespace devmem::testing
