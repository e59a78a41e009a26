// SPDX-License-Identifier: Apache-2.0
// Tests of the TCP header view, its lies and its emitter.
#include "netmem/wire/tcp_header.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

std::vector<uint8_t> Segment() {
  const std::vector<uint8_t> frame = DataFrameV4();
  return {frame.begin() + 34, frame.end()};
}

TEST(TcpHeaderTest, FieldsComeFromTheirPlaces) {
  const std::vector<uint8_t> bytes = Segment();
  const std::optional<TcpHeader> header = TcpHeader::Parse(bytes);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->source_port(), 40000);
  EXPECT_EQ(header->destination_port(), 5201);
  EXPECT_EQ(header->seq(), SeqNum(0xfffffff1));
  EXPECT_EQ(header->ack(), SeqNum(0x10203040));
  EXPECT_EQ(header->header_bytes(), 32u);
  EXPECT_EQ(header->bytes().size(), 32u);
  EXPECT_EQ(header->options().size(), 12u);
  EXPECT_EQ(header->flags(), kTcpAck | kTcpPsh);
  EXPECT_TRUE(header->has(kTcpAck));
  EXPECT_FALSE(header->has(kTcpSyn));
  EXPECT_EQ(header->window(), 502);
  EXPECT_EQ(header->checksum(), 0x1bee);
  EXPECT_EQ(header->urgent_pointer(), 0);
}

TEST(TcpHeaderTest, EveryTruncationOfTheHeaderIsRefused) {
  for (size_t count = 0; count < 32; ++count) {
    const std::vector<uint8_t> bytes = Segment();
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    EXPECT_FALSE(TcpHeader::Parse(cut).has_value()) << count;
  }
}

TEST(TcpHeaderTest, ADataOffsetBelowFiveWordsOrBeyondTheBytesIsRefused) {
  std::vector<uint8_t> bytes = Segment();
  bytes.resize(40);
  for (unsigned words = 0; words < 16; ++words) {
    bytes[12] = static_cast<uint8_t>(words << 4);
    EXPECT_EQ(TcpHeader::Parse(bytes).has_value(), words >= 5 && words <= 10) << words;
  }
}

TEST(TcpHeaderTest, ReservedBitsAreIgnored) {
  std::vector<uint8_t> bytes = Segment();
  bytes[12] |= 0x0f;
  ASSERT_TRUE(TcpHeader::Parse(bytes).has_value());
  EXPECT_EQ(TcpHeader::Parse(bytes)->header_bytes(), 32u);
}

TEST(TcpHeaderTest, EmittedFieldsAreTheLiteralBytes) {
  const std::vector<uint8_t> segment = Segment();
  std::vector<uint8_t> out(32, 0xee);
  EXPECT_EQ(EmitTcp({.source_port = 40000,
                     .destination_port = 5201,
                     .seq = SeqNum(0xfffffff1),
                     .ack = SeqNum(0x10203040),
                     .flags = kTcpAck | kTcpPsh,
                     .window = 502,
                     .checksum = 0x1bee,
                     .options = std::span(segment).subspan(20, 12)},
                    out),
            32u);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), segment.begin()));
}

TEST(TcpHeaderTest, OptionsMayAlreadyLieInPlace) {
  std::vector<uint8_t> out = Segment();
  EXPECT_EQ(EmitTcp({.options = std::span(out).subspan(20, 12)}, out), 32u);
  EXPECT_EQ(out[20], 1);
  EXPECT_EQ(out[31], 8);
}

TEST(TcpHeaderTest, OptionsOfNoLegalSizeAreRefused) {
  const std::array<uint8_t, 44> options{};
  std::array<uint8_t, 64> out{};
  for (size_t count = 0; count <= options.size(); ++count) {
    const size_t written = EmitTcp({.options = std::span(options).first(count)}, out);
    EXPECT_EQ(written, count % 4 == 0 && count <= 40 ? 20 + count : 0) << count;
  }
}

TEST(TcpHeaderTest, ABufferThatIsTooShortIsLeftAlone) {
  const std::array<uint8_t, 4> options = {1, 1, 1, 1};
  std::array<uint8_t, 23> out{};
  EXPECT_EQ(EmitTcp({.source_port = 1, .options = options}, out), 0u);
  EXPECT_EQ(out, decltype(out){});
}

}  // namespace
}  // namespace devmem
