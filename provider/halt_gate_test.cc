// SPDX-License-Identifier: Apache-2.0
// The gate between a thread that works and one that ends the work.
#include "provider/halt_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace devmem {
namespace {

TEST(HaltGateTest, ItIsOpenUntilItIsClosedForGood) {
  HaltGate gate;
  EXPECT_TRUE(gate.Enter());
  gate.Leave();
  EXPECT_FALSE(gate.closed());
  gate.Close();
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(gate.Enter());
  gate.Close();
}

// `plain` is no atomic: under tsan a Close() that returned too early is a race.
TEST(HaltGateTest, CloseWaitsForWhoIsInside) {
  for (int round = 0; round < 500; ++round) {
    HaltGate gate;
    int plain = 0;
    std::atomic<bool> begun{false};
    std::thread worker([&] {
      while (gate.Enter()) {
        begun = true;
        ++plain;
        gate.Leave();
      }
    });
    while (round % 2 == 0 && !begun) std::this_thread::yield();
    gate.Close();
    const int closed_at = plain;
    worker.join();
    ASSERT_EQ(plain, closed_at);
  }
}

}  // namespace
}  // namespace devmem
