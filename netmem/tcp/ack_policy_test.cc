// SPDX-License-Identifier: Apache-2.0
// When an acknowledgment leaves: now, later or not at all.
#include "netmem/tcp/ack_policy.h"

#include <gtest/gtest.h>

namespace devmem {
namespace {

constexpr uint32_t kMss = 1448;

// A policy that has used up its quick acknowledgments and owes nothing.
AckPolicy Settled() {
  AckPolicy policy(kMss);
  policy.OnInOrder(kQuickAckSegments * kMss, kQuickAckSegments);
  policy.OnAckSent();
  return policy;
}

TEST(AckPolicyTest, NothingArrivedNothingIsAcknowledged) {
  EXPECT_EQ(AckPolicy(kMss).Decide(), AckDecision::kNone);
  EXPECT_EQ(Settled().Decide(), AckDecision::kNone);
}

TEST(AckPolicyTest, TheFirstSixteenSegmentsAreAcknowledgedWithoutDelay) {
  AckPolicy policy(kMss);
  for (uint32_t i = 0; i < 16; ++i) {
    policy.OnInOrder(kMss, 1);
    EXPECT_EQ(policy.Decide(), AckDecision::kNow) << i;
    policy.OnAckSent();
  }
  policy.OnInOrder(kMss, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
}

TEST(AckPolicyTest, ASingleSegmentIsDelayedAndTheSecondAcknowledgesBoth) {
  AckPolicy policy = Settled();
  policy.OnInOrder(kMss, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.OnInOrder(kMss, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
  policy.OnAckSent();
  EXPECT_EQ(policy.Decide(), AckDecision::kNone);
  EXPECT_EQ(policy.pending_bytes(), 0u);
}

TEST(AckPolicyTest, TwoSmallSegmentsCountAsTwo) {
  AckPolicy policy = Settled();
  policy.OnInOrder(1, 1);
  policy.OnInOrder(1, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
}

TEST(AckPolicyTest, AMergedFrameThatHidesItsSegmentsIsKnownByItsBytes) {
  AckPolicy policy = Settled();
  policy.OnInOrder(2 * kMss - 1, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.OnAckSent();
  policy.OnInOrder(2 * kMss, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
  EXPECT_EQ(policy.rcv_mss_bytes(), kMss);  // It taught no segment larger than we announced.
}

TEST(AckPolicyTest, LearnsTheSegmentSizeOfThePeerAndDoesNotForgetIt) {
  AckPolicy policy(kMss);
  policy.OnInOrder(10 * 536, 10);
  EXPECT_EQ(policy.rcv_mss_bytes(), 536u);
  policy.OnInOrder(700, 1);
  policy.OnInOrder(20, 1);
  EXPECT_EQ(policy.rcv_mss_bytes(), 700u);
}

TEST(AckPolicyTest, WhateverThePeersRecoveryWaitsForIsAcknowledgedAtOnce) {
  const auto decide = [](void (AckPolicy::*event)()) {
    AckPolicy policy = Settled();
    (policy.*event)();
    const AckDecision decision = policy.Decide();
    policy.OnAckSent();
    EXPECT_EQ(policy.Decide(), AckDecision::kNone);
    return decision;
  };
  EXPECT_EQ(decide(&AckPolicy::OnOutOfOrder), AckDecision::kNow);
  EXPECT_EQ(decide(&AckPolicy::OnDuplicate), AckDecision::kNow);
  EXPECT_EQ(decide(&AckPolicy::OnHoleFilled), AckDecision::kNow);
  EXPECT_EQ(decide(&AckPolicy::OnWindowOpened), AckDecision::kNow);
}

TEST(AckPolicyTest, AFinIsAcknowledgedAtOnce) {
  AckPolicy policy = Settled();
  policy.OnFin(true);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
}

// A frugal policy of a peer whose segments are known to be full.
AckPolicy Frugal() {
  AckPolicy policy(kMss, AckOptions::Frugal());
  for (uint32_t i = 0; i < kQuickAckSegments; ++i) {
    policy.OnInOrder(kMss, 1);
    EXPECT_EQ(policy.Decide(), AckDecision::kNow);
    policy.OnAckSent();
  }
  return policy;
}

TEST(AckPolicyTest, AFrugalOneCountsBytesAndNotSegments) {
  AckPolicy policy = Frugal();
  for (int i = 0; i < 10; ++i) policy.OnInOrder(100, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.OnInOrder(kMss, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
}

TEST(AckPolicyTest, AFrugalOneWaitsForTheAnswerOfWhoAnswers) {
  AckPolicy policy(kMss, AckOptions::Frugal());
  policy.OnInOrder(100, 1);
  policy.OnAckSent();
  policy.OnDataSent(1000 * kSecond, 1000 * kSecond + kDelayedAckMax - 1, kDelayedAckMax);
  EXPECT_FALSE(policy.quick());
  policy.OnInOrder(100, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.OnAllRead();
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.OnDelayOver();
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
  EXPECT_TRUE(policy.quick());
}

TEST(AckPolicyTest, WhoSendsLaterThanTheDelayIsNotAnswering) {
  AckPolicy policy(kMss, AckOptions::Frugal());
  policy.OnInOrder(100, 1);
  policy.OnAckSent();
  policy.OnHeardNoData(1000 * kSecond);
  policy.OnDataSent(1001 * kSecond, 1001 * kSecond, kDelayedAckMax);
  EXPECT_TRUE(policy.quick());
}

TEST(AckPolicyTest, AFrugalOneLetsTheFinOfAnOpenConnectionWait) {
  AckPolicy policy = Frugal();
  policy.OnFin(true);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.OnFin(false);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
}

TEST(AckPolicyTest, AFrugalOneHasTimeWhileTheBufferIsMoreThanHalfFull) {
  AckPolicy policy(kMss, AckOptions::Frugal());
  policy.OnInOrder(10 * kMss, 10);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
  policy.SetHalfFull(true);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.SetHalfFull(false);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
}

TEST(AckPolicyTest, AFrugalOneAcknowledgesWhatTheUserHasRead) {
  AckPolicy policy = Frugal();
  policy.OnInOrder(100, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.OnAllRead();
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
}

TEST(AckPolicyTest, TheUserMayDelayOrHurryAcknowledgments) {
  AckPolicy policy(kMss, AckOptions::Frugal());
  policy.SetQuick(false);
  policy.OnInOrder(100, 1);
  EXPECT_EQ(policy.Decide(), AckDecision::kDelayed);
  policy.SetQuick(true);
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
}

TEST(AckPolicyTest, ABatchIsFullAt256KiB) {
  AckPolicy policy = Settled();
  for (int i = 0; i < 3; ++i) policy.OnInOrder(64 << 10, 46);
  policy.OnInOrder((64 << 10) - 1, 46);
  EXPECT_FALSE(policy.batch_full());
  policy.OnInOrder(1, 1);
  EXPECT_TRUE(policy.batch_full());
  policy.OnAckSent();
  EXPECT_FALSE(policy.batch_full());
}

TEST(AckPolicyTest, OutOfOrderABatchIsFullAtOnce) {
  AckPolicy policy = Settled();
  policy.OnOutOfOrder();
  EXPECT_TRUE(policy.batch_full());
  policy.OnAckSent();
  EXPECT_FALSE(policy.batch_full());
}

TEST(AckPolicyTest, AfterALossTheNextEightAcknowledgmentsAreForTwoSegmentsEach) {
  AckPolicy policy = Settled();
  policy.OnOutOfOrder();
  for (uint32_t ack = 1; ack < kCarefulAcks; ++ack) {
    policy.OnAckSent();
    policy.OnInOrder(kMss, 1);
    EXPECT_FALSE(policy.batch_full()) << ack;
    policy.OnInOrder(kMss, 1);
    EXPECT_TRUE(policy.batch_full()) << ack;
  }
  policy.OnAckSent();
  policy.OnInOrder(100 * kMss, 100);
  EXPECT_FALSE(policy.batch_full()) << "the path has been good for long enough";
}

TEST(AckPolicyTest, CountsDoNotWrapHoweverLongNobodyAsks) {
  AckPolicy policy(kMss);
  policy.OnInOrder(UINT32_MAX, UINT32_MAX);
  policy.OnInOrder(2, 2);
  EXPECT_TRUE(policy.batch_full());
  EXPECT_EQ(policy.Decide(), AckDecision::kNow);
}

}  // namespace
}  // namespace devmem
