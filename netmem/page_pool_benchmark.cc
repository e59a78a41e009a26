// SPDX-License-Identifier: Apache-2.0
//
// What the page pool costs, and how well it packs. Each benchmark reports a counter of its own
// name, in the unit that the name ends in: that counter is the figure, in `--benchmark_format=json`
// too.

#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "netmem/benchmark_clock.h"
#include "netmem/page_pool.h"

namespace devmem {
namespace {

constexpr uint32_t kSegmentBytes = 1448;

std::unique_ptr<PagePool> MakePool(benchmark::State& state, uint64_t bytes) {
  absl::StatusOr<std::unique_ptr<PagePool>> pool =
      PagePool::Create({.bytes = bytes, .device = true}, kFramePayloadBytesMax);
  if (!pool.ok()) {
    state.SkipWithError(std::string(pool.status().message()).c_str());
    return nullptr;
  }
  return *std::move(pool);
}

// One whole net_iov out and one back, first in first out, while 256 of them (1 MiB) are held: slabs
// become whole and are posted again all the time, and both accounts move.
void GetPut(benchmark::State& state) {
  const std::unique_ptr<PagePool> pool = MakePool(state, 64u << 20);
  if (pool == nullptr) return;
  std::array<NetmemRef, 256> held;
  for (NetmemRef& netmem : held) netmem = pool->Alloc();
  size_t oldest = 0;
  const double start = ThreadCpuNanoseconds();
  for (auto _ : state) {
    pool->Put(held[oldest]);
    held[oldest] = pool->Alloc();
    oldest = (oldest + 1) % held.size();
  }
  const double elapsed = ThreadCpuNanoseconds() - start;
  for (const NetmemRef netmem : held) pool->Put(netmem);
  pool->CloseWindow();
  if (!pool->Audit().ok() || !pool->account().idle()) state.SkipWithError("the account is off");
  state.counters["page_pool_get_put_ns"] = elapsed / static_cast<double>(state.iterations());
}
BENCHMARK(GetPut)->Name("page_pool_get_put_ns");

// A segment that an owner holds; in two pieces where the window's runs meet.
struct Segment {
  std::array<Piece, 2> pieces;
  uint32_t piece_count = 0;
};

void Take(PagePool& pool, Segment& segment) {
  pool.Posted();
  segment.piece_count = pool.Take(kSegmentBytes, segment.pieces);
}

void Put(PagePool& pool, const Segment& segment) {
  for (uint32_t n = 0; n < segment.piece_count; ++n) pool.Put(segment.pieces[n]);
}

// One packed segment out and one back, first in first out, while 1024 of them (1.4 MiB) are held.
void TakePut(benchmark::State& state) {
  const std::unique_ptr<PagePool> pool = MakePool(state, 64u << 20);
  if (pool == nullptr) return;
  std::vector<Segment> held(1024);
  for (Segment& segment : held) Take(*pool, segment);
  size_t oldest = 0;
  const double start = ThreadCpuNanoseconds();
  for (auto _ : state) {
    Put(*pool, held[oldest]);
    Take(*pool, held[oldest]);
    oldest = (oldest + 1) % held.size();
  }
  const double elapsed = ThreadCpuNanoseconds() - start;
  for (const Segment& segment : held) Put(*pool, segment);
  pool->CloseWindow();
  if (!pool->Audit().ok() || !pool->account().idle()) state.SkipWithError("the account is off");
  state.counters["page_pool_take_put_1448_ns"] = elapsed / static_cast<double>(state.iterations());
}
BENCHMARK(TakePut)->Name("page_pool_take_put_1448_ns");

// Payload held ÷ bytes of the net_iovs that it keeps, in steady state. An owner holds 8192 segments
// (11.3 MiB of a 64 MiB region). They came round-robin from many flows, so no two neighbours are of
// one flow, nothing merges and each is returned by itself: the next one returned is drawn at random
// from the `disorder` oldest, then a new one arrives. 1024 is one batch of tokens returned in any
// order.
//
// What counts is the disorder against what is held: a net_iov is kept as long as the last of
// the 3.8 segments that touch it. With the order wholly random it is kept for H(3.8) = 2.03 mean
// lifetimes, and no pool that packs without knowing the flows is better than 0.49 then.
void RegionEfficiency(benchmark::State& state, const char* name, size_t disorder) {
  constexpr size_t kHeld = 8192;
  const std::unique_ptr<PagePool> pool = MakePool(state, 64u << 20);
  if (pool == nullptr) return;
  std::vector<Segment> held(kHeld);  // A ring, the oldest at `oldest`.
  for (Segment& segment : held) Take(*pool, segment);
  std::mt19937 random(1);
  size_t oldest = 0;
  const auto exchange = [&](size_t count) {
    for (size_t n = 0; n < count; ++n) {
      Segment& drawn = held[(oldest + random() % disorder) % kHeld];
      Put(*pool, drawn);
      drawn = held[oldest];
      Take(*pool, held[oldest]);
      oldest = (oldest + 1) % kHeld;
    }
  };
  exchange(32 * kHeld);  // Until the order of the filling is forgotten.
  double efficiency_sum = 0;
  for (auto _ : state) {
    exchange(997);
    // The net_iov under the cursor counts as open in the account, but holds payload too.
    const double kept = static_cast<double>((pool->account().used + 1) * pool->net_iov_bytes());
    efficiency_sum += kHeld * kSegmentBytes / kept;
  }
  state.counters[name] = efficiency_sum / static_cast<double>(state.iterations());
}
BENCHMARK_CAPTURE(RegionEfficiency, Batch, "region_efficiency_shuffled_batch", 1024)
    ->Name("region_efficiency_shuffled_batch");
BENCHMARK_CAPTURE(RegionEfficiency, AnyOrder, "region_efficiency_any_order", 8192)
    ->Name("region_efficiency_any_order");

}  // namespace
}  // namespace devmem
