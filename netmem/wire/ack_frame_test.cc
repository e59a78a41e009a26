// SPDX-License-Identifier: Apache-2.0
// The short way to an acknowledgment against the general one.
#include "netmem/wire/ack_frame.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <vector>

#include "netmem/wire/frame.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

using Bytes = std::vector<uint8_t>;

IpAddress RandomAddress(std::mt19937_64& random, bool v4) {
  if (v4) return IpAddress::FromV4(static_cast<uint32_t>(random()));
  std::array<uint8_t, 16> bytes;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  bytes[0] = 0x20;
  return IpAddress::FromV6(bytes);
}

// Fields of all ones and all zeroes come up often: sums wrap there.
uint32_t Edgy(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0: return 0;
    case 1: return UINT32_MAX;
    default: return static_cast<uint32_t>(random());
  }
}

AckFrameSpec RandomSpec(std::mt19937_64& random) {
  AckFrameSpec spec;
  const bool v4 = random() % 2 == 0;
  spec.source_mac = MacAddress({2, 0, 0, 0, 0, 1});
  spec.destination_mac = MacAddress({2, 0, 0, 0, 0, 2});
  spec.flow = {.local = RandomAddress(random, v4),
               .remote = RandomAddress(random, v4),
               .local_port = static_cast<uint16_t>(Edgy(random)),
               .remote_port = static_cast<uint16_t>(Edgy(random))};
  spec.seq = SeqNum(Edgy(random));
  spec.ack = SeqNum(Edgy(random));
  spec.flags = random() % 2 == 0 ? kTcpAck : static_cast<uint8_t>(kTcpAck | kTcpEce);
  spec.window = static_cast<uint16_t>(Edgy(random));
  if (random() % 2 == 0) spec.timestamps = TcpTimestamps{Edgy(random), Edgy(random)};
  return spec;
}

Bytes BuiltTheLongWay(const AckFrameSpec& spec) {
  TcpFrameSpec full;
  full.source_mac = spec.source_mac;
  full.destination_mac = spec.destination_mac;
  full.flow = spec.flow;
  full.seq = spec.seq;
  full.ack = spec.ack;
  full.flags = spec.flags;
  full.window = spec.window;
  full.options.timestamps = spec.timestamps;
  Bytes frame(kTcpFrameHeaderBytesMax);
  frame.resize(BuildTcpFrame(full, frame));
  return frame;
}

TEST(AckFrameTest, IsTheFrameThatTheGeneralBuilderMakes) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const AckFrameSpec spec = RandomSpec(random);
    std::array<uint8_t, kAckFrameBytesMax> out;
    const size_t bytes = BuildAckFrame(spec, out);
    ASSERT_EQ(Bytes(out.begin(), out.begin() + static_cast<ptrdiff_t>(bytes)),
              BuiltTheLongWay(spec))
        << i;
  }
}

TEST(AckFrameTest, IsReadAsASegmentWithARightChecksum) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 1000; ++i) {
    const AckFrameSpec spec = RandomSpec(random);
    std::array<uint8_t, kAckFrameBytesMax> out;
    const std::span<const uint8_t> frame = std::span(out).first(BuildAckFrame(spec, out));
    const FrameHeaders headers = ParseFrame(frame, static_cast<uint32_t>(frame.size()));
    ASSERT_EQ(headers.kind, FrameKind::kTcp);
    EXPECT_EQ(headers.payload_bytes, 0u);
    EXPECT_EQ(headers.flow.local, spec.flow.remote);
    EXPECT_TRUE(VerifyTcpChecksum(frame, headers, 0));
  }
}

}  // namespace
}  // namespace devmem
