// SPDX-License-Identifier: Apache-2.0
//
// Which frames of a batch are handled together, and in which order.

#include "netmem/stack/batch_flows.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace devmem {
namespace {

// The frames in the order in which a worker handles them.
std::vector<uint32_t> Order(const BatchFlows& flows, uint32_t frames) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < frames; ++i) {
    if (flows.follows(i)) continue;
    for (uint32_t next = i;;) {
      order.push_back(next);
      next = flows.next(next);
      if (next == 0) break;
    }
  }
  return order;
}

std::vector<uint32_t> OrderOf(const std::vector<uint64_t>& hashes) {
  const auto flows = std::make_unique<BatchFlows>();
  flows->Clear();
  for (uint32_t i = 0; i < hashes.size(); ++i) (void)flows->Add(i, hashes[i]);
  return Order(*flows, static_cast<uint32_t>(hashes.size()));
}

using Frames = std::vector<uint32_t>;

TEST(BatchFlowsTest, BringsTogetherWhatOthersCameBetween) {
  EXPECT_EQ(OrderOf({5, 6, 5, 7, 6, 5}), (Frames{0, 2, 5, 1, 4, 3}));
  EXPECT_EQ(OrderOf({5}), (Frames{0}));
  EXPECT_EQ(OrderOf({}), (Frames{}));
}

// They break each other's chains, and nothing else happens.
TEST(BatchFlowsTest, FlowsThatMeetInOneSlotKeepTheirOwnOrder) {
  constexpr uint64_t a = 5, b = 5 + kBatchFlowSlots;
  EXPECT_EQ(OrderOf({a, b, a, b, b, a}), (Frames{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(OrderOf({a, a, b, 9, a, a}), (Frames{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(OrderOf({a, 9, a, b, 9, a}), (Frames{0, 2, 1, 4, 3, 5}));
}

TEST(BatchFlowsTest, AddSaysWhetherAChainBegins) {
  const auto flows = std::make_unique<BatchFlows>();
  flows->Clear();
  EXPECT_TRUE(flows->Add(0, 5));
  EXPECT_TRUE(flows->Add(1, 6));
  EXPECT_FALSE(flows->Add(2, 5));
  EXPECT_EQ(flows->hash(2), 5u);
}

// Many batches, so that every slot holds what an earlier one left: each frame is named once, those
// of a flow in order, and flows begin in the order of their first frames.
TEST(BatchFlowsTest, NamesEveryFrameOnceAndThoseOfAFlowInOrder) {
  std::mt19937_64 random(1);
  const auto flows = std::make_unique<BatchFlows>();
  for (int batch = 0; batch < 500; ++batch) {
    const uint32_t frames = static_cast<uint32_t>(random() % (kBatchFramesMax + 1));
    const uint64_t flow_count = 1 + random() % 300;
    // Some flows share slots.
    const uint64_t stride = random() % 4 == 0 ? kBatchFlowSlots / 4 : 0x9e3779b97f4a7c15;
    std::vector<uint64_t> hashes(frames);
    flows->Clear();
    for (uint32_t i = 0; i < frames; ++i) {
      hashes[i] = random() % flow_count * stride;
      (void)flows->Add(i, hashes[i]);
    }
    const Frames order = Order(*flows, frames);
    ASSERT_EQ(order.size(), frames);
    std::vector<bool> named(frames);
    for (const uint32_t frame : order) {
      ASSERT_FALSE(named[frame]);
      named[frame] = true;
      for (uint32_t earlier = 0; earlier < frame; ++earlier) {
        ASSERT_TRUE(named[earlier] || hashes[earlier] != hashes[frame]) << frame;
      }
    }
  }
}

}  // namespace
}  // namespace devmem
