// SPDX-License-Identifier: Apache-2.0
// Pieces of a grant: compared with a plain set of granules after every operation, exhaustively for
// tiny grants and at random for larger ones, and what is refused.
#include "provider/suballocator.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "provider/check.h"

namespace devmem {
namespace {

constexpr uint64_t kGranule = kSuballocationGranuleBytes;

Suballocator Make(uint64_t granules, uint64_t offset = 0) {
  absl::StatusOr<Suballocator> made = Suballocator::Create(offset, granules * kGranule);
  DEVMEM_CHECK(made.ok(), "a grant of the test is refused");
  return *std::move(made);
}

// The same, as slowly as it can be said. Counts in granules from the start of the grant.
class Model {
 public:
  Model(uint64_t granules, uint64_t bias) : bias_(bias) {
    for (uint64_t n = 0; n < granules; ++n) free_.insert(n);
  }

  bool Has(uint64_t first, uint64_t count) const {
    for (uint64_t n = first; n < first + count; ++n) {
      if (free_.count(n) == 0) return false;
    }
    return true;
  }
  bool HasRoom(uint64_t count, uint64_t alignment) const {
    for (const uint64_t first : free_) {
      if ((first + bias_) % alignment == 0 && Has(first, count)) return true;
    }
    return false;
  }
  uint64_t Longest() const {
    uint64_t longest = 0;
    uint64_t run = 0;
    uint64_t expected = 0;
    for (const uint64_t n : free_) {
      run = n == expected ? run + 1 : 1;
      expected = n + 1;
      longest = std::max(longest, run);
    }
    return longest;
  }
  void Take(uint64_t first, uint64_t count) {
    for (uint64_t n = first; n < first + count; ++n) free_.erase(n);
    pieces_[first] = count;
  }
  void Give(uint64_t first) {
    for (uint64_t n = first; n < first + pieces_[first]; ++n) free_.insert(n);
    pieces_.erase(first);
  }

  const std::set<uint64_t>& free() const { return free_; }
  const std::map<uint64_t, uint64_t>& pieces() const { return pieces_; }

 private:
  const uint64_t bias_;
  std::set<uint64_t> free_;
  std::map<uint64_t, uint64_t> pieces_;
};

// A grant and its model, driven together.
class Pair {
 public:
  explicit Pair(uint64_t granules, uint64_t bias = 0)
      : bias_(bias), real_(Make(granules, bias * kGranule)), model_(granules, bias) {}

  void Alloc(uint64_t count, uint64_t alignment = 1) {
    const absl::StatusOr<uint64_t> offset = real_.Alloc(count * kGranule, alignment * kGranule);
    ASSERT_EQ(offset.ok(), model_.HasRoom(count, alignment))
        << count << " granules aligned to " << alignment << ": " << offset.status();
    if (!offset.ok()) {
      EXPECT_EQ(offset.status().code(), absl::StatusCode::kResourceExhausted);
      return;
    }
    ASSERT_EQ(*offset % (alignment * kGranule), 0u);
    const uint64_t first = *offset / kGranule - bias_;
    ASSERT_TRUE(model_.Has(first, count)) << "granule " << first << " belongs to somebody";
    model_.Take(first, count);
    Compare();
  }

  void Free(uint64_t first) {
    const uint64_t count = model_.pieces().at(first);
    ASSERT_TRUE(real_.Free((first + bias_) * kGranule, count * kGranule).ok());
    model_.Give(first);
    Compare();
  }

  // Whatever is not exactly a piece is refused.
  void FreeAnything(uint64_t first, uint64_t count) {
    const auto piece = model_.pieces().find(first);
    const bool good = piece != model_.pieces().end() && piece->second == count;
    const absl::Status freed = real_.Free((first + bias_) * kGranule, count * kGranule);
    ASSERT_EQ(freed.ok(), good) << first << " + " << count << ": " << freed;
    if (good) model_.Give(first);
    Compare();
  }

  void Compare() const {
    ASSERT_EQ(real_.free_bytes(), model_.free().size() * kGranule);
    ASSERT_EQ(real_.live_pieces(), model_.pieces().size());
    ASSERT_EQ(real_.longest_free_bytes(), model_.Longest() * kGranule);
  }

  const Model& model() const { return model_; }

