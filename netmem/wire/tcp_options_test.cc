// SPDX-License-Identifier: Apache-2.0
// Tests of reading and writing TCP options, with lists that are right and lists that lie.
#include "netmem/wire/tcp_options.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <vector>

#include "netmem/wire/tcp_header.h"
#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

std::vector<uint8_t> Emitted(const TcpOptions& options, size_t room_bytes = kTcpOptionsBytesMax) {
  std::vector<uint8_t> out(room_bytes, 0xee);
  out.resize(EmitTcpOptions(options, out));
  return out;
}

TcpOptions SynOptions() {
  TcpOptions options;
  options.mss = 1460;
  options.window_scale = 7;
  options.sack_permitted = true;
  options.timestamps = TcpTimestamps{0x01020304, 0};
  return options;
}

TcpOptions WithSackBlocks(size_t count) {
  TcpOptions options;
  options.sack_block_count = static_cast<uint8_t>(count);
  for (size_t i = 0; i < count; ++i) {
    const SeqNum left = SeqNum(0xfffffff0) + static_cast<uint32_t>(0x100 * i);
    options.sack_blocks[i] = {left, left + 0x80};
  }
  return options;
}

TEST(TcpOptionsTest, NoOptionsAreAllAbsent) {
  EXPECT_EQ(ParseTcpOptions({}), TcpOptions());
  EXPECT_TRUE(Emitted(TcpOptions()).empty());
}

TEST(TcpOptionsTest, TheSynOfLinuxIsRead) {
  const std::vector<uint8_t> frame = SynFrameV4();
  EXPECT_EQ(ParseTcpOptions(std::span(frame).subspan(54)), SynOptions());
}

TEST(TcpOptionsTest, TheSynIsWrittenAsLinuxWritesIt) {
  const std::vector<uint8_t> frame = SynFrameV4();
  EXPECT_EQ(Emitted(SynOptions()), std::vector<uint8_t>(frame.begin() + 54, frame.end()));
}

TEST(TcpOptionsTest, ABareTimestampTakesTheFastPathToTheSameValue) {
  const std::vector<uint8_t> bytes = FromHex("01 01 08 0a 01 02 03 04 05 06 07 08");
  TcpOptions expected;
  expected.timestamps = TcpTimestamps{0x01020304, 0x05060708};
  EXPECT_EQ(ParseTcpOptions(bytes), expected);
  EXPECT_EQ(ParseTcpOptionsSlow(bytes), expected);
  EXPECT_EQ(Emitted(expected), bytes);
}

TEST(TcpOptionsTest, ATimestampInAnotherPlaceIsReadToo) {
  TcpOptions expected;
  expected.timestamps = TcpTimestamps{0x01020304, 0x05060708};
  EXPECT_EQ(ParseTcpOptions(FromHex("08 0a 01 02 03 04 05 06 07 08 00 00")), expected);
  EXPECT_EQ(ParseTcpOptions(FromHex("01 08 0a 01 02 03 04 05 06 07 08 01")), expected);
}

TEST(TcpOptionsTest, NothingBehindTheEndMarkIsRead) {
  EXPECT_EQ(ParseTcpOptions(FromHex("00 02 04 05 b4")), TcpOptions());
  EXPECT_EQ(ParseTcpOptions(FromHex("01 01 00 05 01")), TcpOptions());
}

TEST(TcpOptionsTest, UnknownOptionsAreSteppedOver) {
  TcpOptions expected;
  expected.mss = 1460;
  // Kind 30 is Multipath TCP, kind 254 is for experiments, kind 28 has no values here.
  EXPECT_EQ(ParseTcpOptions(FromHex("1e 04 aa bb fe 03 cc 1c 02 02 04 05 b4")), expected);
}

TEST(TcpOptionsTest, AWindowScaleAboveFourteenCountsAsFourteen) {
  for (unsigned shift = 0; shift < 256; ++shift) {
    const std::vector<uint8_t> bytes = {3, 3, static_cast<uint8_t>(shift)};
    EXPECT_EQ(ParseTcpOptions(bytes).window_scale, std::min(shift, 14u)) << shift;
  }
}

TEST(TcpOptionsTest, OfAKindThatComesTwiceTheLastCounts) {
  EXPECT_EQ(ParseTcpOptions(FromHex("02 04 05 b4 02 04 02 18")).mss, 536);
  const TcpOptions options =
      ParseTcpOptions(FromHex("05 12 00000001 00000002 00000003 00000004 05 0a 00000005 00000006"));
  TcpOptions expected;
  expected.sack_block_count = 1;
  expected.sack_blocks[0] = {SeqNum(5), SeqNum(6)};
  EXPECT_EQ(options, expected);
}

TEST(TcpOptionsTest, OneToFourSackBlocksSurviveTheRoundTrip) {
  for (size_t count = 1; count <= kTcpSackBlocksMax; ++count) {
    const TcpOptions options = WithSackBlocks(count);
    const std::vector<uint8_t> bytes = Emitted(options);
    EXPECT_EQ(bytes.size(), 4 + 8 * count);
    EXPECT_EQ(bytes[0], 1);
    EXPECT_EQ(bytes[1], 1);
    EXPECT_EQ(ParseTcpOptions(bytes), options);
    EXPECT_EQ(ParseTcpOptions(bytes).sacks().size(), count);
  }
}

