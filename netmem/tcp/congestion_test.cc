// SPDX-License-Identifier: Apache-2.0
// NewReno against the RFCs, one rule a test, with sequence numbers that turn over.
#include "netmem/tcp/congestion.h"

#include <gtest/gtest.h>

#include <random>

namespace devmem {
namespace {

constexpr uint32_t kMss = 1000;
constexpr SeqNum kUna{0xfffff000};

// A sender that has lost something already: ssthresh is 10 segments and cwnd has grown past it.
NewReno InAvoidance() {
  NewReno reno(kMss);
  reno.OnTimeout(kUna, 20 * kMss);
  uint32_t round = 0;
  while (reno.cwnd_bytes() < reno.ssthresh_bytes()) {
    reno.OnAck(kUna + ++round, reno.cwnd_bytes(), 0);
  }
  return reno;
}

// Three duplicate acknowledgments with `flight_bytes` outstanding.
void EnterRecovery(NewReno& reno, uint32_t flight_bytes) {
  const SeqNum snd_max = kUna + flight_bytes;
  EXPECT_EQ(reno.OnDuplicateAck(kUna, snd_max, flight_bytes), DupAckResult::kMaySend);
  EXPECT_EQ(reno.OnDuplicateAck(kUna, snd_max, flight_bytes), DupAckResult::kMaySend);
  EXPECT_EQ(reno.OnDuplicateAck(kUna, snd_max, flight_bytes), DupAckResult::kRetransmit);
}

TEST(NewRenoTest, TheInitialWindowIsTenSegmentsOr14600BytesOrTwoLargeSegments) {
  EXPECT_EQ(NewReno(536).cwnd_bytes(), 5360u);
  EXPECT_EQ(NewReno(1460).cwnd_bytes(), 14600u);
  EXPECT_EQ(NewReno(2000).cwnd_bytes(), 14600u);
  EXPECT_EQ(NewReno(8948).cwnd_bytes(), 17896u);
}

TEST(NewRenoTest, ALostSynLeavesOneSegment) {
  NewReno reno(kMss);
  reno.OnSynLost();
  EXPECT_EQ(reno.cwnd_bytes(), kMss);
}

TEST(NewRenoTest, SlowStartGrowsByAllThatWasAcknowledged) {
  NewReno reno(kMss);
  reno.OnAck(kUna + 300, 300, 9700);
  EXPECT_EQ(reno.cwnd_bytes(), 10300u);
  reno.OnAck(kUna + 9800, 9500, 200);
  EXPECT_EQ(reno.cwnd_bytes(), 19800u);
}

TEST(NewRenoTest, WhatWasToldOfBeforeDoesNotMakeTheWindowGrowAgain) {
  NewReno reno(kMss);
  reno.OnDuplicateAck(kUna, kUna + 10000, 10000);
  reno.OnDuplicateAck(kUna, kUna + 11000, 11000);
  EXPECT_EQ(reno.duplicate_bytes(), 2000u);
  reno.OnAck(kUna + 3000, 3000, 9000, reno.duplicate_bytes());
  EXPECT_EQ(reno.cwnd_bytes(), 11000u);
  EXPECT_EQ(reno.duplicate_bytes(), 0u);
}

TEST(NewRenoTest, SlowStartGoesOnUntilTheWindowIsTwiceWhatWasInFlight) {
  NewReno reno(kMss);
  reno.OnSent(kUna, kUna + 7000, 7000, false);
  // The peak counts, not what an acknowledgment leaves of it.
  for (uint32_t acked = 2000; acked <= 6000; acked += 2000) {
    reno.OnAck(kUna + acked, 2000, 7000 - acked);
  }
  EXPECT_EQ(reno.cwnd_bytes(), 14000u);
  // A window of data later the old peak says nothing any more.
  reno.OnSent(kUna + 7000, kUna + 9000, 2000, false);
  reno.OnAck(kUna + 9000, 2000, 0);
  EXPECT_EQ(reno.cwnd_bytes(), 14000u);
}

TEST(NewRenoTest, AWindowThatHeldDataBackGrowsThoughItIsNotFull) {
  NewReno reno(kMss);
  reno.OnSent(kUna, kUna + 4000, 4000, true);
  reno.OnSent(kUna, kUna + 4500, 4500, false);  // Within the same window of data.
  reno.OnAck(kUna + 1000, 1000, 3500);
  EXPECT_EQ(reno.cwnd_bytes(), 11000u);
}

TEST(NewRenoTest, AWindowThatIsNotUsedDoesNotGrow) {
  NewReno reno(kMss);
  reno.OnAck(kUna + 1000, 1000, 3000);
  EXPECT_EQ(reno.cwnd_bytes(), 10000u);
  NewReno avoidance = InAvoidance();
  const uint32_t before = avoidance.cwnd_bytes();
  for (uint32_t i = 1; i <= 100; ++i) avoidance.OnAck(kUna + 9000 + i * kMss, kMss, 2 * kMss);
  EXPECT_EQ(avoidance.cwnd_bytes(), before);
}

TEST(NewRenoTest, CongestionAvoidanceGrowsBySegmentPerWindow) {
  NewReno reno = InAvoidance();
  const uint32_t start = reno.cwnd_bytes();
  SeqNum una = kUna + 10000;
  for (uint32_t acked = 0; acked < start; acked += kMss) {
    EXPECT_EQ(reno.cwnd_bytes(), start);
    una += kMss;
    reno.OnAck(una, kMss, start - kMss);
  }
  EXPECT_EQ(reno.cwnd_bytes(), start + kMss);
  // The count starts over: the next segment is earned by a whole window again.
  reno.OnAck(una + kMss, kMss, start);
  EXPECT_EQ(reno.cwnd_bytes(), start + kMss);
}

TEST(NewRenoTest, TheFirstTwoDuplicatesAllowOneNewSegmentEach) {
  NewReno reno(kMss);
  reno.OnDuplicateAck(kUna, kUna + 10000, 10000);
  EXPECT_EQ(reno.window_bytes(), 11000u);
  reno.OnDuplicateAck(kUna, kUna + 11000, 11000);
  EXPECT_EQ(reno.window_bytes(), 12000u);
  EXPECT_EQ(reno.cwnd_bytes(), 10000u);
  reno.OnAck(kUna + 1000, 1000, 11000);  // It was reordering: the allowance ends.
  EXPECT_EQ(reno.window_bytes(), reno.cwnd_bytes());
}

TEST(NewRenoTest, TheThirdDuplicateHalvesTheFlightWithoutLimitedTransmit) {
  NewReno reno(kMss);
  reno.OnDuplicateAck(kUna, kUna + 10000, 10000);
  reno.OnDuplicateAck(kUna, kUna + 11000, 11000);
  EXPECT_EQ(reno.OnDuplicateAck(kUna, kUna + 12000, 12000), DupAckResult::kRetransmit);
  EXPECT_TRUE(reno.in_recovery());
  EXPECT_EQ(reno.ssthresh_bytes(), 5000u);
  EXPECT_EQ(reno.cwnd_bytes(), 8000u);  // Half the flight and the three segments that left.
}

TEST(NewRenoTest, FurtherDuplicatesInflateTheWindowButNoMoreThanSegmentsWereInFlight) {
  NewReno reno(kMss);
  EnterRecovery(reno, 10000);
  for (uint32_t i = 1; i <= 7; ++i) {
    EXPECT_EQ(reno.OnDuplicateAck(kUna, kUna + 10000, 10000), DupAckResult::kMaySend);
    EXPECT_EQ(reno.cwnd_bytes(), 8000 + i * kMss);
  }
  EXPECT_EQ(reno.OnDuplicateAck(kUna, kUna + 10000, 10000), DupAckResult::kNone);
  EXPECT_EQ(reno.cwnd_bytes(), 15000u);
}

TEST(NewRenoTest, APartialAcknowledgmentRetransmitsAndDeflates) {
  NewReno reno(kMss);
  EnterRecovery(reno, 10000);
  EXPECT_EQ(reno.OnAck(kUna + 3000, 3000, 7000), AckResult::kFirstPartial);
  EXPECT_EQ(reno.cwnd_bytes(), 6000u);  // 8000 - 3000 + one segment.
  EXPECT_EQ(reno.OnAck(kUna + 3500, 500, 6500), AckResult::kPartial);
  EXPECT_EQ(reno.cwnd_bytes(), 5500u);  // Less than a segment: none is added back.
  EXPECT_TRUE(reno.in_recovery());
}

TEST(NewRenoTest, AFullAcknowledgmentEndsRecoveryWithoutABurst) {
  NewReno reno(kMss);
  EnterRecovery(reno, 10000);
  // Nothing is in flight any more: two segments, not ssthresh.
  EXPECT_EQ(reno.OnAck(kUna + 10000, 10000, 0), AckResult::kRecoveryFinished);
  EXPECT_FALSE(reno.in_recovery());
  EXPECT_EQ(reno.cwnd_bytes(), 2000u);

  NewReno busy(kMss);
  EnterRecovery(busy, 10000);
  EXPECT_EQ(busy.OnAck(kUna + 10000, 10000, 8000), AckResult::kRecoveryFinished);
  EXPECT_EQ(busy.cwnd_bytes(), 5000u);
}

TEST(NewRenoTest, DuplicatesForDataOfTheLastLossDoNotHalveAgain) {
  NewReno reno(kMss);
  EnterRecovery(reno, 10000);
  reno.OnAck(kUna + 10000, 10000, 5000);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(reno.OnDuplicateAck(kUna + 10000, kUna + 15000, 5000), DupAckResult::kNone);
  }
  EXPECT_FALSE(reno.in_recovery());
  // One byte beyond the old recovery point is a new loss.
  reno.OnAck(kUna + 11000, 1000, 4000);
  reno.OnDuplicateAck(kUna + 11000, kUna + 15000, 4000);
  reno.OnDuplicateAck(kUna + 11000, kUna + 15000, 4000);
  EXPECT_EQ(reno.OnDuplicateAck(kUna + 11000, kUna + 15000, 4000), DupAckResult::kRetransmit);
}

TEST(NewRenoTest, AnOldRecoveryPointIsForgottenBeforeTheNumbersTurn) {
  NewReno reno(kMss);
  EnterRecovery(reno, 10000);
  reno.OnAck(kUna + 11000, 11000, 0);
  SeqNum una = kUna + 11000;
  for (int i = 0; i < 3; ++i) reno.OnAck(una += 0x40000000, 0x40000000, 0);
  // Three quarters of a circle later the old point would look as if it lay ahead.
  reno.OnDuplicateAck(una, una + 4000, 4000);
  reno.OnDuplicateAck(una, una + 4000, 4000);
  EXPECT_EQ(reno.OnDuplicateAck(una, una + 4000, 4000), DupAckResult::kRetransmit);
}

TEST(NewRenoTest, ATimeoutLeavesOneSegmentAndHalvesOnceForOneSegment) {
  NewReno reno(kMss);
  reno.OnTimeout(kUna + 10000, 10000);
  EXPECT_EQ(reno.cwnd_bytes(), kMss);
  EXPECT_EQ(reno.ssthresh_bytes(), 5000u);
  reno.OnTimeout(kUna + 10000, 1000);  // The retransmission was lost too.
  EXPECT_EQ(reno.ssthresh_bytes(), 5000u);
  reno.OnAck(kUna + 1000, 1000, 0);
  reno.OnTimeout(kUna + 10000, 8000);
  EXPECT_EQ(reno.ssthresh_bytes(), 4000u);
}

TEST(NewRenoTest, SlowStartAfterATimeoutCountsOneSegmentPerAcknowledgment) {
  NewReno reno(kMss);
  reno.OnTimeout(kUna + 40000, 40000);
  reno.OnAck(kUna + 9000, 9000, 0);  // Data that had arrived before.
  EXPECT_EQ(reno.cwnd_bytes(), 2000u);
  reno.OnAck(kUna + 40000, 31000, 0);  // Everything sent before the timeout is acknowledged.
  EXPECT_EQ(reno.cwnd_bytes(), 3000u);
  reno.OnAck(kUna + 44000, 4000, 0);  // Sent after it.
  EXPECT_EQ(reno.cwnd_bytes(), 7000u);
}

TEST(NewRenoTest, ATimeoutEndsFastRecoveryAndItsDuplicatesAreIgnored) {
  NewReno reno(kMss);
  EnterRecovery(reno, 10000);
  reno.OnTimeout(kUna + 10000, 10000);
  EXPECT_FALSE(reno.in_recovery());
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(reno.OnDuplicateAck(kUna, kUna + 10000, 10000), DupAckResult::kNone);
  }
}

