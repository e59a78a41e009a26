// SPDX-License-Identifier: Apache-2.0
//
// A stream through every combination of loss, reordering, duplication and region size, between two
// sessions over the in-memory wire: right bytes in each, and a throughput in virtual time that is
// the same on every machine and is checked in as throughput.txt. To make that file anew, run this
// program with DEVMEM_GRID_TABLE naming it.

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(undefined_behavior_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

// A sanitized build is ten times slower: it takes less and leaves the table alone.
constexpr uint64_t kBytes = kSanitized ? 2u << 20 : 64u << 20;
constexpr uint64_t kStream = 0x5eed;
constexpr char kTablePath[] = "selftests/grid/throughput.txt";

struct Cell {
  int loss_per_mille;
  int reorder_percent;
  int duplication_percent;
  uint32_t region_mib;

  // "loss 0.1 %, reorder 10 %, duplication 1 %, region 64 MiB".
  std::string Text() const {
    return absl::StrFormat("loss %3.1f %%, reorder %2d %%, duplication %d %%, region %2d MiB",
                           loss_per_mille / 10.0, reorder_percent, duplication_percent, region_mib);
  }
  std::string Name() const {
    return absl::StrCat("Loss", loss_per_mille, "PerMilleReorder", reorder_percent,
                        "PercentDuplication", duplication_percent, "PercentRegion", region_mib,
                        "MiB");
  }
};

struct Outcome {
  uint64_t trace_hash = 0;
  double mbit_per_s = 0;
  bool complete = false;
};

// 1 Gbit/s and 1 ms each way, so that 250 KB fill the path: what the client's send buffer holds.
WireWorldOptions OptionsFor(const Cell& cell) {
  WireWorldOptions options;
  ImpairmentConfig path;
  path.bandwidth_bits_per_s = 1'000'000'000;
  path.delay_ns = kMillisecond;
  path.loss = cell.loss_per_mille / 1000.0;
  path.reorder = cell.reorder_percent / 100.0;
  path.duplication = cell.duplication_percent / 100.0;
  options.link.seed = 20;
  options.link.a_to_b = path;
  options.link.b_to_a = path;
  options.region_bytes = uint64_t{cell.region_mib} << 20;
  return options;
}

// Takes the whole stream as frags and looks at every byte where it landed.
uint64_t ReceiveAll(WireWorld& world, Connection& connection) {
  std::array<Frag, 64> frags;
  uint64_t offset = 0;
  while (true) {
    const absl::StatusOr<size_t> count = connection.Recv(frags);
    if (!count.ok() || *count == 0) {
      EXPECT_TRUE(count.ok()) << count.status();
      return offset;
    }
    for (const Frag& frag : std::span(frags).first(*count)) {
      const std::optional<size_t> wrong = FindMismatch(kStream, offset, world.Bytes(frag));
      EXPECT_FALSE(wrong.has_value()) << "byte " << offset + wrong.value_or(0);
      if (wrong.has_value()) return offset;
      offset += frag.length_bytes;
    }
    EXPECT_TRUE(connection.Release(std::span(frags).first(*count)).ok());
  }
}

Outcome Transfer(const Cell& cell) {
  WireWorld world(OptionsFor(cell));
  std::unique_ptr<Listener> listener = world.Listen();
  Outcome outcome;
  {
    ConnectionPair pair = world.Open(*listener);
    const Nanos begin = world.now();
    world.PumpFrom(*pair.client, kStream, kBytes);
    outcome.complete = ReceiveAll(world, *pair.server) == kBytes;
    const double seconds = static_cast<double>(world.now() - begin) / kSecond;
    outcome.mbit_per_s = static_cast<double>(kBytes) * 8 / 1e6 / seconds;
  }
  listener.reset();
  world.ExpectNothingLeft();
  outcome.trace_hash = world.link().trace_hash();
  return outcome;
}

// "<cell>: <Mbit/s>" a line.
std::map<std::string, std::string> ReadTable(const std::string& path) {
  std::map<std::string, std::string> table;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.rfind(": ");
    if (line.empty() || line[0] == '#' || colon == std::string::npos) continue;
    table[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return table;
}

void WriteTable(const std::string& path, const std::map<std::string, std::string>& table) {
  std::ofstream file(path);
  file << "# Mbit/s in virtual time of 64 MiB over 1 Gbit/s and 1 ms each way; wire_grid_test.cc "
          "says\n"
          "# how it is measured and how this file is made.\n";
  for (const auto& [cell, value] : table) file << cell << ": " << value << "\n";
}

class WireGridTest : public ::testing::TestWithParam<Cell> {};

TEST_P(WireGridTest, EveryByteLandsAndTheThroughputIsTheOneOnRecord) {
  const Outcome outcome = Transfer(GetParam());
  EXPECT_TRUE(outcome.complete);
  if (kSanitized) return;
  const std::string measured = absl::StrFormat("%.2f", outcome.mbit_per_s);
  if (const char* path = std::getenv("DEVMEM_GRID_TABLE")) {
    std::map<std::string, std::string> table = ReadTable(path);
    table[GetParam().Text()] = measured;
    WriteTable(path, table);
    return;
  }
  EXPECT_EQ(ReadTable(kTablePath)[GetParam().Text()], measured);
}

std::vector<Cell> AllCells() {
  std::vector<Cell> cells;
  for (const int loss : {0, 1, 10, 50}) {
    for (const int reorder : {0, 1, 10}) {
      for (const int duplication : {0, 1}) {
        for (const uint32_t region : {1u, 64u}) {
          cells.push_back(Cell{loss, reorder, duplication, region});
        }
      }
    }
  }
  return cells;
}

INSTANTIATE_TEST_SUITE_P(Grid, WireGridTest, ::testing::ValuesIn(AllCells()),
                         [](const auto& param_info) { return param_info.param.Name(); });

TEST(WireGridTraceTest, TheSameSeedGivesTheSamePacketsAtTheSameTimes) {
  const Cell cell{10, 1, 1, 1};
  const Outcome first = Transfer(cell);
  const Outcome second = Transfer(cell);
  EXPECT_EQ(first.trace_hash, second.trace_hash);
  EXPECT_NE(first.trace_hash, Transfer(Cell{10, 10, 1, 1}).trace_hash);
}

}  // namespace
}  // namespace devmem::testing