TEST(TcpOptionsTest, BesideATimestampThreeSackBlocksFit) {
  TcpOptions options = WithSackBlocks(4);
  options.timestamps = TcpTimestamps{1, 2};
  TcpOptions expected = WithSackBlocks(3);
  expected.timestamps = options.timestamps;
  EXPECT_EQ(Emitted(options).size(), 40u);
  EXPECT_EQ(ParseTcpOptions(Emitted(options)), expected);
}

TEST(TcpOptionsTest, SackListsOfNoLegalLengthAreMalformed) {
  for (unsigned bytes = 2; bytes <= 40; ++bytes) {
    std::vector<uint8_t> list(40, 0);
    list[0] = 5;
    list[1] = static_cast<uint8_t>(bytes);
    const bool legal = bytes == 10 || bytes == 18 || bytes == 26 || bytes == 34;
    EXPECT_EQ(ParseTcpOptions(list).malformed, !legal) << bytes;
  }
  std::vector<uint8_t> five_blocks(42, 0);
  five_blocks[0] = 5;
  five_blocks[1] = 42;
  EXPECT_TRUE(ParseTcpOptions(five_blocks).malformed);
}

TEST(TcpOptionsTest, EveryWrongLengthOfAKnownKindIsMalformed) {
  const std::vector<std::array<uint8_t, 2>> kinds = {{2, 4}, {3, 3}, {4, 2}, {8, 10}};
  for (const auto& [kind, right_bytes] : kinds) {
    for (unsigned bytes = 0; bytes < 256; ++bytes) {
      std::vector<uint8_t> list(40, 0);
      list[0] = kind;
      list[1] = static_cast<uint8_t>(bytes);
      EXPECT_EQ(ParseTcpOptions(list).malformed, bytes != right_bytes) << int{kind} << " " << bytes;
    }
  }
}

TEST(TcpOptionsTest, AnUnknownKindMayNotHaveLengthZeroOrOneOrOverrun) {
  for (unsigned bytes = 0; bytes < 256; ++bytes) {
    std::vector<uint8_t> list(40, 0);
    list[0] = 200;
    list[1] = static_cast<uint8_t>(bytes);
    EXPECT_EQ(ParseTcpOptions(list).malformed, bytes < 2 || bytes > 40) << bytes;
  }
  EXPECT_TRUE(ParseTcpOptions(FromHex("c8")).malformed);
}

TEST(TcpOptionsTest, WhatComesBeforeAMalformedOptionIsKept) {
  TcpOptions expected;
  expected.mss = 1460;
  expected.malformed = true;
  EXPECT_EQ(ParseTcpOptions(FromHex("02 04 05 b4 08 00 03 03 07")), expected);
}

TEST(TcpOptionsTest, EveryTruncationOfASynsOptionsIsReadWithoutOverrun) {
  const std::vector<uint8_t> frame = SynFrameV4();
  const std::vector<uint8_t> bytes(frame.begin() + 54, frame.end());
  for (size_t count = 0; count < bytes.size(); ++count) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    const bool between_options =
        count == 0 || count == 4 || count == 6 || count == 16 || count == 17;
    EXPECT_EQ(ParseTcpOptions(cut).malformed, !between_options) << count;
  }
}

TEST(TcpOptionsTest, EveryCombinationSurvivesTheRoundTrip) {
  for (unsigned mask = 0; mask < 32; ++mask) {
    TcpOptions options = mask & 16 ? WithSackBlocks(2) : TcpOptions();
    if (mask & 1) options.mss = 9000;
    if (mask & 2) options.window_scale = 14;
    options.sack_permitted = (mask & 4) != 0;
    if (mask & 8) options.timestamps = TcpTimestamps{0xffffffff, 7};
    const std::vector<uint8_t> bytes = Emitted(options);
    EXPECT_EQ(bytes.size() % 4, 0u) << mask;
    EXPECT_EQ(ParseTcpOptions(bytes), options) << mask;
  }
}

TEST(TcpOptionsTest, WhatDoesNotFitIsLeftOutWhole) {
  TcpOptions options = SynOptions();
  options.sack_block_count = 4;
  for (size_t room_bytes = 0; room_bytes < kTcpOptionsBytesMax; ++room_bytes) {
    const std::vector<uint8_t> bytes = Emitted(options, room_bytes);
    const TcpOptions parsed = ParseTcpOptions(bytes);
    EXPECT_EQ(bytes.size() % 4, 0u);
    EXPECT_FALSE(parsed.malformed) << room_bytes;
    EXPECT_EQ(parsed.mss.has_value(), room_bytes >= 4) << room_bytes;
    EXPECT_EQ(parsed.timestamps.has_value(), room_bytes >= 16) << room_bytes;
  }
}

TEST(TcpOptionsTest, RandomBytesNeverOverrunAndTheFastPathAgrees) {
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes(random() % 41);
    // Small numbers, so that kinds and lengths often mean something.
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 12);
    EXPECT_EQ(ParseTcpOptions(bytes), ParseTcpOptionsSlow(bytes));
  }
}

}  // namespace
}  // namespace devmem
