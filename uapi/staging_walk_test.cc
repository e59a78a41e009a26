// SPDX-License-Identifier: Apache-2.0
//
// Random walks through staging: several streams with loss, reorder and duplicates into a small
// region, with a device that is now quick and now slow, a user who holds frags at random, and an
// exporter who moves and evicts. Every byte is checked at the moment it is handed out; the seed is
// the name of the walk.

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <random>
#include <vector>

#include "provider/memfd_provider.h"
#include "selftests/testing/device_region.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kStreamBytes = 700'000;
constexpr uint32_t kStreams = 3;

WireWorldOptions Noisy(uint64_t seed) {
  WireWorldOptions options;
  options.region_bytes = 0;
  options.link.seed = seed;
  options.link.gso = seed % 3 == 0;
  options.link.a_to_b = {.loss = 0.01, .reorder = 0.05};
  options.link.b_to_a = {.loss = 0.01};
  return options;
}

class StagingWalk {
 public:
  StagingWalk(uint64_t seed, Region& region,
              std::function<std::vector<uint8_t>(const Frag&)> bytes_of)
      : world_(Noisy(seed)), random_(seed), region_(region), bytes_of_(std::move(bytes_of)) {}

  // `disturb` is called now and then.
  void Run(const std::function<void(std::mt19937_64&)>& disturb) {
    const BindingId binding = ValueOrFail(world_.server().Bind(region_, {}), "staged binding");
    auto listener = ValueOrFail(
        world_.server().Listen({.address = kServerAddress, .port = kPort}, binding), "listener");
    for (uint32_t i = 0; i < kStreams; ++i) {
      pairs_.push_back(world_.Open(*listener));
      world_.PumpFrom(*pairs_[i].client, i, kStreamBytes);
    }
    EXPECT_TRUE(world_.RunUntil(
        [&] {
          if (random_() % 16 == 0) disturb(random_);
          return Consume();
        },
        600 * kSecond));
    for (uint32_t i = 0; i < kStreams; ++i) EXPECT_EQ(received_[i], kStreamBytes) << "stream " << i;
    Release(held_.size());
    EXPECT_TRUE(world_.server_stack().Audit().ok()) << world_.server_stack().Audit();
    world_.StopTasks();
    pairs_.clear();
    listener.reset();
    world_.Settle();
    const Account account = *world_.server().account(binding);
    EXPECT_TRUE(account.idle()) << account.ToString();
    EXPECT_TRUE(world_.server().Unbind(binding).ok());
    world_.ExpectNothingLeft();
  }

  uint64_t staged_bytes() const { return world_.ServerStatistic("payload_bytes_staged"); }

 private:
  // One look at every stream; true when all have ended.
  bool Consume() {
    uint32_t ended = 0;
    for (uint32_t i = 0; i < kStreams; ++i) {
      std::array<Frag, 8> frags;
      const absl::StatusOr<size_t> count = pairs_[i].server->Recv(
          std::span(frags).first(1 + random_() % frags.size()), world_.now());
      if (absl::IsDeadlineExceeded(count.status())) continue;
      EXPECT_TRUE(count.ok()) << count.status();
      if (!count.ok() || *count == 0) {
        ++ended;
        continue;
      }
      for (const Frag& frag : std::span(frags).first(*count)) {
        const auto wrong = FindMismatch(i, received_[i], bytes_of_(frag));
        EXPECT_FALSE(wrong.has_value()) << "stream " << i << " at " << received_[i] + *wrong;
        received_[i] += frag.length_bytes;
        held_.push_back(frag);
      }
    }
    // At times much is held, so that the region runs short.
    if (held_.size() > random_() % 64) Release(random_() % (held_.size() + 1));
    return ended == kStreams;
  }

  void Release(size_t count) {
    std::vector<Frag> frags(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(count));
    held_.erase(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(count));
    if (!frags.empty()) {
      EXPECT_TRUE(pairs_[0].server->Release(frags).ok());
    }
  }

  WireWorld world_;
  std::mt19937_64 random_;
  Region& region_;
  const std::function<std::vector<uint8_t>(const Frag&)> bytes_of_;
  std::vector<ConnectionPair> pairs_;
  std::array<uint64_t, kStreams> received_{};
  std::deque<Frag> held_;
};

class StagingWalkTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(StagingWalkTest, ADeviceOfAnySpeedGetsEveryByteInOrder) {
  TestDeviceRegion region(256 << 10);
  TestDevice& device = region.device();
  StagingWalk walk(GetParam(), region, [&](const Frag& frag) {
    const std::lock_guard<std::mutex> lock(device.mutex);
    const auto first = device.bytes.begin() + static_cast<ptrdiff_t>(frag.offset);
    return std::vector<uint8_t>(first, first + frag.length_bytes);
  });
  walk.Run([&](std::mt19937_64& random) {
    device.asks_per_batch = static_cast<uint32_t>(random() % 4 == 0 ? random() % 200 : 0);
  });
  EXPECT_GE(walk.staged_bytes(), kStreams * kStreamBytes);
  EXPECT_EQ(device.engines, 0);
}

// A walk into memory that is moved and evicted all the time. Returns the bytes that were staged.
uint64_t WalkWhileItMoves(uint64_t seed, const ImportPolicy& policy) {
  const auto region = ValueOrFail(
      MemfdProvider().Allocate(
          {.bytes = 3 * kPagingBlockBytes, .policy = policy, .kind = AttachmentKind::kMayMove}),
      "movable region");
  const RegionView view = ValueOrFail(RegionView::Map(*region), "view");
  StagingWalk walk(seed, *region, [&](const Frag& frag) {
    const auto bytes = view.bytes().subspan(frag.offset, frag.length_bytes);
    return std::vector<uint8_t>(bytes.begin(), bytes.end());
  });
  walk.Run([&](std::mt19937_64& random) {
    const absl::Status acted =
        random() % 2 == 0 ? region->Move() : region->Evict(random() % 2 * kPagingBlockBytes, 1);
    EXPECT_TRUE(acted.ok()) << acted;
  });
  return walk.staged_bytes();
}

TEST_P(StagingWalkTest, MemoryThatMovesIsFollowedThroughAnEngineToo) {
  // Staged because its exporter wants it so; it moves all the same.
  const ImportPolicy policy = ImportPolicy::Ask([](const ImportRequest&) {
    return ImportAnswer{AttachmentVerdict::kStage, "by choice"};
  });
  EXPECT_GE(WalkWhileItMoves(GetParam(), policy), kStreams * kStreamBytes);
}

TEST_P(StagingWalkTest, MemoryThatMovesIsFollowedByTheNicItself) {
  EXPECT_EQ(WalkWhileItMoves(GetParam(), ImportPolicy::Everyone()), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, StagingWalkTest, ::testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace devmem::testing
