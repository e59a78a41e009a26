// SPDX-License-Identifier: Apache-2.0
// Tests of the flow key and of how evenly its hash spreads what real peers and hostile ones send.
#include "netmem/wire/flow_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <set>
#include <vector>

namespace devmem {
namespace {

constexpr FlowKey kFlow = {.local = IpAddress::FromV4(0x0a000001),
                           .remote = IpAddress::FromV4(0x0a000002),
                           .local_port = 5201,
                           .remote_port = 40000};

// The fullest of `bucket_count` buckets, a power of two, by the low and by the high bits.
size_t FullestBucket(const std::vector<uint64_t>& hashes, size_t bucket_count) {
  std::vector<size_t> low(bucket_count);
  std::vector<size_t> high(bucket_count);
  const int shift = 64 - std::countr_zero(bucket_count);
  for (const uint64_t hash : hashes) {
    ++low[hash % bucket_count];
    ++high[hash >> shift];
  }
  return std::max(*std::max_element(low.begin(), low.end()),
                  *std::max_element(high.begin(), high.end()));
}

// With as many keys as buckets a random function fills its fullest bucket with about 8 of 65536.
constexpr size_t kFullestOf65536 = 12;

TEST(FlowKeyTest, KeysDifferInEachField) {
  FlowKey other = kFlow;
  EXPECT_EQ(other, kFlow);
  other.local = IpAddress::FromV4(0x0a000003);
  EXPECT_NE(other, kFlow);
  other = kFlow;
  other.remote = IpAddress::FromV4(0x0a000003);
  EXPECT_NE(other, kFlow);
  other = kFlow;
  other.local_port = 1;
  EXPECT_NE(other, kFlow);
  other = kFlow;
  other.remote_port = 1;
  EXPECT_NE(other, kFlow);
}

TEST(FlowKeyTest, TheHashDependsOnEveryFieldAndTheSeed) {
  FlowKey other = kFlow;
  std::set<uint64_t> hashes = {HashFlow(kFlow, 1), HashFlow(kFlow, 2)};
  other.local = IpAddress::FromV4(0x0a000003);
  hashes.insert(HashFlow(other, 1));
  other = kFlow;
  other.remote = IpAddress::FromV4(0x0a000003);
  hashes.insert(HashFlow(other, 1));
  other = {kFlow.remote, kFlow.local, kFlow.local_port, kFlow.remote_port};
  hashes.insert(HashFlow(other, 1));
  other = {kFlow.local, kFlow.remote, kFlow.remote_port, kFlow.local_port};
  hashes.insert(HashFlow(other, 1));
  EXPECT_EQ(hashes.size(), 6u);
}

TEST(FlowKeyTest, AllPortsOfOnePeerSpreadEvenly) {
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{0x123456789abcdef0}}) {
    std::vector<uint64_t> hashes;
    FlowKey flow = kFlow;
    for (uint32_t port = 0; port < 65536; ++port) {
      flow.remote_port = static_cast<uint16_t>(port);
      hashes.push_back(HashFlow(flow, seed));
    }
    EXPECT_LE(FullestBucket(hashes, 65536), kFullestOf65536) << seed;
  }
}

TEST(FlowKeyTest, NeighbouringIpv4PeersSpreadEvenly) {
  std::vector<uint64_t> hashes;
  FlowKey flow = kFlow;
  for (uint32_t i = 0; i < 65536; ++i) {
    flow.remote = IpAddress::FromV4(0xc0a80000 + i);
    hashes.push_back(HashFlow(flow, 7));
  }
  EXPECT_LE(FullestBucket(hashes, 65536), kFullestOf65536);
}

TEST(FlowKeyTest, Ipv6PeersThatDifferInAnyHalfSpreadEvenly) {
  std::vector<uint64_t> hashes;
  std::array<uint8_t, 16> bytes = {0xfd};
  for (const size_t varied : {size_t{4}, size_t{14}}) {
    for (uint32_t i = 0; i < 32768; ++i) {
      bytes[varied] = static_cast<uint8_t>(i);
      bytes[varied + 1] = static_cast<uint8_t>(i >> 8 | 0x80);
      hashes.push_back(
          HashFlow({IpAddress::FromV6(bytes), IpAddress::FromV6(bytes), 443, 40000}, 7));
    }
  }
  EXPECT_LE(FullestBucket(hashes, 65536), kFullestOf65536);
}

TEST(FlowKeyTest, OneFlippedInputBitFlipsAboutHalfTheHash) {
  int flipped_bits = 0;
  for (int bit = 0; bit < 32; ++bit) {
    FlowKey other = kFlow;
    other.remote = IpAddress::FromV4(kFlow.remote.v4() ^ uint32_t{1} << bit);
    flipped_bits += std::popcount(HashFlow(other, 3) ^ HashFlow(kFlow, 3));
  }
  for (int bit = 0; bit < 16; ++bit) {
    FlowKey other = kFlow;
    other.local_port = static_cast<uint16_t>(kFlow.local_port ^ 1 << bit);
    flipped_bits += std::popcount(HashFlow(other, 3) ^ HashFlow(kFlow, 3));
  }
  EXPECT_NEAR(flipped_bits / 48.0, 32, 3);
}

}  // namespace
}  // namespace devmem
