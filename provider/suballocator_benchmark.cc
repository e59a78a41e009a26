// SPDX-License-Identifier: Apache-2.0
// What handing out a piece of a grant and taking one back costs, among a million live ones, and
// what the C++ library's ordered set does in the same place. Run by `tools/bench regions`.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "provider/suballocator.h"

namespace devmem {
namespace {

constexpr uint64_t kGranule = kSuballocationGranuleBytes;
constexpr size_t kLivePieces = 1'000'000;

struct Piece {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// Pieces of 1 to `granules_max` granules, all lengths as often.
uint64_t RandomBytes(std::mt19937_64& random, uint64_t granules_max) {
  return (random() % granules_max + 1) * kGranule;
}

// The grant is of twice what is live, and pieces have come and gone in random order until none is
// where it was at first.
template <typename Allocator>
void Churn(benchmark::State& state, Allocator& allocator, uint64_t granules_max) {
  std::mt19937_64 random(1);
  std::vector<Piece> live(kLivePieces);
  for (Piece& piece : live) {
    piece.bytes = RandomBytes(random, granules_max);
    piece.offset = allocator.Alloc(piece.bytes);
  }
  const auto exchange = [&](Piece& piece, uint64_t bytes) {
    allocator.Free(piece.offset, piece.bytes);
    piece.bytes = bytes;
    piece.offset = allocator.Alloc(bytes);
  };
  for (size_t n = 0; n < 4 * kLivePieces; ++n) {
    exchange(live[random() % kLivePieces], RandomBytes(random, granules_max));
  }
  // The pieces are walked in an order that has nothing to do with where they lie: drawn before, so
  // that random numbers and the misses of this array are not what is measured.
  std::shuffle(live.begin(), live.end(), random);
  std::vector<uint64_t> sizes(1 << 12);
  for (uint64_t& bytes : sizes) bytes = RandomBytes(random, granules_max);
  size_t next = 0;
  for (auto _ : state) {
    exchange(live[next], sizes[next % sizes.size()]);
    if (++next == live.size()) {
      state.PauseTiming();
      std::shuffle(live.begin(), live.end(), random);
      next = 0;
      state.ResumeTiming();
    }
  }
}

class Ours {
 public:
  explicit Ours(uint64_t granules) : pieces_(*Suballocator::Create(0, granules * kGranule)) {}
  uint64_t Alloc(uint64_t bytes) { return *pieces_.Alloc(bytes); }
  void Free(uint64_t offset, uint64_t bytes) {
    if (!pieces_.Free(offset, bytes).ok()) std::abort();
  }

 private:
  Suballocator pieces_;
};

// The free runs in two ordered trees, one by place and one by length: best fit.
class OrderedTrees {
 public:
  explicit OrderedTrees(uint64_t granules) { Insert(0, granules * kGranule); }

  uint64_t Alloc(uint64_t bytes) {
    const auto fit = by_bytes_.lower_bound({bytes, 0});
    if (fit == by_bytes_.end()) std::abort();
    const auto [run_bytes, offset] = fit->first;
    by_bytes_.erase(fit);
    by_offset_.erase(offset);
    if (run_bytes > bytes) Insert(offset + bytes, run_bytes - bytes);
    return offset;
  }

  void Free(uint64_t offset, uint64_t bytes) {
    auto after = by_offset_.lower_bound(offset);
    if (after != by_offset_.end() && after->first == offset + bytes) {
      bytes += after->second;
      after = Erase(after);
    }
    if (after != by_offset_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == offset) {
        offset = before->first;
        bytes += before->second;
        Erase(before);
      }
    }
    Insert(offset, bytes);
  }

 private:
  using Offsets = std::map<uint64_t, uint64_t>;

  void Insert(uint64_t offset, uint64_t bytes) {
    by_offset_.emplace(offset, bytes);
    by_bytes_.emplace(std::pair(bytes, offset), 0);
  }
  Offsets::iterator Erase(Offsets::iterator run) {
    by_bytes_.erase({run->second, run->first});
    return by_offset_.erase(run);
  }

  Offsets by_offset_;
  std::map<std::pair<uint64_t, uint64_t>, char> by_bytes_;
};

template <typename Allocator, uint64_t kGranulesMax>
void AllocFree(benchmark::State& state) {
  Allocator allocator(kLivePieces * (kGranulesMax + 1));
  Churn(state, allocator, kGranulesMax);
}

// One granule each, and 1 to 16. The rows are the CPU time of one piece back and one out.
BENCHMARK_TEMPLATE(AllocFree, Ours, 1)->Name("suballocate_free");
BENCHMARK_TEMPLATE(AllocFree, Ours, 16)->Name("suballocate_free_mixed");
BENCHMARK_TEMPLATE(AllocFree, OrderedTrees, 1)->Name("ordered_trees_free");
BENCHMARK_TEMPLATE(AllocFree, OrderedTrees, 16)->Name("ordered_trees_free_mixed");

}  // namespace
}  // namespace devmem
