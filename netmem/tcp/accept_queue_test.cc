// SPDX-License-Identifier: Apache-2.0
//
// The accept queue against a plain list under random pushes and removals, and what a removal costs,
// counted in looks at connections.

#include "netmem/tcp/accept_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "netmem/nic/impairment.h"

namespace devmem {
namespace {

// Connections of which only the links are there, and how often they were looked at.
class Connections {
 public:
  explicit Connections(uint32_t count) : links_(count) {}

  auto links_of() {
    return [this](uint32_t index) -> AcceptLinks& {
      ++looks;
      return links_.at(index);
    };
  }
  std::vector<uint32_t> InOrder(const AcceptQueue& queue) const {
    std::vector<uint32_t> order;
    for (uint32_t i = queue.front(); i != kNoConnectionIndex; i = links_.at(i).next) {
      order.push_back(i);
    }
    return order;
  }

  uint32_t looks = 0;

 private:
  std::vector<AcceptLinks> links_;
};

TEST(AcceptQueueTest, KeepsTheOrderWhoeverLeaves) {
  constexpr uint32_t kCount = 40;
  Connections connections(kCount);
  AcceptQueue queue;
  std::vector<uint32_t> model;
  SeededRandom random(1);
  for (int step = 0; step < 20000; ++step) {
    const uint32_t index = static_cast<uint32_t>(random.Below(kCount));
    const auto found = std::find(model.begin(), model.end(), index);
    if (found == model.end()) {
      queue.PushBack(index, connections.links_of());
      model.push_back(index);
    } else {
      queue.Remove(index, connections.links_of());
      model.erase(found);
    }
    ASSERT_EQ(connections.InOrder(queue), model);
    ASSERT_EQ(queue.size(), model.size());
  }
}

TEST(AcceptQueueTest, LeavingCostsTheSameFromEveryPlaceOfEveryLength) {
  for (const uint32_t count : {3u, 100u, 65535u}) {
    Connections connections(count);
    AcceptQueue queue;
    for (uint32_t i = 0; i < count; ++i) queue.PushBack(i, connections.links_of());
    EXPECT_LE(connections.looks, 2 * count);
    for (const uint32_t index : {count / 2, count - 1, 0u}) {
      connections.looks = 0;
      queue.Remove(index, connections.links_of());
      EXPECT_LE(connections.looks, 3u) << index << " of " << count;
    }
    // All of them, from the last one on: the worst case of a list that is searched.
    connections.looks = 0;
    for (uint32_t i = count - 1; i-- > 1;) {
      if (i != count / 2) queue.Remove(i, connections.links_of());
    }
    EXPECT_EQ(queue.size(), 0u);
    EXPECT_LE(connections.looks, 3 * count);
  }
}

}  // namespace
}  // namespace devmem
