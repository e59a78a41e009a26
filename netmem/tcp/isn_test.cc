// SPDX-License-Identifier: Apache-2.0
// RFC 6528: forward in time for one 4-tuple, unrelated between 4-tuples and between secrets.
#include "netmem/tcp/isn.h"

#include <gtest/gtest.h>

#include <set>

namespace devmem {
namespace {

constexpr SipKey kSecret{0x0123456789abcdef, 0xfedcba9876543210};

FlowKey Flow(uint16_t remote_port) {
  return {.local = IpAddress::FromV4(0xc0000202),
          .remote = IpAddress::FromV4(0xc0000201),
          .local_port = 5201,
          .remote_port = remote_port};
}

TEST(IsnTest, TheSameInputsGiveTheSameNumber) {
  EXPECT_EQ(InitialSequence(Flow(1), kSecret, 5), InitialSequence(Flow(1), kSecret, 5));
}

TEST(IsnTest, TheNumberMovesOnByOneEveryFourMicroseconds) {
  const SeqNum start = InitialSequence(Flow(1), kSecret, 0);
  EXPECT_EQ(InitialSequence(Flow(1), kSecret, 4 * kMicrosecond - 1), start);
  EXPECT_EQ(InitialSequence(Flow(1), kSecret, 4 * kMicrosecond), start + 1);
  EXPECT_EQ(InitialSequence(Flow(1), kSecret, 1 * kSecond), start + 250000);
}

TEST(IsnTest, TheClockTurnsAfter4HoursAnd46Minutes) {
  const Nanos turn = (int64_t{1} << 32) * 4 * kMicrosecond;
  EXPECT_EQ(InitialSequence(Flow(1), kSecret, turn), InitialSequence(Flow(1), kSecret, 0));
}

TEST(IsnTest, EveryPartOfTheFlowAndTheSecretMatter) {
  const SeqNum base = InitialSequence(Flow(1), kSecret, 0);
  FlowKey swapped = Flow(1);
  std::swap(swapped.local, swapped.remote);
  FlowKey other_port = Flow(1);
  other_port.local_port = 5202;
  EXPECT_NE(InitialSequence(Flow(2), kSecret, 0), base);
  EXPECT_NE(InitialSequence(swapped, kSecret, 0), base);
  EXPECT_NE(InitialSequence(other_port, kSecret, 0), base);
  EXPECT_NE(InitialSequence(Flow(1), SipKey{kSecret.low, 1}, 0), base);
}

TEST(IsnTest, TheTimestampOffsetDoesNotChangeWithTimeAndIsNoHintOfTheNumber) {
  std::set<uint32_t> offsets;
  std::set<uint32_t> differences;
  for (uint16_t port = 1; port <= 1000; ++port) {
    const uint32_t offset = TimestampOffset(Flow(port), kSecret);
    offsets.insert(offset);
    differences.insert(InitialSequence(Flow(port), kSecret, 0).value() - offset);
  }
  EXPECT_GE(offsets.size(), 999u);
  EXPECT_GE(differences.size(), 999u);
}

}  // namespace
}  // namespace devmem
