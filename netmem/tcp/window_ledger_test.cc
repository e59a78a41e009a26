// SPDX-License-Identifier: Apache-2.0
// The ledger's three invariants, by example and against a model under seeded random operations.
#include "netmem/tcp/window_ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

namespace devmem {
namespace {

constexpr uint32_t kMss = 1448;
constexpr uint64_t kReserve = 64 << 10;
constexpr uint64_t kCapacity = 64 << 20;

WindowLedger Make(uint64_t capacity_bytes = kCapacity, uint64_t window_cap_bytes = 0) {
  return *WindowLedger::Create({.capacity_bytes = capacity_bytes,
                                .reserve_bytes = kReserve,
                                .window_cap_bytes = window_cap_bytes});
}

WindowLedger::GrantRequest Request(uint64_t outstanding, uint64_t wanted, uint64_t available) {
  return {.outstanding_bytes = outstanding,
          .wanted_bytes = wanted,
          .available_bytes = available,
          .mss_bytes = kMss,
          .window_scale = 0};
}

WindowLedger::GrantRequest Scaled(uint64_t outstanding, uint64_t wanted, uint64_t available,
                                  uint8_t scale) {
  WindowLedger::GrantRequest request = Request(outstanding, wanted, available);
  request.window_scale = scale;
  return request;
}

TEST(WindowLedgerTest, RefusesAReserveThatLeavesNothing) {
  const absl::Status status =
      WindowLedger::Create({.capacity_bytes = 65536, .reserve_bytes = 65536}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("65536"), absl::string_view::npos);
  EXPECT_FALSE(WindowLedger::Create({.capacity_bytes = kLedgerCapacityBytesMax + 1}).ok());
}

TEST(WindowLedgerTest, GrantsWhatIsWantedWhileMemoryLasts) {
  WindowLedger ledger = Make();
  ledger.Join();
  const auto grant = ledger.Grant(Request(0, 60000, kCapacity));
  EXPECT_EQ(grant.window_bytes, 60000u);
  EXPECT_FALSE(grant.limited);
  EXPECT_EQ(ledger.promised_bytes(), 60000u);
}

TEST(WindowLedgerTest, PromisesShrinkAsBytesArriveAndEndWithTheConnection) {
  WindowLedger ledger = Make();
  ledger.Join();
  ledger.Grant(Request(0, 60000, kCapacity));
  ledger.OnArrived(10000);
  EXPECT_EQ(ledger.promised_bytes(), 50000u);
  ledger.Leave(50000);
  EXPECT_EQ(ledger.promised_bytes(), 0u);
  EXPECT_EQ(ledger.connection_count(), 0u);
}

TEST(WindowLedgerTest, StopsAtWhatIsFreeWithoutTheReserveAndSaysSo) {
  WindowLedger ledger = Make();
  ledger.Join();
  const auto grant = ledger.Grant(Request(0, 60000, kReserve + 20000));
  EXPECT_EQ(grant.window_bytes, 20000u);
  EXPECT_TRUE(grant.limited);
}

TEST(WindowLedgerTest, WhatOneConnectionWasPromisedAnotherCannotHave) {
  WindowLedger ledger = Make();
  ledger.Join();
  ledger.Join();
  ledger.Grant(Request(0, 60000, kReserve + 90000));
  const auto second = ledger.Grant(Request(0, 60000, kReserve + 90000));
  EXPECT_EQ(second.window_bytes, 30000u);
  EXPECT_TRUE(second.limited);
  EXPECT_EQ(ledger.promised_bytes(), 90000u);
}

TEST(WindowLedgerTest, EveryConnectionMayHaveTwoSegments) {
  WindowLedger ledger = Make();
  for (int i = 0; i < 100; ++i) {
    ledger.Join();
    const auto grant = ledger.Grant(Request(0, 60000, kReserve));
    EXPECT_EQ(grant.window_bytes, 2 * kMss);
    EXPECT_TRUE(grant.limited);
  }
  EXPECT_EQ(ledger.promised_bytes(), 200 * kMss);
}

TEST(WindowLedgerTest, AnEmptyPoolClosesTheWindowAndAFullerOneOpensIt) {
  WindowLedger ledger = Make();
  ledger.Join();
  ledger.Grant(Request(0, 60000, kCapacity));
  ledger.OnArrived(60000);
  const auto closed = ledger.Grant(Request(0, 60000, 0));
  EXPECT_EQ(closed.window_bytes, 0u);
  EXPECT_TRUE(closed.limited);
  // Half of it is not worth a segment.
  EXPECT_EQ(ledger.Grant(Request(0, 60000, 2 * kMss - 1)).window_bytes, 0u);
  EXPECT_EQ(ledger.Grant(Request(0, 60000, 2 * kMss)).window_bytes, kMss);
}

TEST(WindowLedgerTest, TheRightEdgeStaysWhenMemoryIsGone) {
  WindowLedger ledger = Make();
  ledger.Join();
  ledger.Grant(Request(0, 60000, kCapacity));
  const auto grant = ledger.Grant(Request(60000, 60000, 0));
  EXPECT_EQ(grant.window_bytes, 60000u);
  const auto less_wanted = ledger.Grant(Request(60000, 100, kCapacity));
  EXPECT_EQ(less_wanted.window_bytes, 60000u);
  EXPECT_FALSE(less_wanted.limited);
}

TEST(WindowLedgerTest, SmallStepsAreHeldBackUntilTheyMakeASegment) {
  WindowLedger ledger = Make();
  ledger.Join();
  ledger.Grant(Request(0, 60000, kCapacity));
  ledger.OnArrived(kMss - 1);
  const auto held = ledger.Grant(Request(60000 - kMss + 1, 60000, kCapacity));
  EXPECT_EQ(held.window_bytes, 60000u - kMss + 1);
  EXPECT_FALSE(held.limited);
  ledger.OnArrived(1);
  EXPECT_EQ(ledger.Grant(Request(60000 - kMss, 60000, kCapacity)).window_bytes, 60000u);
}

TEST(WindowLedgerTest, OneConnectionGetsAtMostItsCap) {
  WindowLedger ledger = Make(kCapacity, 1 << 20);
  ledger.Join();
  EXPECT_EQ(ledger.Grant(Scaled(0, 1 << 30, kCapacity, 10)).window_bytes, 1u << 20);
}

TEST(WindowLedgerTest, OneConnectionGetsAtMostTwiceItsShare) {
  WindowLedger ledger = Make();
  for (int i = 0; i < 64; ++i) ledger.Join();
  const auto grant = ledger.Grant(Scaled(0, 1 << 30, kCapacity, 10));
  EXPECT_EQ(grant.window_bytes, 2u << 20);
  EXPECT_FALSE(grant.limited);
}

// A share smaller than the window's unit rounds down to nothing: that is not all that was wanted,
// and whoever waits for memory must be told of it.
TEST(WindowLedgerTest, AWindowOfNothingIsALimitedOne) {
  WindowLedger ledger = Make();
  for (int i = 0; i < 10'000; ++i) ledger.Join();
  const auto grant = ledger.Grant(Scaled(0, 1 << 20, 0, 14));
  EXPECT_EQ(grant.window_bytes, 0u);
  EXPECT_TRUE(grant.limited);
  EXPECT_FALSE(ledger.Grant(Scaled(0, 0, 0, 14)).limited) << "nothing was wanted";
}

// All are busy and their bytes are read at once. What arrives frees a promise, which goes to
// whoever asks first: those who ask late must not be left with less and less.
TEST(WindowLedgerTest, WhoAsksLastGetsHisShareAllTheSame) {
  constexpr uint64_t kBurst = 4 * kMss;
  WindowLedger ledger = Make();
  std::array<uint64_t, 64> windows{};
  for (size_t i = 0; i < windows.size(); ++i) ledger.Join();
  for (int round = 0; round < 2000; ++round) {
    for (uint64_t& window : windows) {
      const uint64_t bytes = std::min(window, kBurst);
      ledger.OnArrived(bytes);
      window -= bytes;
    }
    for (uint64_t& window : windows) {
      window = ledger.Grant(Scaled(window, 4 << 20, kCapacity, 7)).window_bytes;
    }
  }
  const auto [least, most] = std::minmax_element(windows.begin(), windows.end());
  EXPECT_GT(*least * 8, *most * 7);
  EXPECT_GT(*least, kCapacity / windows.size() * 3 / 4);
}

// Once most of the memory is promised, asking for more than an equal share would be in vain.
TEST(WindowLedgerTest, WhatIsWithinReachIsTheShareThatTheLastGrantWentBy) {
  WindowLedger ledger = Make();
  for (int i = 0; i < 64; ++i) ledger.Join();
  EXPECT_EQ(ledger.WithinReach(1 << 30, 0, kMss), 2u << 20)
      << "twice a share while there is plenty";
  EXPECT_EQ(ledger.WithinReach(3000, 0, kMss), 3000u);
  for (int i = 0; i < 20; ++i) (void)ledger.Grant(Scaled(0, 1 << 30, kCapacity, 10));
  const uint64_t may_be_promised = (kCapacity - kReserve) * 7 / 8;
  EXPECT_EQ(ledger.WithinReach(1 << 30, 0, kMss), may_be_promised / 64)
      << "a share when it is tight";
  EXPECT_EQ(ledger.WithinReach(1 << 30, 5000, kMss), may_be_promised / 64 + 5000)
      << "and what has come already, behind a hole";
  EXPECT_EQ(ledger.WithinReach(1 << 30, 0, 1 << 20), 2u << 20) << "two segments in any case";
  for (int i = 0; i < 32; ++i) ledger.Leave(0);
  EXPECT_EQ(ledger.WithinReach(1 << 30, 0, kMss), 4u << 20) << "half of them went";
}

TEST(WindowLedgerTest, AWindowIsNeverMoreThanItsScaleCanSay) {
  WindowLedger ledger = Make();
  ledger.Join();
  EXPECT_EQ(ledger.Grant(Scaled(0, 1 << 30, kCapacity, 2)).window_bytes, 65535u * 4);
}

TEST(WindowLedgerTest, AScaledWindowIsAMultipleOfItsUnitAndNeverMovesTheEdgeLeft) {
  WindowLedger ledger = Make();
  ledger.Join();
  EXPECT_EQ(ledger.Grant(Scaled(0, 100000, kCapacity, 10)).window_bytes, 97u * 1024);
  ledger.OnArrived(1448);
  // 97880 are outstanding and nothing more is free: rounded up, not down.
  EXPECT_EQ(ledger.Grant(Scaled(97880, 100000, kReserve, 10)).window_bytes, 96u * 1024);
  EXPECT_EQ(ledger.promised_bytes(), 96u * 1024);
}

TEST(WindowLedgerTest, AScaledWindowLeavesAnEighthForTheRoundingOfWindows) {
  WindowLedger ledger = Make();
  ledger.Join();
  EXPECT_EQ(ledger.Grant(Scaled(0, 1 << 20, kReserve + (64 << 10), 7)).window_bytes, 56u << 10);
}

// A peer that sends segments of seven units or more into a pool that gives nothing back finds room
// for each of them, and a shut window in the end, although every one moves the edge by rounding.
TEST(WindowLedgerTest, WhatRoundingAddsFindsItsPlace) {
  for (const uint64_t segment : {900u, 1023u, 1151u, 1448u, 2896u, 8948u}) {
    WindowLedger ledger = Make(8 << 20);
    ledger.Join();
    uint64_t available = 8 << 20, outstanding = 0;
    while (true) {
      outstanding = ledger.Grant(Scaled(outstanding, 4 << 20, available, 7)).window_bytes;
      const uint64_t bytes = std::min(outstanding, segment);
      if (bytes == 0) break;
      ASSERT_LE(bytes, available) << "segments of " << segment;
      outstanding -= bytes;
      available -= bytes;
      ledger.OnArrived(bytes);
    }
    EXPECT_LT(available, kReserve);
  }
}

TEST(WindowLedgerTest, HugeSegmentsGetAWindowFromASmallPool) {
  WindowLedger ledger = Make(128 << 10);
  ledger.Join();
  WindowLedger::GrantRequest request = Scaled(0, 128 << 10, 128 << 10, 7);
  request.mss_bytes = 65'495;
  EXPECT_GE(ledger.Grant(request).window_bytes, 16u << 10);
}

TEST(WindowLedgerTest, WhatIsHereBehindAHoleDoesNotCountTwice) {
  WindowLedger ledger = Make();
  ledger.Join();
  ledger.Grant(Request(0, 50'000, kReserve + 50'000));
  // 30,000 of it have come, and take their memory; 20,000 are awaited.
  WindowLedger::GrantRequest request = Request(50'000, 65'000, kReserve + 30'000);
  EXPECT_EQ(ledger.Grant(request).window_bytes, 50'000u);
  request.ahead_bytes = 30'000;
  EXPECT_EQ(ledger.Grant(request).window_bytes, 60'000u);
}

TEST(WindowLedgerTest, WasteLowersWhatMayBePromised) {
  WindowLedger ledger = Make();
  for (int i = 0; i < 200; ++i) ledger.MeasureWaste(40 << 20, 10 << 20);
  // 40 MiB and a slab over 10 MiB and a slab: 641 / 161, reached in full.
  EXPECT_EQ(ledger.waste(), WindowLedger::kWasteOne * 641 / 161);
  EXPECT_NEAR(static_cast<double>(ledger.PromiseLimit(kReserve + (10 << 20))), 2.51 * (1 << 20),
              0.02 * (1 << 20));
}

TEST(WindowLedgerTest, OneSmallSegmentInAnEmptyQueueIsHardlyAWaste) {
  WindowLedger ledger = Make();
  for (int i = 0; i < 200; ++i) ledger.MeasureWaste(4096, 100);
  EXPECT_LT(ledger.waste(), WindowLedger::kWasteOne * 11 / 10);
}

TEST(WindowLedgerTest, WasteIsNeverBelowOneAndFallsAgain) {
  WindowLedger ledger = Make();
  ledger.MeasureWaste(0, 0);
  EXPECT_EQ(ledger.waste(), WindowLedger::kWasteOne);
  ledger.MeasureWaste(100, 1 << 20);
  EXPECT_EQ(ledger.waste(), WindowLedger::kWasteOne);
  for (int i = 0; i < 50; ++i) ledger.MeasureWaste(40 << 20, 10 << 20);
  for (int i = 0; i < 200; ++i) ledger.MeasureWaste(10 << 20, 10 << 20);
  EXPECT_LT(ledger.waste(), WindowLedger::kWasteOne * 101 / 100);
}

TEST(WindowLedgerTest, ArrivalsBeyondThePromiseStopTheProgram) {
  GTEST_FLAG_SET(death_test_style, "fast");
  WindowLedger ledger = Make();
  EXPECT_DEATH(ledger.OnArrived(1), "more arrived than the ledger had promised");
  EXPECT_DEATH(ledger.Leave(0), "more connections left");
}

// Connections that come, receive, are granted and go, over a pool that is sometimes nearly empty.
class WindowLedgerModelTest : public testing::TestWithParam<uint8_t> {
 protected:
  struct Peer {
    uint64_t outstanding_bytes = 0;
    uint32_t mss_bytes = 0;
  };

  uint64_t Below(uint64_t bound) { return random_() % bound; }

  void Join() {
    ledger_.Join();
    peers_.push_back({0, static_cast<uint32_t>(88 + Below(9000))});
  }
  void Leave(size_t index) {
    ledger_.Leave(peers_[index].outstanding_bytes);
    peers_[index] = peers_.back();
    peers_.pop_back();
  }
  void Arrive(Peer& peer) {
    const uint64_t bytes = Below(peer.outstanding_bytes + 1);
    peer.outstanding_bytes -= bytes;
    ledger_.OnArrived(bytes);
  }
  void Grant(Peer& peer) {
    // All magnitudes of free memory, so that plenty and none are both common.
    const uint64_t available = Below(kCapacity >> Below(24));
    const uint64_t wanted = Below(32 << 20);
    const uint64_t unit = uint64_t{1} << GetParam();
    const auto grant = ledger_.Grant({.outstanding_bytes = peer.outstanding_bytes,
                                      .wanted_bytes = wanted,
                                      .available_bytes = available,
                                      .mss_bytes = peer.mss_bytes,
                                      .window_scale = GetParam()});
    ASSERT_GE(grant.window_bytes, peer.outstanding_bytes) << "the right edge moved left";
    ASSERT_EQ(grant.window_bytes % unit, 0u);
    ASSERT_LE(grant.window_bytes, 65535 * unit);
    const uint64_t kept = (peer.outstanding_bytes + unit - 1) / unit * unit;
    const uint64_t floor = std::min({2ull * peer.mss_bytes, available + 0ull, wanted + 0ull});
    const uint64_t floor_in_units = (floor + unit - 1) / unit * unit;
    if (grant.window_bytes > std::max(kept, floor_in_units)) {
      const uint64_t budget = available - std::min(available, kReserve);
      ASSERT_LE(ledger_.promised_bytes() * ledger_.waste(), budget * WindowLedger::kWasteOne);
    }
    peer.outstanding_bytes = grant.window_bytes;
  }
  void CheckSum() const {
    uint64_t sum = 0;
    for (const Peer& peer : peers_) sum += peer.outstanding_bytes;
    ASSERT_EQ(ledger_.promised_bytes(), sum);
    ASSERT_EQ(ledger_.connection_count(), peers_.size());
  }

  std::mt19937_64 random_{GetParam() + 8u};
  WindowLedger ledger_ = Make();
  std::vector<Peer> peers_;
};

TEST_P(WindowLedgerModelTest, KeepsItsInvariantsUnderRandomOperations) {
  for (int i = 0; i < 100000; ++i) {
    if (peers_.empty() || (peers_.size() < 40 && Below(20) == 0)) Join();
    const size_t index = Below(peers_.size());
    switch (Below(16)) {
      case 0: ledger_.MeasureWaste(Below(kCapacity), Below(kCapacity)); break;
      case 1:
        if (Below(4) == 0) Leave(index);
        break;
      case 2:
      case 3:
      case 4:
      case 5: Arrive(peers_[index]); break;
      default: Grant(peers_[index]);
    }
    if (!HasFatalFailure()) CheckSum();
    if (HasFatalFailure()) FAIL() << "at operation " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Scales, WindowLedgerModelTest, testing::Values(0, 3, 7, 10, 14));

TEST(WindowLedgerLoopTest, WithoutTokensReturnedTheWindowCloses) {
  // A peer sends all it may, in segments, into a pool that gives nothing back.
  WindowLedger ledger = Make(1 << 20);
  ledger.Join();
  uint64_t available = 1 << 20, outstanding = 0, received = 0;
  for (int round = 0; round < 10000; ++round) {
    outstanding = ledger.Grant(Scaled(outstanding, 512 << 10, available, 5)).window_bytes;
    const uint64_t bytes = std::min<uint64_t>({outstanding, kMss, available});
    if (bytes == 0) break;
    outstanding -= bytes;
    received += bytes;
    available -= bytes;
    ledger.OnArrived(bytes);
  }
  EXPECT_LT(outstanding, 2 * kMss);
  EXPECT_GT(received, (1u << 20) - 2 * kMss);
}

}  // namespace
}  // namespace devmem
