// SPDX-License-Identifier: Apache-2.0
//
// Frames of a TCP stream with every header field at the test's choice, and a sink that keeps what
// receive coalescing passes on. For the tests of the gVNIC's rx_coalescer.h, on the test's thread.

#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "netmem/gvnic/rx_coalescer.h"
#include "netmem/gvnic/segmenter.h"
#include "selftests/testing/test_frames.h"

namespace devmem::testing {

// What a test starts from: a flow's segments with a time stamp, which is how streams look.
inline TcpFrameSpec RscSpec(const FlowKey& flow = TestFlow()) {
  TcpFrameSpec spec;
  spec.source_mac = MacAddress({2, 0, 0, 0, 0, 2});
  spec.destination_mac = MacAddress({2, 0, 0, 0, 0, 1});
  spec.flow = {.local = flow.remote,
               .remote = flow.local,
               .local_port = flow.remote_port,
               .remote_port = flow.local_port};
  spec.seq = SeqNum(0xfffffff0);
  spec.ack = SeqNum(77);
  spec.flags = kTcpAck;
  spec.window = 0x1000;
  spec.options.timestamps = TcpTimestamps{.value = 1000, .echo = 2000};
  spec.identification = 0xfffe;
  return spec;
}

inline std::vector<uint8_t> RscFrame(TcpFrameSpec spec, std::span<const uint8_t> payload) {
  spec.payload_bytes = static_cast<uint32_t>(payload.size());
  spec.payload_sum = PartialSum(payload);
  std::vector<uint8_t> bytes(kTcpFrameHeaderBytesMax);
  bytes.resize(BuildTcpFrame(spec, bytes));
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

// As the data path makes them.
inline RxPacket RscPacket(std::vector<uint8_t> bytes) {
  RxPacket packet{.packet = {.bytes = std::move(bytes)}};
  packet.layout = ReadFrameLayout(packet.packet.bytes);
  packet.check = VerifyL4Checksum(packet.packet.bytes, packet.layout);
  return packet;
}

// An rx ring with a number of buffers, which are used up.
class RscSink final : public RxSink {
 public:
  explicit RscSink(const RxRingConfig& queue) : queue_(queue) {}

  uint32_t free_buffers() const override { return free; }
  void Take(RxPacket packet) override {
    const uint32_t needed = BuffersFor(queue_, packet.layout);
    lacked += needed > free;
    free -= needed > free ? free : needed;
    taken.push_back(std::move(packet));
  }

  uint32_t free = 1000;
  uint32_t lacked = 0;  // Packets that found too few.
  std::vector<RxPacket> taken;

 private:
  const RxRingConfig& queue_;
};

}  // namespace devmem::testing
