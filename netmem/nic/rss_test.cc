// SPDX-License-Identifier: Apache-2.0
//
// The Toeplitz hash against the verification vectors that Microsoft publishes with the key
// ("Verifying the RSS Hash Calculation"), and the spread over queues.

#include "netmem/nic/rss.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

struct Vector {
  const char* destination;
  uint16_t destination_port;
  const char* source;
  uint16_t source_port;
  uint32_t addresses_hash;
  uint32_t ports_hash;
};

constexpr Vector kVectors[] = {
    {"161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178},
    {"65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea},
    {"12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a},
    {"209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f},
    {"202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2},
    {"3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d},
    {"ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf},
    {"fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61e985,
     0x02d1feef},
};

TEST(RssTest, TheHashAgreesWithThePublishedVectors) {
  for (const Vector& vector : kVectors) {
    const FlowKey flow = {.local = ParseIpAddress(vector.destination).value(),
                          .remote = ParseIpAddress(vector.source).value(),
                          .local_port = vector.destination_port,
                          .remote_port = vector.source_port};
    EXPECT_EQ(RssHash(flow, false), vector.addresses_hash) << vector.source;
    EXPECT_EQ(RssHash(flow, true), vector.ports_hash) << vector.source;
  }
}

TEST(RssTest, AKeyOfOnesHashesEveryBitAlike) {
  std::array<uint8_t, kRssKeyBytes> ones;
  ones.fill(0xff);
  const ToeplitzKey key(ones);
  // Every window is all ones, so that the parity of the input's bits decides.
  EXPECT_EQ(key.Hash(std::array<uint8_t, 2>{0x01, 0x00}), UINT32_MAX);
  EXPECT_EQ(key.Hash(std::array<uint8_t, 2>{0x01, 0x80}), 0u);
  const FlowKey flow = devmem::testing::TestFlow();
  EXPECT_EQ(RssHash(ToeplitzKey(kRssKeyMicrosoft), flow, true), RssHash(flow, true));
}

TEST(RssTest, ATableOfSomebodyElsesIsTakenWholeOrNotAtAll) {
  RssTable table;
  std::vector<uint32_t> entries(kRssTableEntries);
  for (uint32_t i = 0; i < kRssTableEntries; ++i) entries[i] = i % 3;
  ASSERT_TRUE(table.SetEntries(entries, 3).ok());
  EXPECT_EQ(table.QueueFor(4), 1u);
  EXPECT_EQ(table.QueueFor(kRssTableEntries + 5), 2u);
  entries.back() = 3;
  entries[4] = 0;
  EXPECT_EQ(table.SetEntries(entries, 3).code(), absl::StatusCode::kOutOfRange);
  entries.pop_back();
  EXPECT_EQ(table.SetEntries(entries, 4).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(table.QueueFor(4), 1u);
}

TEST(RssTest, TheKindOfFrameDecidesWhatIsHashed) {
  FrameHeaders headers;
  headers.flow = devmem::testing::TestFlow();
  headers.kind = FrameKind::kTcp;
  EXPECT_EQ(RssHash(headers), RssHash(headers.flow, true));
  headers.kind = FrameKind::kIcmp;
  EXPECT_EQ(RssHash(headers), RssHash(headers.flow, false));
  headers.kind = FrameKind::kOther;
  headers.frame_bytes_expected = 60;
  EXPECT_EQ(RssHash(headers), RssHash(headers.flow, false));
  headers.kind = FrameKind::kArp;
  EXPECT_EQ(RssHash(headers), 0u);
}

TEST(RssTest, TheTableSpreadsEvenlyOverTheGivenQueuesOnly) {
  RssTable table;
  const std::vector<uint32_t> queues = {0, 2, 5};
  ASSERT_TRUE(table.SetQueues(queues, 6).ok());
  std::map<uint32_t, int> entries;
  for (uint32_t hash = 0; hash < kRssTableEntries; ++hash) ++entries[table.QueueFor(hash)];
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0], 43);
  EXPECT_EQ(entries[2], 43);
  EXPECT_EQ(entries[5], 42);
  // Only the low bits choose.
  EXPECT_EQ(table.QueueFor(7), table.QueueFor(7 + 5 * kRssTableEntries));
}

TEST(RssTest, FlowsOfOnePeerSpreadOverTheQueues) {
  RssTable table;
  ASSERT_TRUE(table.SetQueues(std::vector<uint32_t>{0, 1, 2, 3}, 4).ok());
  std::vector<int> flows(4);
  FlowKey flow = devmem::testing::TestFlow();
  for (uint16_t port = 30000; port < 31000; ++port) {
    flow.remote_port = port;
    ++flows[table.QueueFor(RssHash(flow, true))];
  }
  for (const int count : flows) EXPECT_GT(count, 150);
}

TEST(RssTest, AnEmptyListAndAnUnknownQueueAreRefusedAndChangeNothing) {
  RssTable table;
  ASSERT_TRUE(table.SetQueues(std::vector<uint32_t>{1}, 2).ok());
  EXPECT_EQ(table.SetQueues({}, 2).code(), absl::StatusCode::kInvalidArgument);
  const absl::Status status = table.SetQueues(std::vector<uint32_t>{0, 2}, 2);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_NE(std::string(status.message()).find("queue 2"), std::string::npos);
  for (uint32_t hash = 0; hash < kRssTableEntries; ++hash) EXPECT_EQ(table.QueueFor(hash), 1u);
}

}  // namespace
}  // namespace devmem
