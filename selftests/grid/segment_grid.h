// SPDX-License-Identifier: Apache-2.0
//
// One transfer over a simulated path, from a TcpEngine that sends to a receiver: ours with little
// memory, or an ideal one, which has all the memory there is and acknowledges by the same policy.
// The path loses, reorders and doubles by a seed (impairment.h), and a NIC cuts what is sent into
// segments of a given size. Virtual time; one thread. The same cell gives the same packets at the
// same times.

#pragma once

#include <cstdint>
#include <string>

namespace devmem::testing {

struct SegmentCell {
  uint32_t mtu_bytes = 1500;
  bool gso = false;  // Super-frames cross whole.
  uint32_t segment_bytes = 1448;
  int loss_per_mille = 0;
  int reorder_percent = 0;
  int duplication_percent = 0;
  int ack_loss_percent = 0;

  // "mtu 1500, segment 100, loss 0.1 %, reorder 1 %, duplication 0 %, ACK loss 10 %".
  std::string Text() const;
  // What is sent: less where segments are tiny.
  uint32_t stream_bytes() const;
};

struct SegmentOutcome {
  bool complete = false;
  std::string fault;  // A byte in the wrong place, an account that does not balance.
  double mbit_per_s = 0;
  uint64_t packets = 0;
};

// 1 Gbit/s and 1 ms each way.
SegmentOutcome TransferToEngine(const SegmentCell& cell, uint64_t seed);
SegmentOutcome TransferToIdealReceiver(const SegmentCell& cell, uint64_t seed);

}  // namespace devmem::testing
