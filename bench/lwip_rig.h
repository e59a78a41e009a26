// SPDX-License-Identifier: Apache-2.0
//
// The yardstick of the receive benchmarks: lwIP as Debian builds it (liblwip), fed with the traffic
// of rx_rig.h through a netif of ours. A frame is a header in host memory and a payload elsewhere,
// two custom pbufs, so nothing is copied; the receive callback gives both back and opens the
// window, as a program that reads at once does. Single thread, lwIP's raw API, no lwIP threads.
//
// What is not as Debian has it, always in lwIP's favour: the TCP checksum of a received segment is
// taken for verified, as a NIC's verdict is, and the locks of a build for threads do nothing. Both
// are functions of the library that this program defines itself. Debian's build has no timestamps
// and no SACK: its segments carry no options, and its acknowledgments say less than ours.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/arrival_order.h"

namespace devmem::bench {

class LwipRig {
 public:
  // With `flow_count` established connections. One rig at a time: lwIP's state is global.
  static absl::StatusOr<std::unique_ptr<LwipRig>> Create(uint32_t flow_count, Disorder disorder);
  ~LwipRig();

  // Makes the next kLwipBurstSegments segments, round-robin over the flows. False: lwIP did not
  // give the buffers of earlier ones back.
  bool Send();

  // What a driver and an application do: pbufs, input, the receive callback, acknowledgments.
  void Receive();

  // Whether all that was sent was received, in full.
  absl::Status Check() const;
  uint64_t acks_sent() const;

 private:
  struct State;

  explicit LwipRig(uint32_t flow_count, Disorder disorder);
  absl::Status Open(uint32_t index);

  std::unique_ptr<State> state_;
};

inline constexpr uint32_t kLwipSegmentBytes = 1448;  // As of rx_rig.h.
inline constexpr uint32_t kLwipBurstSegments = 256;

}  // namespace devmem::bench
