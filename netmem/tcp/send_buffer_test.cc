// SPDX-License-Identifier: Apache-2.0
// The send buffer against a std::deque.
#include "netmem/tcp/send_buffer.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <string>
#include <vector>

namespace devmem {
namespace {

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Everything from `offset` on, through as many spans as it takes.
std::string ReadAll(const SendBuffer& buffer, size_t offset = 0, size_t max_bytes = SIZE_MAX) {
  std::string text;
  while (text.size() < max_bytes) {
    const auto span = buffer.Peek(offset + text.size(), max_bytes - text.size());
    if (span.empty()) break;
    text.append(span.begin(), span.end());
  }
  return text;
}

TEST(SendBufferTest, RefusesNoCapacityAndTooMuchWithTheBound) {
  EXPECT_EQ(SendBuffer::Create(0).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status too_much = SendBuffer::Create(kSendBufferBytesMax + 1).status();
  EXPECT_NE(too_much.message().find("67108864"), absl::string_view::npos);
}

TEST(SendBufferTest, AnIdleOneIsSmallAndADefaultOneTakesNothing) {
  EXPECT_LE(sizeof(SendBuffer), 40u);
  SendBuffer buffer;
  EXPECT_EQ(buffer.Write(Bytes("a")), 0u);
  EXPECT_TRUE(buffer.Peek(0, 10).empty());
  buffer.Consume(0);
}

TEST(SendBufferTest, BytesComeOutInOrderFromAnyOffset) {
  SendBuffer buffer = *SendBuffer::Create(100);
  EXPECT_EQ(buffer.Write(Bytes("GET / ")), 6u);
  EXPECT_EQ(buffer.Write(Bytes("HTTP/1.0")), 8u);
  EXPECT_EQ(ReadAll(buffer), "GET / HTTP/1.0");
  EXPECT_EQ(ReadAll(buffer, 4, 3), "/ H");
  EXPECT_EQ(ReadAll(buffer, 14), "");
  EXPECT_EQ(ReadAll(buffer, 99), "");
}

TEST(SendBufferTest, TakesWhatFitsAndSaysHowMuch) {
  SendBuffer buffer = *SendBuffer::Create(10);
  EXPECT_EQ(buffer.Write(Bytes("0123456789abc")), 10u);
  EXPECT_EQ(buffer.free(), 0u);
  EXPECT_EQ(buffer.Write(Bytes("x")), 0u);
  buffer.Consume(4);
  EXPECT_EQ(buffer.free(), 4u);
  EXPECT_EQ(buffer.Write(Bytes("uvwxyz")), 4u);
  EXPECT_EQ(ReadAll(buffer), "456789uvwx");
}

TEST(SendBufferTest, WhatWrapsIsInOnePieceAllTheSame) {
  SendBuffer buffer = *SendBuffer::Create(8);
  buffer.Write(Bytes("01234567"));
  buffer.Consume(6);
  buffer.Write(Bytes("ab"));
  buffer.Write(Bytes("cd"));
  EXPECT_EQ(buffer.Peek(0, 100).size(), 6u);
  EXPECT_EQ(buffer.Peek(1, 100).size(), 5u);
  EXPECT_EQ(buffer.Peek(2, 100).size(), 4u);
  EXPECT_EQ(ReadAll(buffer), "67abcd");
}

TEST(SendBufferTest, TheLargestSegmentIsAlwaysInOnePiece) {
  SendBuffer buffer = *SendBuffer::Create(256 << 10);
  const std::string chunk(10'000, 'x');
  while (buffer.Write(Bytes(chunk)) == chunk.size()) {
  }
  for (int i = 0; i < 100; ++i) {
    buffer.Consume(9'973);
    buffer.Write(Bytes(chunk));
    ASSERT_EQ(buffer.Peek(0, kSendBufferOverlapBytes).size(), kSendBufferOverlapBytes);
    ASSERT_EQ(buffer.Peek(100'000, kSendBufferOverlapBytes).size(), kSendBufferOverlapBytes);
  }
}

TEST(SendBufferTest, GrowingKeepsTheBytesOfAWrappedRing) {
  SendBuffer buffer = *SendBuffer::Create(1 << 20);
  const std::string first(kSendBufferBytesFirst, 'a');
  ASSERT_EQ(buffer.Write(Bytes(first)), first.size());
  buffer.Consume(3000);
  ASSERT_EQ(buffer.Write(Bytes(std::string(2000, 'b'))), 2000u);
  ASSERT_EQ(buffer.Write(Bytes(std::string(5000, 'c'))), 5000u);
  EXPECT_EQ(ReadAll(buffer), std::string(kSendBufferBytesFirst - 3000, 'a') +
                                 std::string(2000, 'b') + std::string(5000, 'c'));
}

TEST(SendBufferTest, AnEmptiedRingStartsOverInOnePiece) {
  SendBuffer buffer = *SendBuffer::Create(8);
  buffer.Write(Bytes("012345"));
  buffer.Consume(6);
  EXPECT_TRUE(buffer.empty());
  buffer.Write(Bytes("abcdefgh"));
  EXPECT_EQ(buffer.Peek(0, 100).size(), 8u);
}

TEST(SendBufferTest, MovingTakesTheBytesAndLeavesNothing) {
  SendBuffer from = *SendBuffer::Create(100);
  from.Write(Bytes("hello"));
  SendBuffer to = std::move(from);
  EXPECT_EQ(ReadAll(to), "hello");
  SendBuffer third;
  third = std::move(to);
  EXPECT_EQ(ReadAll(third), "hello");
  EXPECT_EQ(third.capacity(), 100u);
}

TEST(SendBufferTest, AcknowledgingMoreThanIsStoredStopsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "fast");
  SendBuffer buffer = *SendBuffer::Create(100);
  buffer.Write(Bytes("hello"));
  EXPECT_DEATH(buffer.Consume(6), "more was acknowledged than is stored");
}

class SendBufferModelTest : public testing::TestWithParam<size_t> {};

TEST_P(SendBufferModelTest, AgreesWithADequeUnderRandomOperations) {
  std::mt19937_64 random(GetParam());
  SendBuffer buffer = *SendBuffer::Create(GetParam());
  std::deque<uint8_t> model;
  uint8_t next = 0;
  for (int i = 0; i < 3000; ++i) {
    if (random() % 2 == 0) {
      std::vector<uint8_t> bytes(random() % (GetParam() / 2 + 2));
      for (uint8_t& byte : bytes) byte = next++;
      const size_t taken = buffer.Write(bytes);
      ASSERT_EQ(taken, std::min(bytes.size(), GetParam() - model.size()));
      model.insert(model.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
      next = static_cast<uint8_t>(next - (bytes.size() - taken));
    } else {
      const size_t bytes = random() % (model.size() + 1);
      buffer.Consume(bytes);
      model.erase(model.begin(), model.begin() + static_cast<ptrdiff_t>(bytes));
    }
    ASSERT_EQ(buffer.size(), model.size());
    ASSERT_EQ(buffer.free(), GetParam() - model.size());
    const size_t offset = random() % (model.size() + 1);
    const std::string expected(model.begin() + static_cast<ptrdiff_t>(offset), model.end());
    ASSERT_EQ(ReadAll(buffer, offset), expected) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Capacities, SendBufferModelTest, testing::Values(1, 7, 4096, 5000, 30000));

}  // namespace
}  // namespace devmem
