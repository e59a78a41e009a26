// SPDX-License-Identifier: Apache-2.0
// RFC 7323 section 2 and RFC 9293 sections 3.8.6.2 and 3.10.7.4.
#include "netmem/tcp/window.h"

#include <gtest/gtest.h>

#include <random>

namespace devmem {
namespace {

TEST(WindowTest, TheScaleIsTheSmallestThatReachesTheBuffer) {
  EXPECT_EQ(*WindowScaleFor(1), 0);
  EXPECT_EQ(*WindowScaleFor(65535), 0);
  EXPECT_EQ(*WindowScaleFor(65536), 1);
  for (uint8_t shift = 1; shift <= kWindowScaleMax; ++shift) {
    EXPECT_EQ(*WindowScaleFor(uint64_t{65535} << shift), shift);
    EXPECT_EQ(*WindowScaleFor((uint64_t{65535} << (shift - 1)) + 1), shift);
  }
}

TEST(WindowTest, ABufferOfNothingOrBeyondTheLargestWindowIsRefusedWithItsSize) {
  EXPECT_EQ(WindowScaleFor(0).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status too_large = WindowScaleFor(kWindowBytesMax + 1).status();
  EXPECT_EQ(too_large.code(), absl::StatusCode::kOutOfRange);
  EXPECT_NE(too_large.message().find("1073725441"), absl::string_view::npos);
}

TEST(WindowTest, EncodingRoundsUpByLessThanAUnitAndStopsAtTheLargest) {
  std::mt19937_64 random(7323);
  for (int i = 0; i < 100000; ++i) {
    const uint64_t window_bytes = random() >> (32 + random() % 32);
    const uint8_t scale = static_cast<uint8_t>(random() % (kWindowScaleMax + 1));
    const uint64_t announced = DecodeWindow(EncodeWindow(window_bytes, scale), scale);
    if (window_bytes <= uint64_t{65535} << scale) {
      ASSERT_GE(announced, window_bytes);
      ASSERT_LT(announced - window_bytes, uint64_t{1} << scale);
    } else {
      ASSERT_EQ(announced, uint64_t{65535} << scale);
    }
  }
}

TEST(WindowTest, EncodingAMultipleOfTheUnitIsExact) {
  EXPECT_EQ(EncodeWindow(64u << 20, 11), 32768);
  EXPECT_EQ(DecodeWindow(32768, 11), 64u << 20);
  EXPECT_EQ(DecodeWindow(65535, 14), kWindowBytesMax);
  EXPECT_EQ(EncodeWindow(kWindowBytesMax, 0), 65535);
}

TEST(WindowTest, TheReceiverAdvancesByASegmentOrHalfOfASmallWindow) {
  EXPECT_FALSE(ReceiverMayAdvance(1447, 65536, 1448));
  EXPECT_TRUE(ReceiverMayAdvance(1448, 65536, 1448));
  EXPECT_FALSE(ReceiverMayAdvance(499, 1000, 1448));
  EXPECT_TRUE(ReceiverMayAdvance(500, 1000, 1448));
  EXPECT_FALSE(ReceiverMayAdvance(0, 1, 1448));
}

TEST(WindowTest, AFullSegmentIsSentAtOnce) {
  EXPECT_TRUE(MaySendNow({.queued_bytes = 5000, .usable_bytes = 1448, .mss_bytes = 1448}));
}

TEST(WindowTest, ASmallSegmentWaitsWhileDataIsInFlight) {
  SendQuestion question{
      .queued_bytes = 100, .usable_bytes = 65535, .window_bytes_max = 65535, .mss_bytes = 1448};
  EXPECT_FALSE(MaySendNow(question));
  question.nothing_in_flight = true;
  EXPECT_TRUE(MaySendNow(question));
}

TEST(WindowTest, ASmallSegmentIsSentWithNagleOffOrBeforeAFin) {
  SendQuestion question{
      .queued_bytes = 100, .usable_bytes = 65535, .window_bytes_max = 65535, .mss_bytes = 1448};
  question.no_delay = true;
  EXPECT_TRUE(MaySendNow(question));
  question.no_delay = false;
  question.last = true;
  EXPECT_TRUE(MaySendNow(question));
}

TEST(WindowTest, ASliverOfWindowIsNotFilledEvenWhenNothingIsInFlight) {
  SendQuestion question{.queued_bytes = 5000,
                        .usable_bytes = 200,
                        .window_bytes_max = 4000,
                        .mss_bytes = 1448,
                        .nothing_in_flight = true,
                        .no_delay = true,
                        .last = true};
  EXPECT_FALSE(MaySendNow(question));
  question.usable_bytes = 1447;
  EXPECT_FALSE(MaySendNow(question));
}

TEST(WindowTest, HalfOfTheLargestWindowOfASmallPeerIsEnough) {
  SendQuestion question{.queued_bytes = 5000,
                        .usable_bytes = 256,
                        .window_bytes_max = 512,
                        .mss_bytes = 1448,
                        .nothing_in_flight = true};
  EXPECT_TRUE(MaySendNow(question));
  question.usable_bytes = 255;
  EXPECT_FALSE(MaySendNow(question));
}

TEST(WindowTest, NothingIsSentIntoAClosedWindowOrWithoutData) {
  EXPECT_FALSE(MaySendNow({.queued_bytes = 5000, .nothing_in_flight = true, .no_delay = true}));
  EXPECT_FALSE(MaySendNow({.usable_bytes = 5000, .nothing_in_flight = true, .last = true}));
}

constexpr SeqNum kSeq{0xfffffffe};
constexpr SeqNum kAck{0xffffff00};

TEST(SendWindowTest, ANewerSegmentSetsTheWindowAcrossTheTurn) {
  SendWindow window;
  window.Start(kSeq, kAck, 1000);
  EXPECT_TRUE(window.Update(kSeq + 4, kAck, 500));
  EXPECT_EQ(window.bytes, 500u);
  EXPECT_EQ(window.bytes_max, 1000u);
  EXPECT_TRUE(window.Update(kSeq + 4, kAck + 0x200, 3000));
  EXPECT_EQ(window.bytes, 3000u);
  EXPECT_EQ(window.bytes_max, 3000u);
}

TEST(SendWindowTest, TheSameSegmentNumbersMayChangeTheWindow) {
  SendWindow window;
  window.Start(kSeq, kAck, 0);
  EXPECT_TRUE(window.Update(kSeq, kAck, 4096));  // A window update carries nothing else new.
  EXPECT_EQ(window.bytes, 4096u);
}

TEST(SendWindowTest, AnOlderSegmentDoesNotSetTheWindow) {
  SendWindow window;
  window.Start(kSeq + 4, kAck + 0x200, 1000);
  EXPECT_FALSE(window.Update(kSeq, kAck + 0x200, 9));      // Older data, same ACK.
  EXPECT_FALSE(window.Update(kSeq + 4, kAck + 0x100, 9));  // Same data, older ACK.
  EXPECT_EQ(window.bytes, 1000u);
}

TEST(SendWindowTest, ARetransmissionThatAcknowledgesMoreSetsTheWindow) {
  SendWindow window;
  window.Start(kSeq + 4, kAck + 0x200, 0x100);
  // The peer's buffer filled up: its edge stays at kAck + 0x300.
  EXPECT_TRUE(window.Update(kSeq, kAck + 0x300, 0));
  EXPECT_EQ(window.bytes, 0u);
}

}  // namespace
}  // namespace devmem
