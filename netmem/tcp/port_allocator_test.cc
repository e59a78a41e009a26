// SPDX-License-Identifier: Apache-2.0
// RFC 6056 algorithm 3: each port of the range once a turn, from a place that only we know.
#include "netmem/tcp/port_allocator.h"

#include <gtest/gtest.h>

#include <set>

namespace devmem {
namespace {

constexpr SipKey kSecret{1, 2};
const IpAddress kLocal = IpAddress::FromV4(0xc0000202);
const IpAddress kRemote = IpAddress::FromV4(0xc0000201);

bool NeverInUse(uint16_t) { return false; }
bool AlwaysInUse(uint16_t) { return true; }

TEST(PortAllocatorTest, HandsOutEveryPortOfTheRangeOnceBeforeItRepeats) {
  PortAllocator allocator(kSecret, 50000, 50099);
  std::set<uint16_t> ports;
  for (int i = 0; i < 100; ++i) {
    const std::optional<uint16_t> port = allocator.Allocate(kLocal, kRemote, 80, NeverInUse);
    ASSERT_TRUE(port.has_value());
    EXPECT_GE(*port, 50000);
    EXPECT_LE(*port, 50099);
    ports.insert(*port);
  }
  EXPECT_EQ(ports.size(), 100u);
  EXPECT_EQ(ports.count(*allocator.Allocate(kLocal, kRemote, 80, NeverInUse)), 1u);
}

TEST(PortAllocatorTest, PassesOverPortsInUse) {
  PortAllocator allocator(kSecret, 50000, 50099);
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(allocator.Allocate(kLocal, kRemote, 80, [](uint16_t port) { return port != 50042; }),
              50042);
  }
}

TEST(PortAllocatorTest, SaysWhenTheRangeIsExhaustedAfterOneTurn) {
  PortAllocator allocator(kSecret, 50000, 50099);
  int asked = 0;
  EXPECT_EQ(allocator.Allocate(kLocal, kRemote, 80,
                               [&](uint16_t port) {
                                 ++asked;
                                 return AlwaysInUse(port);
                               }),
            std::nullopt);
  EXPECT_EQ(asked, 100);
}

TEST(PortAllocatorTest, ARangeOfOnePortWorksUpToTheLastPortOfAll) {
  PortAllocator allocator(kSecret, 65535, 65535);
  EXPECT_EQ(allocator.port_count(), 1u);
  EXPECT_EQ(allocator.Allocate(kLocal, kRemote, 80, NeverInUse), 65535);
}

TEST(PortAllocatorTest, TheDefaultRangeIsTheDynamicPorts) {
  PortAllocator allocator(kSecret);
  EXPECT_EQ(allocator.port_count(), 16384u);
  EXPECT_GE(allocator.Allocate(kLocal, kRemote, 80, NeverInUse), 49152);
}

TEST(PortAllocatorTest, WhereItStartsDependsOnTheEndpointAndTheSecret) {
  std::set<uint16_t> by_port, by_secret;
  for (uint16_t i = 1; i <= 32; ++i) {
    by_port.insert(*PortAllocator(kSecret).Allocate(kLocal, kRemote, i, NeverInUse));
    by_secret.insert(*PortAllocator(SipKey{i, 7}).Allocate(kLocal, kRemote, 80, NeverInUse));
  }
  EXPECT_GE(by_port.size(), 30u);
  EXPECT_GE(by_secret.size(), 30u);
}

}  // namespace
}  // namespace devmem
