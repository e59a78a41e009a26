// SPDX-License-Identifier: Apache-2.0
// The wheel against a sorted list that keeps every deadline as it was given.
#include "netmem/tcp/timer_wheel.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <vector>

namespace devmem {
namespace {

constexpr Nanos kHour = 3600 * kSecond;

std::vector<uint32_t> ExpireAll(TimerWheel& wheel, Nanos now) {
  std::vector<uint32_t> ids;
  std::array<uint32_t, 7> batch;
  while (const size_t count = wheel.Expire(now, batch)) {
    ids.insert(ids.end(), batch.begin(), batch.begin() + static_cast<ptrdiff_t>(count));
  }
  return ids;
}

using Ids = std::vector<uint32_t>;

TEST(TimerWheelTest, RefusesNoTimersAndTooManyWithTheBound) {
  EXPECT_EQ(TimerWheel::Create(0).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status too_many = TimerWheel::Create(kTimersMax + 1).status();
  EXPECT_NE(too_many.message().find("134217728"), absl::string_view::npos);
}

TEST(TimerWheelTest, AnEmptyWheelHasNoDeadlineAndExpiresNothing) {
  TimerWheel wheel = *TimerWheel::Create(4);
  EXPECT_EQ(wheel.NextDeadline(), kNever);
  EXPECT_EQ(ExpireAll(wheel, 100 * kHour), Ids());
  EXPECT_EQ(wheel.NextDeadline(), kNever);
}

TEST(TimerWheelTest, ATimerNeverFiresEarlyAndLessThanOneTickLate) {
  for (Nanos deadline : {1 * kMillisecond, 1 * kMillisecond + 1, 40 * kMillisecond - 1,
                         64 * kMillisecond, 200 * kMillisecond + 7, 7 * kHour + 123456789}) {
    TimerWheel wheel = *TimerWheel::Create(1);
    wheel.Arm(0, deadline);
    EXPECT_EQ(ExpireAll(wheel, deadline - 1), Ids()) << deadline;
    EXPECT_TRUE(wheel.armed(0));
    EXPECT_EQ(ExpireAll(wheel, deadline + kClockTick - 1), Ids({0})) << deadline;
    EXPECT_FALSE(wheel.armed(0));
  }
}

TEST(TimerWheelTest, ATimerOnATickFiresExactlyThen) {
  TimerWheel wheel = *TimerWheel::Create(1);
  wheel.Arm(0, 40 * kMillisecond);
  EXPECT_EQ(wheel.NextDeadline(), 40 * kMillisecond);
  EXPECT_EQ(ExpireAll(wheel, 40 * kMillisecond), Ids({0}));
}

TEST(TimerWheelTest, ADeadlineInThePastFiresAtTheNextCall) {
  TimerWheel wheel = *TimerWheel::Create(3);
  ExpireAll(wheel, kHour);
  wheel.Arm(0, 0);
  wheel.Arm(1, -5);
  wheel.Arm(2, kHour);
  EXPECT_LE(wheel.NextDeadline(), kHour);
  EXPECT_EQ(ExpireAll(wheel, kHour).size(), 3u);
}

TEST(TimerWheelTest, ACancelledTimerDoesNotFire) {
  TimerWheel wheel = *TimerWheel::Create(3);
  for (uint32_t id = 0; id < 3; ++id) wheel.Arm(id, kSecond);
  wheel.Cancel(1);
  wheel.Cancel(1);
  EXPECT_FALSE(wheel.armed(1));
  EXPECT_EQ(wheel.armed_count(), 2u);
  EXPECT_EQ(ExpireAll(wheel, 2 * kSecond).size(), 2u);
}

TEST(TimerWheelTest, ArmingAgainMovesTheDeadlineAndNeverCancels) {
  TimerWheel wheel = *TimerWheel::Create(1);
  wheel.Arm(0, kSecond);
  wheel.Arm(0, kHour);
  EXPECT_EQ(wheel.armed_count(), 1u);
  EXPECT_EQ(ExpireAll(wheel, kHour - 1), Ids());
  wheel.Arm(0, kNever);
  EXPECT_EQ(wheel.armed_count(), 0u);
  EXPECT_EQ(ExpireAll(wheel, 2 * kHour), Ids());
}

TEST(TimerWheelTest, ADueTimerCanBeCancelledBetweenBatches) {
  TimerWheel wheel = *TimerWheel::Create(3);
  for (uint32_t id = 0; id < 3; ++id) wheel.Arm(id, kSecond);
  std::array<uint32_t, 1> one;
  ASSERT_EQ(wheel.Expire(kSecond, one), 1u);
  const uint32_t other = one[0] == 1 ? 2 : 1;
  EXPECT_LE(wheel.NextDeadline(), kSecond);
  wheel.Cancel(other);
  wheel.Arm(3 - one[0] - other, 5 * kSecond);
  EXPECT_EQ(ExpireAll(wheel, kSecond), Ids());
  EXPECT_EQ(ExpireAll(wheel, 5 * kSecond), Ids({3 - one[0] - other}));
}

TEST(TimerWheelTest, EarlierTicksFireFirst) {
  TimerWheel wheel = *TimerWheel::Create(5);
  const std::array<Nanos, 5> deadlines = {9 * kHour, 70 * kMillisecond, 3 * kSecond,
                                          5 * kMillisecond, 2 * kHour};
  for (uint32_t id = 0; id < 5; ++id) wheel.Arm(id, deadlines[id]);
  EXPECT_EQ(ExpireAll(wheel, 10 * kHour), Ids({3, 1, 2, 4, 0}));
}

TEST(TimerWheelTest, TheNextDeadlineIsExactWithinTheCurrent64Milliseconds) {
  TimerWheel wheel = *TimerWheel::Create(2);
  ExpireAll(wheel, 64 * kSecond);
  wheel.Arm(0, 64 * kSecond + 40 * kMillisecond);
  EXPECT_EQ(wheel.NextDeadline(), 64 * kSecond + 40 * kMillisecond);
  wheel.Arm(1, 64 * kSecond + 1);
  EXPECT_EQ(wheel.NextDeadline(), 64 * kSecond + kClockTick);
}

TEST(TimerWheelTest, FollowingNextDeadlineReachesAFarTimerInFewSteps) {
  TimerWheel wheel = *TimerWheel::Create(1);
  const Nanos deadline = 1000 * kHour + 1;
  wheel.Arm(0, deadline);
  int steps = 0;
  Nanos now = 0;
  while (wheel.armed(0)) {
    ASSERT_GT(wheel.NextDeadline(), now);
    now = wheel.NextDeadline();
    ExpireAll(wheel, now);
    ASSERT_LT(++steps, 12);
  }
  EXPECT_GE(now, deadline);
  EXPECT_LT(now, deadline + kClockTick);
}

TEST(TimerWheelTest, TheFarthestDeadlineIsHeldAndReached) {
  TimerWheel wheel = *TimerWheel::Create(2);
  wheel.Arm(0, kNever - 1);
  wheel.Arm(1, kNever / 2);
  EXPECT_EQ(ExpireAll(wheel, kNever / 2 + kClockTick), Ids({1}));
  EXPECT_GT(wheel.NextDeadline(), 0);
  EXPECT_TRUE(wheel.armed(0));
}

// The model keeps deadlines as they were given and knows when each may and must fire.
class TimerWheelModelTest : public testing::TestWithParam<uint64_t> {
 protected:
  static constexpr uint32_t kIds = 300;

  void Arm(uint32_t id, Nanos deadline) {
    wheel_.Arm(id, deadline);
    model_[id] = deadline;
  }
  void Cancel(uint32_t id) {
    wheel_.Cancel(id);
    model_.erase(id);
  }
  void Expire() {
    for (uint32_t id : ExpireAll(wheel_, now_)) {
      const auto it = model_.find(id);
      ASSERT_NE(it, model_.end()) << id << " fired without being armed";
      ASSERT_LE(it->second, now_) << id << " fired early";
      model_.erase(it);
    }
    for (const auto& [id, deadline] : model_) {
      ASSERT_GT(deadline + kClockTick, now_) << id << " is overdue";
    }
  }
  void Check() const {
    ASSERT_EQ(wheel_.armed_count(), model_.size());
    Nanos earliest = kNever;
    for (const auto& [id, deadline] : model_) {
      ASSERT_TRUE(wheel_.armed(id));
      earliest = std::min(earliest, deadline);
    }
    const Nanos next = wheel_.NextDeadline();
    if (model_.empty()) {
      ASSERT_EQ(next, kNever);
    } else {
      ASSERT_LT(next, std::max(earliest, now_) + kClockTick);
    }
  }
  Nanos RandomSpan() {
    // Each magnitude from a microsecond to a month is as likely.
    return static_cast<Nanos>(random_() % (uint64_t{kMicrosecond} << random_() % 42));
  }

  std::mt19937_64 random_{GetParam()};
  TimerWheel wheel_ = *TimerWheel::Create(kIds);
  std::map<uint32_t, Nanos> model_;
  Nanos now_ = static_cast<Nanos>(random_() % static_cast<uint64_t>(1000 * kHour));
};

TEST_P(TimerWheelModelTest, AgreesWithASortedListUnderRandomOperations) {
  for (int i = 0; i < 20000; ++i) {
    const uint32_t id = static_cast<uint32_t>(random_() % kIds);
    switch (random_() % 8) {
      case 0: Cancel(id); break;
      case 1: now_ += RandomSpan() / 16; break;
      case 2:
        if (wheel_.NextDeadline() != kNever) now_ = std::max(now_, wheel_.NextDeadline());
        break;
      case 3: Expire(); break;
      default: Arm(id, now_ + RandomSpan() - kMillisecond);
    }
    if (!HasFatalFailure()) Check();
    if (HasFatalFailure()) FAIL() << "at operation " << i;
  }
}

TEST_P(TimerWheelModelTest, FollowingNextDeadlineAlwaysMakesProgress) {
  for (uint32_t id = 0; id < kIds; ++id) Arm(id, now_ + RandomSpan());
  Expire();
  int calls = 0;
  while (wheel_.armed_count() != 0) {
    const Nanos next = wheel_.NextDeadline();
    ASSERT_GT(next, now_);
    now_ = next;
    Expire();
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_LT(++calls, 12 * static_cast<int>(kIds));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TimerWheelModelTest, testing::Values(1, 2, 3, 4, 5, 6));

}  // namespace
}  // namespace devmem
