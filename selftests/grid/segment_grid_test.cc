// SPDX-License-Identifier: Apache-2.0
//
// Every MTU, segment size, loss, reordering, duplication and loss of ACKs: in each cell the right
// bytes, and at least 0.97 of what an ideal receiver gets in the same simulation. Throughput and
// ratio of each cell are checked in as segments.txt. To make that file anew, run this program with
// DEVMEM_SEGMENT_TABLE naming it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "selftests/grid/segment_grid.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DEVMEM_GRID_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DEVMEM_GRID_SANITIZED 1
#endif
#endif

namespace devmem::testing {
namespace {

constexpr char kTablePath[] = "selftests/grid/segments.txt";
// A sanitized build is slow: it takes one seed, asks for the bytes and leaves rates alone.
#ifdef DEVMEM_GRID_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr uint64_t kSeeds = kSanitized ? 1 : 9;
// Of each cell. Where memory does not matter the two receivers send the same packets at the same
// times, and the ratio is 1; where it does, a timeout more or less moves it in either direction.
constexpr double kRatioMin = 0.97;

// The median over the seeds: under loss, one timeout more or less moves a single run a lot.
template <typename Run>
SegmentOutcome MedianOf(const SegmentCell& cell, Run run) {
  std::vector<SegmentOutcome> outcomes;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    outcomes.push_back(run(cell, seed));
    if (!outcomes.back().complete || !outcomes.back().fault.empty()) return outcomes.back();
  }
  std::sort(outcomes.begin(), outcomes.end(),
            [](const auto& x, const auto& y) { return x.mbit_per_s < y.mbit_per_s; });
  return outcomes[kSeeds / 2];
}

struct Sizes {
  uint32_t mtu_bytes;
  bool gso;
  uint32_t segment_bytes;
};

using Table = std::map<std::string, std::string>;

// "<cell>: <Mbit/s> <ratio>" a line.
Table ReadTable(const std::string& path) {
  Table table;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.rfind(": ");
    if (line.empty() || line[0] == '#' || colon == std::string::npos) continue;
    table[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return table;
}

void WriteTable(const std::string& path, const Table& table) {
  std::ofstream file(path);
  file << "# Mbit/s in virtual time over 1 Gbit/s and 1 ms each way, and the ratio to an ideal\n"
          "# receiver; segment_grid_test.cc says how it is measured and how this file is made.\n";
  for (const auto& [cell, value] : table) file << cell << ": " << value << "\n";
}

std::vector<SegmentCell> CellsOf(const Sizes& sizes) {
  std::vector<SegmentCell> cells;
  for (const int loss : {0, 1, 10, 50}) {
    for (const int reorder : {0, 1, 10}) {
      for (const int duplication : {0, 1}) {
        for (const int ack_loss : {0, 10}) {
          cells.push_back(SegmentCell{sizes.mtu_bytes, sizes.gso, sizes.segment_bytes, loss,
                                      reorder, duplication, ack_loss});
        }
      }
    }
  }
  return cells;
}

class SegmentGridTest : public ::testing::TestWithParam<Sizes> {};

TEST_P(SegmentGridTest, RightBytesAtTheRateOfAnIdealReceiver) {
  const char* new_table = std::getenv("DEVMEM_SEGMENT_TABLE");
  const Table expected = ReadTable(kTablePath);
  Table measured = new_table != nullptr ? ReadTable(new_table) : Table();
  for (const SegmentCell& cell : CellsOf(GetParam())) {
    const SegmentOutcome ours = MedianOf(cell, TransferToEngine);
    const SegmentOutcome ideal = MedianOf(cell, TransferToIdealReceiver);
    EXPECT_TRUE(ours.complete) << cell.Text();
    EXPECT_TRUE(ideal.complete) << cell.Text();
    EXPECT_EQ(ours.fault, "") << cell.Text();
    const double ratio = ours.mbit_per_s / ideal.mbit_per_s;
    const std::string value = absl::StrFormat("%.2f %.3f", ours.mbit_per_s, ratio);
    measured[cell.Text()] = value;
    if (kSanitized) continue;
    EXPECT_GE(ratio, kRatioMin) << cell.Text();
    if (new_table != nullptr) continue;
    const auto on_record = expected.find(cell.Text());
    EXPECT_EQ(on_record == expected.end() ? "nothing" : on_record->second, value) << cell.Text();
  }
  if (new_table != nullptr && !kSanitized) WriteTable(new_table, measured);
}

std::vector<Sizes> AllSizes() {
  std::vector<Sizes> all;
  for (const uint32_t segment : {1u, 100u, 1448u}) {
    for (const uint32_t mtu : {576u, 1500u, 9000u}) all.push_back({mtu, false, segment});
    all.push_back({1500, true, segment});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Sizes, SegmentGridTest, ::testing::ValuesIn(AllSizes()),
                         [](const auto& sizes) {
                           const std::string mtu = absl::StrCat("Mtu", sizes.param.mtu_bytes);
                           return absl::StrCat(sizes.param.gso ? "SuperFrames" : mtu, "Segment",
                                               sizes.param.segment_bytes);
                         });

TEST(SegmentGridTraceTest, TheSameSeedGivesTheSamePackets) {
  const SegmentCell cell{1500, false, 100, 10, 1, 1, 10};
  EXPECT_EQ(TransferToEngine(cell, 1).packets, TransferToEngine(cell, 1).packets);
  EXPECT_EQ(TransferToEngine(cell, 1).mbit_per_s, TransferToEngine(cell, 1).mbit_per_s);
  EXPECT_NE(TransferToEngine(cell, 1).mbit_per_s, TransferToEngine(cell, 2).mbit_per_s);
}

}  // namespace
}  // namespace devmem::testing
