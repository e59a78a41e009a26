// SPDX-License-Identifier: Apache-2.0
//
// What a token costs, issued and returned in batches of 1024 as an application does it. Each
// benchmark reports a counter of its own name: that counter is the figure, in
// `--benchmark_format=json` too.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>

#include "netmem/benchmark_clock.h"
#include "netmem/token_table.h"

namespace devmem {
namespace {

constexpr uint32_t kBatch = 1024;
// Four entries for each of the 16,384 net_iovs of a 64 MiB region.
constexpr uint32_t kCapacity = 4 * 16384;

Piece PieceNumber(uint32_t n) { return Piece{NetmemRef::Device(n), n % 4096, 1448}; }

// The time of returning 1024 tokens, in the order of issue or in a random one; issuing is not
// timed.
void Release(benchmark::State& state, const char* name, bool shuffled) {
  absl::StatusOr<TokenTable> table = TokenTable::Create(1, kCapacity);
  if (!table.ok()) return state.SkipWithError("no token table");
  std::array<Token, kBatch> tokens;
  std::mt19937 random(1);
  double elapsed = 0;
  for (auto _ : state) {
    for (uint32_t n = 0; n < kBatch; ++n) tokens[n] = table->Insert(PieceNumber(n));
    if (shuffled) std::shuffle(tokens.begin(), tokens.end(), random);
    const double start = ThreadCpuNanoseconds();
    uint64_t released_bytes = 0;
    for (const Token token : tokens) {
      const std::optional<Piece> piece = table->Remove(token);
      if (piece.has_value()) released_bytes += piece->length_bytes;
    }
    benchmark::DoNotOptimize(released_bytes);
    elapsed += ThreadCpuNanoseconds() - start;
  }
  if (table->held() != 0 || table->stats().refused.value() != 0) {
    state.SkipWithError("a token was lost");
  }
  state.counters[name] = elapsed / (static_cast<double>(state.iterations()) * kBatch);
}
BENCHMARK_CAPTURE(Release, InOrder, "token_release_ns", false)->Name("token_release_ns");
BENCHMARK_CAPTURE(Release, Shuffled, "token_release_shuffled_ns", true)
    ->Name("token_release_shuffled_ns");

// Issue and return together.
void IssueRelease(benchmark::State& state) {
  absl::StatusOr<TokenTable> table = TokenTable::Create(1, kCapacity);
  if (!table.ok()) return state.SkipWithError("no token table");
  std::array<Token, kBatch> tokens;
  const double start = ThreadCpuNanoseconds();
  for (auto _ : state) {
    for (uint32_t n = 0; n < kBatch; ++n) tokens[n] = table->Insert(PieceNumber(n));
    benchmark::ClobberMemory();
    for (const Token token : tokens) benchmark::DoNotOptimize(table->Remove(token));
  }
  const double elapsed = ThreadCpuNanoseconds() - start;
  state.counters["token_issue_release_ns"] =
      elapsed / (static_cast<double>(state.iterations()) * kBatch);
}
BENCHMARK(IssueRelease)->Name("token_issue_release_ns");

}  // namespace
}  // namespace devmem
