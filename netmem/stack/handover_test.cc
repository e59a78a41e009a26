// SPDX-License-Identifier: Apache-2.0
//
// The rings between workers: what goes in comes out, in order, whole, and never more than fits.

#include "netmem/stack/handover.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>

#include "netmem/nic/impairment.h"

namespace devmem {
namespace {

// Fills a frame whose payload says which it is. False when there is no room.
bool Put(HandoverRing& ring, uint32_t number, uint32_t payload_bytes) {
  HandedFrame* frame = ring.Reserve(payload_bytes);
  if (frame == nullptr) return false;
  frame->frame_bytes = number;
  const std::span<uint8_t> payload = ring.payload(*frame);
  EXPECT_EQ(payload.size(), payload_bytes);
  std::fill(payload.begin(), payload.end(), static_cast<uint8_t>(number));
  ring.Push(*frame);
  return true;
}

// Takes the oldest frame, which must be that one.
void Take(HandoverRing& ring, uint32_t number, uint32_t payload_bytes) {
  const HandedFrame* frame = ring.Front();
  ASSERT_NE(frame, nullptr);
  EXPECT_EQ(frame->frame_bytes, number);
  const std::span<const uint8_t> payload = ring.payload(*frame);
  ASSERT_EQ(payload.size(), payload_bytes);
  EXPECT_TRUE(std::all_of(payload.begin(), payload.end(),
                          [&](uint8_t byte) { return byte == static_cast<uint8_t>(number); }));
  ring.Pop(*frame);
}

TEST(HandoverRingTest, HeaderOnlyFramesFillItToItsCountAndNoFurther) {
  HandoverRing ring;
  EXPECT_EQ(ring.Front(), nullptr);
  for (uint32_t i = 0; i < kHandoverFrames; ++i) ASSERT_TRUE(Put(ring, i, 0)) << i;
  EXPECT_FALSE(Put(ring, 0, 0));
  Take(ring, 0, 0);
  EXPECT_TRUE(Put(ring, kHandoverFrames, 0));
  for (uint32_t i = 1; i <= kHandoverFrames; ++i) Take(ring, i, 0);
  EXPECT_EQ(ring.Front(), nullptr);
}

TEST(HandoverRingTest, PayloadFillsItToItsBytesAndNoFurther) {
  HandoverRing ring;
  const uint32_t count = static_cast<uint32_t>(kHandoverBytes / kFramePayloadBytesMax);
  for (uint32_t i = 0; i < count; ++i) ASSERT_TRUE(Put(ring, i, kFramePayloadBytesMax)) << i;
  EXPECT_FALSE(Put(ring, 0, kFramePayloadBytesMax));
  Take(ring, 0, kFramePayloadBytesMax);
  EXPECT_TRUE(Put(ring, count, kFramePayloadBytesMax));
}

TEST(HandoverRingTest, AReservedFrameThatIsNotPushedTakesNoRoom) {
  HandoverRing ring;
  for (int i = 0; i < 1000; ++i) ASSERT_NE(ring.Reserve(kFramePayloadBytesMax), nullptr);
  EXPECT_TRUE(Put(ring, 5, 100));
  Take(ring, 5, 100);
}

TEST(HandoverRingTest, BehavesAsAQueueUnderRandomSizes) {
  HandoverRing ring;
  SeededRandom random(11);
  std::deque<std::pair<uint32_t, uint32_t>> model;
  uint32_t refused = 0;
  for (uint32_t number = 0; number < 50'000; ++number) {
    if (random.Below(5) < 3) {
      const uint32_t bytes =
          random.Below(4) == 0 ? 0 : static_cast<uint32_t>(random.Below(kFramePayloadBytesMax + 1));
      if (Put(ring, number, bytes)) {
        model.emplace_back(number, bytes);
      } else {
        ++refused;
      }
    } else if (!model.empty()) {
      ASSERT_NO_FATAL_FAILURE(Take(ring, model.front().first, model.front().second));
      model.pop_front();
    }
  }
  EXPECT_GT(refused, 0u);
}

TEST(HandoverRingTest, OneThreadFillsWhileAnotherEmpties) {
  constexpr uint32_t kFrames = 20'000;
  HandoverRing ring;
  std::thread producer([&ring] {
    for (uint32_t i = 0; i < kFrames;) {
      if (Put(ring, i, i % 3000)) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (uint32_t i = 0; i < kFrames;) {
    if (ring.Front() == nullptr) {
      std::this_thread::yield();
      continue;
    }
    Take(ring, i, i % 3000);
    ++i;
  }
  producer.join();
  EXPECT_EQ(ring.Front(), nullptr);
}

}  // namespace
}  // namespace devmem
