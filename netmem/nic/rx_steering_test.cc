// SPDX-License-Identifier: Apache-2.0
//
// Where a received frame belongs: every combination of rule, binding and kind of frame, and what is
// counted for frames that go nowhere.

#include "netmem/nic/rx_steering.h"

#include <gtest/gtest.h>

#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using ::devmem::testing::TestFlow;

class RxSteeringTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kQueue = 1;

  static FrameHeaders Tcp() {
    FrameHeaders headers;
    headers.kind = FrameKind::kTcp;
    headers.flow = TestFlow();
    return headers;
  }

  SteeringVerdict Decide(const FrameHeaders& headers = Tcp()) {
    steering_.Refresh();
    return steering_.Decide(headers, bound_.Contains(kQueue));
  }

  FlowRules rules_{4};
  BoundQueues bound_;
  RxSteering steering_{rules_, bound_, kQueue};
};

TEST_F(RxSteeringTest, WithoutABindingEverythingIsHostDataAndNothingIsStray) {
  EXPECT_EQ(Decide().rx_class, RxClass::kHost);
  ASSERT_TRUE(rules_.Add({.local_port = 5201}, kQueue).ok());
  EXPECT_EQ(Decide().rx_class, RxClass::kHost);
  EXPECT_FALSE(Decide().is_stray);
}

TEST_F(RxSteeringTest, ARuleForThisBoundQueueSteers) {
  bound_.Set(kQueue, true);
  ASSERT_TRUE(rules_.Add({.local_port = 5201}, kQueue).ok());
  EXPECT_EQ(Decide().rx_class, RxClass::kSteered);
  EXPECT_FALSE(Decide().is_stray);
}

TEST_F(RxSteeringTest, AnUnmatchedFrameOnABoundQueueIsStrayHostData) {
  bound_.Set(kQueue, true);
  EXPECT_EQ(Decide().rx_class, RxClass::kHost);
  EXPECT_TRUE(Decide().is_stray);
}

TEST_F(RxSteeringTest, ARuleForAnotherBoundQueueSendsTheFrameElsewhere) {
  ASSERT_TRUE(rules_.Add({.local_port = 5201}, 3).ok());
  EXPECT_EQ(Decide().rx_class, RxClass::kHost);  // Queue 3 is not bound.
  bound_.Set(3, true);
  EXPECT_EQ(Decide().rx_class, RxClass::kElsewhere);
  EXPECT_EQ(Decide().target_queue, 3u);
  bound_.Set(kQueue, true);
  EXPECT_EQ(Decide().rx_class, RxClass::kElsewhere);
  EXPECT_FALSE(Decide().is_stray);
}

TEST_F(RxSteeringTest, RulesAreForTcpOnly) {
  bound_.Set(kQueue, true);
  ASSERT_TRUE(rules_.Add({}, kQueue).ok());
  FrameHeaders ping = Tcp();
  ping.kind = FrameKind::kIcmp;
  EXPECT_EQ(Decide(ping).rx_class, RxClass::kHost);
  EXPECT_TRUE(Decide(ping).is_stray);
}

TEST_F(RxSteeringTest, ChangedRulesCountFromTheNextRefreshOn) {
  bound_.Set(kQueue, true);
  const auto id = rules_.Add({.local_port = 5201}, kQueue);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(steering_.Decide(Tcp(), true).rx_class, RxClass::kHost);
  EXPECT_EQ(Decide().rx_class, RxClass::kSteered);
  ASSERT_TRUE(rules_.Delete(*id).ok());
  EXPECT_EQ(steering_.Decide(Tcp(), true).rx_class, RxClass::kSteered);
  EXPECT_EQ(Decide().rx_class, RxClass::kHost);
}

TEST(IsDeliveredTest, EachKindOfFrameGoesOnOrIsCountedByReason) {
  RxQueueStats stats;
  FrameHeaders headers;
  for (const FrameKind kind :
       {FrameKind::kTcp, FrameKind::kIcmp, FrameKind::kIcmpV6, FrameKind::kArp}) {
    headers.kind = kind;
    EXPECT_TRUE(IsDelivered(headers, stats));
  }
  headers.kind = FrameKind::kOther;
  EXPECT_FALSE(IsDelivered(headers, stats));
  EXPECT_EQ(stats.drop_malformed + stats.drop_truncated + stats.drop_fragment, 0u);

  headers.is_fragment = true;
  EXPECT_FALSE(IsDelivered(headers, stats));
  EXPECT_EQ(stats.drop_fragment, 1u);

  headers = {.kind = FrameKind::kMalformed, .error = FrameError::kTruncated};
  EXPECT_FALSE(IsDelivered(headers, stats));
  EXPECT_EQ(stats.drop_truncated, 1u);

  headers.error = FrameError::kBadIpChecksum;
  EXPECT_FALSE(IsDelivered(headers, stats));
  EXPECT_EQ(stats.drop_malformed, 1u);
}

}  // namespace
}  // namespace devmem
