// SPDX-License-Identifier: Apache-2.0
// Tests of the Internet checksum against the example of RFC 1071 and against a naive model.
#include "netmem/wire/checksum.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <random>
#include <vector>

#include "netmem/wire/ip_address.h"

namespace devmem {
namespace {

using Bytes = std::span<const uint8_t>;

// RFC 1071 section 1, word by word.
uint16_t NaiveSum(Bytes bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

std::vector<uint8_t> RandomBytes(size_t count, std::mt19937& random) {
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

TEST(ChecksumTest, TheExampleOfRfc1071GivesItsResult) {
  const std::array<uint8_t, 8> bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(PartialSum(bytes), 0xddf2u);
  EXPECT_EQ(ChecksumField(PartialSum(bytes)), 0x220d);
}

TEST(ChecksumTest, NoBytesLeaveTheInitialSum) {
  EXPECT_EQ(PartialSum({}), 0u);
  EXPECT_EQ(PartialSum({}, 0x1234), 0x1234u);
  EXPECT_EQ(PartialSum({}, 0x0001ffff), 1u);
}

TEST(ChecksumTest, AnOddLastByteCountsAsTheHighHalfOfAWord) {
  const std::array<uint8_t, 3> bytes = {0x01, 0x02, 0x03};
  EXPECT_EQ(PartialSum(bytes), 0x0402u);
}

TEST(ChecksumTest, EveryLengthAtEveryAlignmentMatchesTheNaiveSum) {
  std::mt19937 random(1);
  const std::vector<uint8_t> bytes = RandomBytes(400, random);
  for (size_t start = 0; start < 16; ++start) {
    for (size_t count = 0; count + start <= bytes.size(); ++count) {
      const Bytes part = Bytes(bytes).subspan(start, count);
      ASSERT_EQ(PartialSum(part), NaiveSum(part)) << start << ", " << count;
    }
  }
}

TEST(ChecksumTest, AllOnesLoseNoCarry) {
  for (const size_t count : {2u, 64u, 65u, 127u, 65535u, 1u << 20}) {
    const std::vector<uint8_t> bytes(count, 0xff);
    EXPECT_EQ(PartialSum(bytes), NaiveSum(bytes)) << count;
  }
}

TEST(ChecksumTest, ZeroBytesSumToZeroAndOnlyThey) {
  std::vector<uint8_t> bytes(1448, 0);
  EXPECT_EQ(PartialSum(bytes), 0u);
  bytes[777] = 1;
  EXPECT_EQ(PartialSum(bytes), 1u);
}

TEST(ChecksumTest, TheInitialSumMayBeAnyValue) {
  std::mt19937 random(2);
  for (int round = 0; round < 1000; ++round) {
    const std::vector<uint8_t> bytes = RandomBytes(random() % 100, random);
    const uint32_t initial = static_cast<uint32_t>(random());
    const uint32_t expected = (uint32_t{NaiveSum(bytes)} + initial % 0xffff) % 0xffff;
    EXPECT_EQ(PartialSum(bytes, initial) % 0xffff, expected);
  }
  EXPECT_EQ(PartialSum(std::array<uint8_t, 2>{0xff, 0xff}, 0xffffffff), 0xffffu);
}

TEST(ChecksumTest, FoldBringsEveryCarryBack) {
  EXPECT_EQ(Fold(0), 0);
  EXPECT_EQ(Fold(0xffff), 0xffff);
  EXPECT_EQ(Fold(0x10000), 1);
  EXPECT_EQ(Fold(0x1ffff), 1);
  EXPECT_EQ(Fold(0xffffffff), 0xffff);
  EXPECT_EQ(Fold(0xffff0001), 1);
}

TEST(ChecksumTest, SumsOfTwoPartsCombineWhereverTheCutIs) {
  std::mt19937 random(3);
  const std::vector<uint8_t> bytes = RandomBytes(301, random);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const uint32_t head = PartialSum(Bytes(bytes).first(cut));
    const uint32_t tail = PartialSum(Bytes(bytes).subspan(cut));
    ASSERT_EQ(Combine(head, tail, cut % 2 == 1), NaiveSum(bytes)) << cut;
  }
}

TEST(ChecksumTest, CombineTakesSumsThatAreNotFolded) {
  EXPECT_EQ(Combine(0x00010001, 0x00010001, false), 4u);
  EXPECT_EQ(Combine(0, 0x00010001, true), 0x0200u);
  EXPECT_EQ(Combine(0xffffffff, 0xffffffff, true), 0xffffu);
}

TEST(ChecksumTest, ThePseudoHeaderOfIpv4HoldsTwelveBytes) {
  const IpAddress source = IpAddress::FromV4(0x0a000002);
  const IpAddress destination = IpAddress::FromV4(0xc0a8fffe);
  const std::array<uint8_t, 12> bytes = {10, 0, 0, 2, 0xc0, 0xa8, 0xff, 0xfe, 0, 6, 0x12, 0x34};
  EXPECT_EQ(Fold(PseudoHeaderSumV4(source, destination, 6, 0x1234)), NaiveSum(bytes));
  EXPECT_EQ(PseudoHeaderSum(source, destination, 6, 0x1234),
            PseudoHeaderSumV4(source, destination, 6, 0x1234));
}

TEST(ChecksumTest, ThePseudoHeaderOfIpv6HoldsFortyBytesAndA32BitLength) {
  std::mt19937 random(4);
  std::vector<uint8_t> bytes = RandomBytes(32, random);
  const IpAddress source = IpAddress::FromV6(Bytes(bytes).first(16));
  const IpAddress destination = IpAddress::FromV6(Bytes(bytes).subspan(16));
  bytes.insert(bytes.end(), {0x00, 0x01, 0x23, 0x45, 0, 0, 0, 58});
  EXPECT_EQ(Fold(PseudoHeaderSumV6(source, destination, 58, 0x12345)), NaiveSum(bytes));
  EXPECT_EQ(PseudoHeaderSum(source, destination, 58, 0x12345),
            PseudoHeaderSumV6(source, destination, 58, 0x12345));
}

}  // namespace
}  // namespace devmem
