// SPDX-License-Identifier: Apache-2.0
//
// The TAP as a Netdev: a network interface of the local kernel, whose other end we are, with one rx
// queue a worker. Needs no special hardware; carries 64 KiB super-frames. Set-up calls come from
// one control thread. architecture.md, "Life of a packet".

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/nic/netdev.h"
#include "netmem/nic/steering_program.h"
#include "netmem/nic/tap_device.h"
#include "netmem/nic/tap_queue.h"

namespace devmem {

// How frames find their queue.
enum class TapSteering {
  kBest,  // kBpf where it is permitted, else kAuto; steering_note() says why.
  kBpf,   // A steering program obeys the flow rules. The only one for owners who distrust each
          // other.
  kAuto,  // The kernel sends a flow to the queue that last transmitted for it: no rights needed,
          // but the first frames of a flow, and those after 3 s of our silence, may come to any
          // queue.
};

// "best", "bpf", "auto"; and back.
std::optional<TapSteering> ParseTapSteering(absl::string_view text);

struct TapOptions {
  std::string name = "dm0";
  uint32_t queue_count = 1;
  uint32_t mtu = kMtuDefault;
  TapSteering steering = TapSteering::kBest;
  // The addresses of the kernel's side, each with its prefix length: "192.0.2.1/24,2001:db8::1/64".
  // One IPv4 address at most. Empty: none.
  std::string kernel_address = {};
  // Our Ethernet address; where it is not given, one made from the seed; where that is 0, one made
  // from the random address of the kernel's side.
  std::optional<MacAddress> mac = {};
  uint64_t mac_seed = 0;
  std::string tun_path = "/dev/net/tun";
};

// Invariants:
//   1. The steering program, where there is one, has exactly the rules of ListRules().
//   2. The interface lives as long as this object.
class TapNic final : public Netdev {
 public:
  // Makes the interface in the network namespace of the calling thread and brings it up.
  //
  // Errors: those of TapDevice::Create(), and
  //         kInvalidArgument   `mac` is a group's, zero, or that of the kernel's side.
  //         kPermissionDenied  `steering` is kBpf, and BPF is not permitted here.
  static absl::StatusOr<std::unique_ptr<TapNic>> Create(const TapOptions& options);

  const NetdevInfo& info() const override { return info_; }
  // Why the steering is `auto` though kBest was asked for; else empty.
  absl::string_view steering_note() const { return steering_note_; }
  // The Ethernet address of the kernel's side.
  const MacAddress& kernel_mac() const { return device_->kernel_mac(); }

  absl::Status Start(std::span<const QueueMemory> host) override;
  TapQueue& queue(uint32_t index) override { return *queues_[index]; }

  absl::StatusOr<FlowRuleId> AddRule(const FlowMatch& match, uint32_t queue) override;
  absl::Status DeleteRule(FlowRuleId id) override;
  std::vector<FlowRule> ListRules() const override { return steering_.rules.List(); }
  // In the tier `auto` checked and otherwise without effect: the kernel spreads over all queues.
  absl::Status SetRssQueues(std::span<const uint32_t> queues) override;
  void SetRecorder(PcapngRecorder* recorder) override;

 private:
  TapNic(std::unique_ptr<TapDevice> device, const MacAddress& mac);

  absl::Status SetUpSteering(TapSteering wanted);

  const std::unique_ptr<TapDevice> device_;
  NetdevInfo info_;
  std::string steering_note_;
  TapSteeringState steering_;
  std::unique_ptr<SteeringProgram> program_;  // Null in the tier `auto`.
  std::vector<std::unique_ptr<TapQueue>> queues_;
  bool started_ = false;
};

}  // namespace devmem