TEST(NewRenoTest, AfterIdlingTheWindowIsAtMostTheInitialOne) {
  NewReno reno(kMss);
  for (uint32_t i = 1; i <= 20; ++i) reno.OnAck(kUna + i * 2000, 2000, 60000);
  EXPECT_GT(reno.cwnd_bytes(), 10000u);
  reno.OnIdleRestart();
  EXPECT_EQ(reno.cwnd_bytes(), 10000u);
  reno.OnTimeout(kUna + 50000, 5000);
  reno.OnIdleRestart();
  EXPECT_EQ(reno.cwnd_bytes(), kMss);
}

TEST(NewRenoTest, ALargerSegmentSizeRaisesTheFloors) {
  NewReno reno(500);
  reno.OnTimeout(kUna, 100);
  reno.SetMss(1448);
  EXPECT_EQ(reno.cwnd_bytes(), 1448u);
  EXPECT_EQ(reno.ssthresh_bytes(), 2896u);
}

TEST(NewRenoTest, TheInvariantsHoldForAnyEvents) {
  std::mt19937_64 random(5681);
  NewReno reno(kMss);
  SeqNum una = kUna;
  for (int i = 0; i < 200000; ++i) {
    const uint32_t flight = static_cast<uint32_t>(random() % (1u << 20));
    switch (random() % 16) {
      case 0: reno.OnTimeout(una + flight, flight); break;
      case 1: reno.OnIdleRestart(); break;
      case 2:
      case 3:
      case 4:
      case 5: reno.OnDuplicateAck(una, una + flight, flight); break;
      default: {
        const uint32_t acked = 1 + static_cast<uint32_t>(random() % (1u << 18));
        reno.OnAck(una += acked, acked, flight);
      }
    }
    ASSERT_GE(reno.cwnd_bytes(), kMss);
    ASSERT_LE(reno.cwnd_bytes(), kCongestionWindowBytesMax);
    ASSERT_GE(reno.ssthresh_bytes(), 2 * kMss);
    ASSERT_LE(reno.window_bytes(), reno.cwnd_bytes() + 2 * kMss);
  }
}

}  // namespace
}  // namespace devmem