 private:
  const uint64_t bias_;
  Suballocator real_;
  Model model_;
};

TEST(SuballocatorTest, PiecesAreDisjointAndTheWholeGrantCanBeOne) {
  Suballocator grant = Make(1000, 16 * kGranule);
  EXPECT_EQ(*grant.Alloc(1000 * kGranule), 16 * kGranule);
  EXPECT_EQ(grant.free_bytes(), 0u);
  EXPECT_EQ(grant.Alloc(kGranule).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(grant.Free(16 * kGranule, 1000 * kGranule).ok());
  EXPECT_EQ(grant.longest_free_bytes(), 1000 * kGranule);
}

TEST(SuballocatorTest, ARefusalSaysWhatIsFreeAndTheLongestRunOfIt) {
  Suballocator grant = Make(4);
  for (int n = 0; n < 4; ++n) ASSERT_TRUE(grant.Alloc(kGranule).ok());
  ASSERT_TRUE(grant.Free(0, kGranule).ok());
  ASSERT_TRUE(grant.Free(2 * kGranule, kGranule).ok());
  const absl::Status refused = grant.Alloc(2 * kGranule).status();
  EXPECT_EQ(refused.message(),
            "no 8192 bytes aligned to 4096 are free side by side in a grant of 16384 bytes: 8192 "
            "bytes are free, at most 4096 of them in one run, beside 2 pieces; give pieces back, "
            "or ask for less");
}

TEST(SuballocatorTest, BadSizesAlignmentsAndGrantsAreRefused) {
  EXPECT_EQ(Suballocator::Create(0, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Suballocator::Create(1, kGranule).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Suballocator::Create(0, kRegionBytesMax + kGranule).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Suballocator::Create(UINT64_MAX - kGranule + 1, kGranule).status().code(),
            absl::StatusCode::kOutOfRange);
  Suballocator grant = Make(8);
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, kGranule + 1, UINT64_MAX}) {
    EXPECT_EQ(grant.Alloc(bytes).status().code(), absl::StatusCode::kInvalidArgument) << bytes;
  }
  for (const uint64_t alignment : {uint64_t{0}, kGranule / 2, 3 * kGranule, UINT64_MAX}) {
    EXPECT_EQ(grant.Alloc(kGranule, alignment).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(grant.Alloc(uint64_t{1} << 63).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*grant.Alloc(kGranule, uint64_t{1} << 40), 0u);
  EXPECT_FALSE(grant.Alloc(kGranule, uint64_t{1} << 40).ok());
  EXPECT_FALSE(grant.Alloc(kGranule, uint64_t{1} << 63).ok());
}

TEST(SuballocatorTest, ForeignDoubledMisalignedAndOverlappingFreesChangeNothing) {
  Suballocator grant = Make(64, 64 * kGranule);
  const uint64_t a = *grant.Alloc(4 * kGranule);
  const uint64_t b = *grant.Alloc(4 * kGranule);
  ASSERT_EQ(b, a + 4 * kGranule);
  const auto code = [&grant](uint64_t offset, uint64_t bytes) {
    const absl::StatusCode refused = grant.Free(offset, bytes).code();
    EXPECT_EQ(grant.live_pieces(), 2u);
    EXPECT_EQ(grant.free_bytes(), 56 * kGranule);
    return refused;
  };
  EXPECT_EQ(code(0, kGranule), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(128 * kGranule, kGranule), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(a, UINT64_MAX), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(UINT64_MAX, UINT64_MAX), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(a, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(a + 1, kGranule), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(a, kGranule + 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(a, 3 * kGranule), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(a, 8 * kGranule), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(a + kGranule, 3 * kGranule), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(b + 4 * kGranule, kGranule), absl::StatusCode::kNotFound);
  EXPECT_TRUE(grant.Free(a, 4 * kGranule).ok());
  EXPECT_EQ(grant.Free(a, 4 * kGranule).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(grant.Free(b, 4 * kGranule).ok());
}

// Every sequence of so many operations on a grant of four granules: allocations of each length with
// two alignments, and frees of each piece with its own and with another length.
constexpr uint64_t kTinyGranules = 4;
constexpr int kTinyAllocs = 8;

void TryEverything(const Pair& before, std::vector<int>& path, size_t depth);

void TryOne(std::vector<int>& path, int operation, size_t depth) {
  path.push_back(operation);
  Pair pair(kTinyGranules, 3);
  for (const int step : path) {
    const auto number = static_cast<uint64_t>(step < kTinyAllocs ? step : step - kTinyAllocs);
    if (step < kTinyAllocs) {
      pair.Alloc(number % kTinyGranules + 1, number / kTinyGranules + 1);
    } else {
      pair.FreeAnything(number % kTinyGranules, number / kTinyGranules + 1);
    }
  }
  if (!testing::Test::HasFatalFailure()) TryEverything(pair, path, depth);
  path.pop_back();
}

void TryEverything(const Pair& before, std::vector<int>& path, size_t depth) {
  if (path.size() == depth) return;
  for (int operation = 0; operation < kTinyAllocs; ++operation) TryOne(path, operation, depth);
  for (const auto& [first, count] : before.model().pieces()) {
    for (const uint64_t length : {count, count % kTinyGranules + 1}) {
      TryOne(path, kTinyAllocs + static_cast<int>((length - 1) * kTinyGranules + first), depth);
    }
  }
}

TEST(SuballocatorTest, EverySequenceOfFourOperationsOnATinyGrantAgreesWithASet) {
  std::vector<int> path;
  TryEverything(Pair(kTinyGranules, 3), path, 4);
}

// Grants on both sides of every word and node, in which pieces come and go.
class SuballocatorModelTest : public testing::TestWithParam<uint64_t> {};

TEST_P(SuballocatorModelTest, RandomPiecesAgreeWithASet) {
  const uint64_t granules = GetParam();
  std::mt19937_64 random(granules);
  Pair pair(granules, random() % 100);
  for (int round = 0; round < 1500 && !HasFatalFailure(); ++round) {
    const auto& pieces = pair.model().pieces();
    const bool fill = (round / 250) % 2 == 0;  // Full and empty by turns.
    if (random() % 4 < (fill ? 3u : 1u) || pieces.empty()) {
      const uint64_t longest = random() % 8 == 0 ? granules : random() % 3 == 0 ? 200 : 12;
      const uint64_t alignment = random() % 3 == 0 ? uint64_t{1} << (random() % 10) : 1;
      pair.Alloc(random() % longest + 1, alignment);
    } else if (random() % 8 == 0) {
      pair.FreeAnything(random() % granules, random() % 3 + 1);
    } else {
      auto piece = pieces.lower_bound(random() % granules);
      pair.Free(piece == pieces.end() ? pieces.begin()->first : piece->first);
    }
  }
  while (!pair.model().pieces().empty() && !HasFatalFailure()) {
    pair.Free(pair.model().pieces().begin()->first);
  }
  EXPECT_EQ(pair.model().Longest(), granules);
}

INSTANTIATE_TEST_SUITE_P(Sizes, SuballocatorModelTest,
                         testing::Values(1, 2, 63, 64, 65, 127, 200, 511, 512, 513, 1000, 4095,
                                         4096, 4097, 5000));

TEST(SuballocatorTest, AnAlignedPlaceIsFoundEvenWhereNoRunHoldsEveryAlignment) {
  Suballocator grant = Make(1024);
  ASSERT_TRUE(grant.Alloc(1024 * kGranule).ok());
  ASSERT_TRUE(grant.Free(0, 1024 * kGranule).ok());
  std::vector<uint64_t> pieces;
  for (int n = 0; n < 16; ++n) pieces.push_back(*grant.Alloc(64 * kGranule));
  ASSERT_TRUE(grant.Free(pieces[3], 64 * kGranule).ok());
  ASSERT_TRUE(grant.Free(pieces[8], 64 * kGranule).ok());
  EXPECT_EQ(*grant.Alloc(64 * kGranule, 512 * kGranule), pieces[8]);
}

TEST(SuballocatorTest, AnUnusedGrantOfATebibyteCostsAlmostNoMemoryAndServesToItsEnd) {
  Suballocator grant = Make(kRegionBytesMax / kGranule);
  EXPECT_EQ(*grant.Alloc(kGranule), 0u);
  EXPECT_EQ(*grant.Alloc(kRegionBytesMax / 2, kRegionBytesMax / 2), kRegionBytesMax / 2);
  EXPECT_EQ(grant.longest_free_bytes(), kRegionBytesMax / 2 - kGranule);
  EXPECT_TRUE(grant.Free(kRegionBytesMax / 2, kRegionBytesMax / 2).ok());
  EXPECT_EQ(*grant.Alloc(kRegionBytesMax - kGranule), kGranule);
  EXPECT_EQ(grant.free_bytes(), 0u);
}

}  // namespace
}  // namespace devmem
