// SPDX-License-Identifier: Apache-2.0
//
// The TAP's steering program in the kernel (TUNSETSTEERINGEBPF): it chooses the rx queue of each
// frame by our flow rules, and spreads the rest over the RSS queues. Owned by TapNic and called on
// the control thread; the program itself runs on the senders' threads. Needs rights in the initial
// user namespace. architecture.md, "Life of a packet".

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/nic/flow_rules.h"
#include "netmem/nic/steering_code.h"
#include "provider/unique_fd.h"

namespace devmem {

// Invariants:
//   1. The map holds exactly the rules that were added and not deleted.
//   2. The program in the kernel looks at each class that has a rule, and perhaps at emptied ones.
// A change is one step for frames in flight: a rule appears or vanishes by one map update, and a
// new class or a new set of RSS queues comes with a whole new program that replaces the old one.
class SteeringProgram {
 public:
  // Makes the map and the first program, without rules, and gives it to the device behind `tap_fd`,
  // which outlives this object and keeps the program when this object goes. `rss_queues` is not
  // empty.
  //
  // Errors: kPermissionDenied  no right to load BPF programs here; the message says what would
  // help.
  //         others             as the kernel has them (no BPF in it, or no steering in its TAP).
  static absl::StatusOr<std::unique_ptr<SteeringProgram>> Attach(
      int tap_fd, std::span<const uint32_t> rss_queues);

  SteeringProgram(const SteeringProgram&) = delete;
  SteeringProgram& operator=(const SteeringProgram&) = delete;

  // Each obeys from its return on. On error nothing has changed.
  absl::Status Add(const FlowRule& rule);
  absl::Status Delete(const FlowRule& rule);
  absl::Status SpreadOver(std::span<const uint32_t> rss_queues);

  // The program in use, for tests that run it on a frame of their own.
  int program_fd() const { return program_.get(); }

 private:
  SteeringProgram(int tap_fd, UniqueFd map) : tap_fd_(tap_fd), map_(std::move(map)) {}

  std::vector<uint32_t> Classes() const;
  absl::Status Install(std::span<const uint32_t> classes, std::span<const uint32_t> rss_queues);

  const int tap_fd_;
  const UniqueFd map_;  // SteeringKey to SteeringValue.
  UniqueFd program_;
  std::vector<uint32_t> rss_queues_;
  std::array<uint32_t, kSteeringClassesMax> rules_in_class_{};
};

}  // namespace devmem
