// SPDX-License-Identifier: Apache-2.0
// Counting bytes against users: what is refused and what is said then, when bytes come back, and
// that threads together never get more than the limit.
#include "provider/quota.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "provider/limits.h"
#include "provider/memfd_provider.h"
#include "provider/provider.h"
#include "provider/region_view.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

TEST(QuotaTest, BytesCountUntilTheirChargeGoes) {
  const auto quota = Quota::Create({.pinned_bytes = 100});
  {
    auto first = quota->Charge("ann", QuotaKind::kPinned, "weights", 60);
    ASSERT_TRUE(first.ok());
    QuotaCharge moved = *std::move(first);
    EXPECT_EQ(moved.bytes(), 60u);
    EXPECT_EQ(quota->UsageOf("ann").pinned_bytes, 60u);
    EXPECT_TRUE(quota->Charge("ann", QuotaKind::kPinned, "more", 40).ok());
    EXPECT_FALSE(quota->Charge("ann", QuotaKind::kPinned, "more", 41).ok());
  }
  EXPECT_EQ(quota->UsageOf("ann").pinned_bytes, 0u);
  EXPECT_TRUE(quota->ListUsage().empty()) << "who has nothing costs nothing";
}

TEST(QuotaTest, ARefusalSaysTheLimitTheUsageAndTheLargestHolders) {
  const auto quota = Quota::Create({.pinned_bytes = 100});
  std::vector<QuotaCharge> charges;
  for (const uint64_t bytes : {10u, 5u, 20u, 1u, 2u, 3u, 15u}) {
    const std::string label = absl::StrCat("of ", bytes);
    charges.push_back(*quota->Charge("ann", QuotaKind::kPinned, label, bytes));
  }
  charges.push_back(*quota->Charge("ann", QuotaKind::kPinned, "of 20", 20));
  charges.push_back(*quota->Charge("ann", QuotaKind::kStaged, "ring", 77));
  charges.push_back(*quota->Charge("bob", QuotaKind::kPinned, "bob's", 88));
  const absl::Status refused = quota->Charge("ann", QuotaKind::kPinned, "new", 25).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(),
            "25 pinned bytes for \"new\" are refused: the limit of ann is 100 bytes and 76 are in "
            "use, held by \"of 20\" 40, \"of 15\" 15, \"of 10\" 10, \"of 5\" 5, \"of 3\" 3 and 2 "
            "others; give some back, or raise the quota");
}

TEST(QuotaTest, PinnedAndStagedBytesAndUsersAreCountedApart) {
  const auto quota = Quota::Create({.pinned_bytes = 10, .staged_bytes = 5});
  const auto pinned = quota->Charge("ann", QuotaKind::kPinned, "a", 10);
  const auto staged = quota->Charge("ann", QuotaKind::kStaged, "b", 5);
  const auto other = quota->Charge("bob", QuotaKind::kPinned, "c", 10);
  EXPECT_TRUE(pinned.ok() && staged.ok() && other.ok());
  EXPECT_FALSE(quota->Charge("ann", QuotaKind::kStaged, "d", 1).ok());
  const std::vector<QuotaUsage> users = quota->ListUsage();
  ASSERT_EQ(users.size(), 2u);
  EXPECT_EQ(users[0].user, "ann");
  EXPECT_EQ(users[0].staged_bytes, 5u);
  EXPECT_EQ(users[0].charge_count, 2u);
  EXPECT_EQ(users[1].pinned_bytes, 10u);
}

TEST(QuotaTest, ZeroOverflowAndLongNamesAreRefused) {
  const auto quota = Quota::Create();
  EXPECT_EQ(quota->Charge("ann", QuotaKind::kPinned, "a", 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto most = quota->Charge("ann", QuotaKind::kPinned, "a", UINT64_MAX);
  EXPECT_TRUE(most.ok()) << "no limit was set";
  EXPECT_EQ(quota->Charge("ann", QuotaKind::kPinned, "a", 1).status().code(),
            absl::StatusCode::kResourceExhausted);
  const std::string long_name(kQuotaNameBytesMax + 1, 'x');
  EXPECT_EQ(quota->Charge(long_name, QuotaKind::kPinned, "a", 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(quota->Charge("ann", QuotaKind::kPinned, long_name, 1).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(QuotaTest, ALimitBelowTheUsageTakesNothingAndGrantsNothing) {
  const auto quota = Quota::Create();
  auto held = quota->Charge("ann", QuotaKind::kPinned, "a", 100);
  ASSERT_TRUE(held.ok());
  quota->SetLimits("ann", {.pinned_bytes = 50});
  EXPECT_EQ(quota->UsageOf("ann").pinned_bytes, 100u);
  EXPECT_FALSE(quota->Charge("ann", QuotaKind::kPinned, "a", 1).ok());
  *held = QuotaCharge();
  EXPECT_TRUE(quota->Charge("ann", QuotaKind::kPinned, "a", 50).ok());
}

TEST(QuotaTest, WhoNamesNoUserIsTheOneOfThisProcess) {
  const auto quota = Quota::Create();
  const auto held = quota->Charge("", QuotaKind::kPinned, "a", 7);
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(held->user(), QuotaUserOfThisProcess());
  EXPECT_EQ(quota->UsageOf("").pinned_bytes, 7u);
}

TEST(QuotaTest, ThreadsTogetherNeverHoldMoreThanTheLimit) {
  constexpr uint64_t kLimit = 10;
  const auto quota = Quota::Create({.pinned_bytes = kLimit});
  std::atomic<uint64_t> held{0};
  std::atomic<uint64_t> granted{0};
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 2000; ++round) {
        auto charge = quota->Charge("ann", QuotaKind::kPinned, "t", 2 + thread);
        if (!charge.ok()) continue;
        granted.fetch_add(1, std::memory_order_relaxed);
        EXPECT_LE(held.fetch_add(2 + thread) + 2 + thread, kLimit);
        held.fetch_sub(2 + thread);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(granted.load(), 0u);
  EXPECT_TRUE(quota->ListUsage().empty());
}

TEST(QuotaTest, ARegionIsCountedUntilTheLastOfItsUsersGoes) {
  MemfdProvider memfd;
  const auto quota = Quota::Create({.pinned_bytes = 2 * kSmallPageBytes});
  auto region = AllocateRegion(
      memfd,
      {.bytes = 2 * kSmallPageBytes, .label = "weights", .quota = quota, .quota_user = "ann"});
  ASSERT_TRUE(region.ok()) << region.status();
  auto attachment = MakeAttachment(**region);
  auto view = RegionView::Map(**region);
  const auto used = [&quota] { return quota->UsageOf("ann").pinned_bytes; };
  region->reset();
  EXPECT_EQ(used(), 2 * kSmallPageBytes);
  attachment.reset();
  EXPECT_EQ(used(), 2 * kSmallPageBytes);
  view = absl::CancelledError();
  EXPECT_EQ(used(), 0u);
}

TEST(QuotaTest, ARegionBeyondTheQuotaIsRefusedAndOneThatIsNotMadeCountsNothing) {
  MemfdProvider memfd;
  const auto quota = Quota::Create({.pinned_bytes = kSmallPageBytes + 1});
  AllocateOptions options = {.bytes = 2 * kSmallPageBytes, .label = "big", .quota = quota};
  const absl::Status refused = AllocateRegion(memfd, options).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.message().find("8192 pinned bytes for \"big\""), std::string::npos) << refused;
  options.bytes = kSmallPageBytes + 1;
  EXPECT_EQ(AllocateRegion(memfd, options).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(quota->ListUsage().empty());
}

}  // namespace
}  // namespace devmem
