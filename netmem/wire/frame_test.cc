// SPDX-License-Identifier: Apache-2.0
// Tests of the frame parser: what it finds in good frames, and that no lie or truncation passes.
#include "netmem/wire/frame.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

using Bytes = std::vector<uint8_t>;

FrameHeaders ParseWhole(const Bytes& frame) {
  return ParseFrame(frame, static_cast<uint32_t>(frame.size()));
}

// The first `count` bytes in a block of exactly that size, so that asan sees a read past the end.
Bytes Prefix(const Bytes& frame, size_t count) {
  return Bytes(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(count));
}

void FixIpv4Checksum(Bytes& frame) {
  const size_t header_bytes = 4u * (frame[14] & 0xfu);
  StoreBe16(&frame[24], 0);
  StoreBe16(&frame[24], ChecksumField(PartialSum(std::span(frame).subspan(14, header_bytes))));
}

Bytes WithIpv4Length(Bytes frame, uint16_t total_bytes) {
  StoreBe16(&frame[16], total_bytes);
  FixIpv4Checksum(frame);
  return frame;
}

// Puts `extensions`, the last of which names TCP, between the IPv6 header and the rest.
Bytes WithExtensions(uint8_t first_kind, absl::string_view extensions) {
  Bytes frame = DataFrameV6();
  const Bytes bytes = FromHex(extensions);
  frame.insert(frame.begin() + 54, bytes.begin(), bytes.end());
  StoreBe16(&frame[18], static_cast<uint16_t>(frame.size() - 54));
  frame[20] = first_kind;
  return frame;
}

void ExpectMalformed(const FrameHeaders& frame, FrameError error) {
  EXPECT_EQ(frame.kind, FrameKind::kMalformed);
  EXPECT_EQ(FrameErrorName(frame.error), FrameErrorName(error));
}

std::vector<Bytes> GoodFrames() {
  return {SynFrameV4(),  DataFrameV4(),
          DataFrameV6(), PingFrameV4(),
          PingFrameV6(), ArpRequestFrame(),
          UdpFrameV4(),  WithExtensions(0, "06 00 01 04 00 00 00 00")};
}

TEST(FrameTest, ATcpSegmentOverIpv4IsDescribedWhole) {
  const FrameHeaders frame = ParseWhole(DataFrameV4());
  EXPECT_EQ(frame.kind, FrameKind::kTcp);
  EXPECT_EQ(frame.error, FrameError::kNone);
  EXPECT_FALSE(frame.is_v6);
  EXPECT_FALSE(frame.is_fragment);
  EXPECT_EQ(frame.ecn, 2);
  EXPECT_EQ(frame.ttl, 64);
  EXPECT_EQ(frame.ip_protocol, 6);
  EXPECT_EQ(frame.l3_offset, 14);
  EXPECT_EQ(frame.l4_offset, 34);
  EXPECT_EQ(frame.header_bytes, 66);
  EXPECT_EQ(frame.payload_bytes, 5u);
  EXPECT_EQ(frame.frame_bytes_expected, 71u);
  EXPECT_EQ(frame.flow.local.ToString(), "10.0.0.1");
  EXPECT_EQ(frame.flow.remote.ToString(), "10.0.0.2");
  EXPECT_EQ(frame.flow.local_port, 5201);
  EXPECT_EQ(frame.flow.remote_port, 40000);
}

TEST(FrameTest, ATcpSegmentOverIpv6IsDescribedWhole) {
  const FrameHeaders frame = ParseWhole(DataFrameV6());
  EXPECT_EQ(frame.kind, FrameKind::kTcp);
  EXPECT_TRUE(frame.is_v6);
  EXPECT_EQ(frame.ecn, 3);
  EXPECT_EQ(frame.l4_offset, 54);
  EXPECT_EQ(frame.header_bytes, 86);
  EXPECT_EQ(frame.payload_bytes, 5u);
  EXPECT_EQ(frame.frame_bytes_expected, 91u);
  EXPECT_EQ(frame.flow.local.ToString(), "fd00::1");
  EXPECT_EQ(frame.flow.remote.ToString(), "fd00::2");
  EXPECT_EQ(frame.flow.local_port, 5201);
}

TEST(FrameTest, ASynWithoutPayloadEndsWithItsHeaders) {
  const FrameHeaders frame = ParseWhole(SynFrameV4());
  EXPECT_EQ(frame.kind, FrameKind::kTcp);
  EXPECT_EQ(frame.header_bytes, 74);
  EXPECT_EQ(frame.payload_bytes, 0u);
}

TEST(FrameTest, PingAndArpAreRecognised) {
  EXPECT_EQ(ParseWhole(PingFrameV4()).kind, FrameKind::kIcmp);
  EXPECT_EQ(ParseWhole(PingFrameV4()).payload_bytes, 9u);
  EXPECT_EQ(ParseWhole(PingFrameV6()).kind, FrameKind::kIcmpV6);
  EXPECT_EQ(ParseWhole(PingFrameV6()).header_bytes, 62);
  EXPECT_EQ(ParseWhole(ArpRequestFrame()).kind, FrameKind::kArp);
  EXPECT_EQ(ParseWhole(ArpRequestFrame()).header_bytes, 42);
}

TEST(FrameTest, OtherProtocolsAndTagsAreOther) {
  EXPECT_EQ(ParseWhole(UdpFrameV4()).kind, FrameKind::kOther);
  EXPECT_EQ(ParseWhole(UdpFrameV4()).ip_protocol, 17);
  EXPECT_EQ(ParseWhole(UdpFrameV4()).flow.remote.ToString(), "10.0.0.2");
  EXPECT_EQ(ParseWhole(UdpFrameV4()).payload_bytes, 12u);
  Bytes tagged = DataFrameV4();
  StoreBe16(&tagged[12], 0x8100);
  EXPECT_EQ(ParseWhole(tagged).kind, FrameKind::kOther);
  EXPECT_EQ(ParseWhole(tagged).header_bytes, 14);
}

TEST(FrameTest, IcmpOfTheOtherFamilyIsOther) {
  Bytes frame = PingFrameV4();
  frame[23] = 58;
  FixIpv4Checksum(frame);
  EXPECT_EQ(ParseWhole(frame).kind, FrameKind::kOther);
  frame = PingFrameV6();
  frame[20] = 1;
  EXPECT_EQ(ParseWhole(frame).kind, FrameKind::kOther);
}

TEST(FrameTest, TheHeadersAloneGiveTheSameAnswerAsTheWholeFrame) {
  for (const Bytes& bytes : GoodFrames()) {
    const FrameHeaders whole = ParseWhole(bytes);
    for (size_t count = whole.header_bytes; count <= bytes.size(); ++count) {
      const FrameHeaders part =
          ParseFrame(Prefix(bytes, count), static_cast<uint32_t>(bytes.size()));
      EXPECT_EQ(part.kind, whole.kind);
      EXPECT_EQ(part.header_bytes, whole.header_bytes);
      EXPECT_EQ(part.payload_bytes, whole.payload_bytes);
      EXPECT_EQ(part.flow, whole.flow);
    }
  }
}

TEST(FrameTest, HeadersThatAreCutShortAreTruncated) {
  for (const Bytes& bytes : GoodFrames()) {
    const size_t header_bytes = ParseWhole(bytes).header_bytes;
    for (size_t count = 0; count < header_bytes; ++count) {
      ExpectMalformed(ParseFrame(Prefix(bytes, count), static_cast<uint32_t>(bytes.size())),
                      FrameError::kTruncated);
    }
  }
}

TEST(FrameTest, EveryTruncationOfAFrameIsTruncated) {
  for (const Bytes& bytes : GoodFrames()) {
    for (size_t count = 0; count < bytes.size(); ++count) {
      ExpectMalformed(ParseWhole(Prefix(bytes, count)), FrameError::kTruncated);
      // The same when the frame claims fewer bytes than the buffer has.
      ExpectMalformed(ParseFrame(bytes, static_cast<uint32_t>(count)), FrameError::kTruncated);
    }
  }
}

TEST(FrameTest, EthernetPaddingIsNoPayload) {
  Bytes frame = DataFrameV4();
  frame.resize(90, 0xee);
  EXPECT_EQ(ParseWhole(frame).payload_bytes, 5u);
  EXPECT_EQ(ParseWhole(frame).frame_bytes_expected, 71u);
  frame = ArpRequestFrame();
  frame.resize(60);
  EXPECT_EQ(ParseWhole(frame).kind, FrameKind::kArp);
  EXPECT_EQ(ParseWhole(frame).frame_bytes_expected, 42u);
}

TEST(FrameTest, ASuperFrameOf64KiBIsWithinTheTypes) {
  const Bytes frame = WithIpv4Length(DataFrameV4(), 0xffff);
  const FrameHeaders headers = ParseFrame(Prefix(frame, 66), 14 + 0xffff);
  EXPECT_EQ(headers.kind, FrameKind::kTcp);
  EXPECT_EQ(headers.payload_bytes, 0xffffu - 52);
}

TEST(FrameTest, EveryIpv4LengthIsRightOrRefused) {
  for (uint32_t total = 0; total <= 0xffff; ++total) {
    const Bytes bytes = WithIpv4Length(DataFrameV4(), static_cast<uint16_t>(total));
    const FrameHeaders frame = ParseWhole(bytes);
    if (total > 57) {
      ASSERT_EQ(frame.error, FrameError::kTruncated) << total;
    } else if (total >= 52) {
      ASSERT_EQ(frame.kind, FrameKind::kTcp) << total;
      ASSERT_EQ(frame.payload_bytes, total - 52);
    } else if (total >= 40) {
      ASSERT_EQ(frame.error, FrameError::kBadTcpOffset) << total;
    } else {
      ASSERT_EQ(frame.error, FrameError::kBadIpLength) << total;
    }
  }
}

TEST(FrameTest, EveryIpv6LengthIsRightOrRefused) {
  for (uint32_t payload = 0; payload <= 0xffff; ++payload) {
    Bytes bytes = DataFrameV6();
    StoreBe16(&bytes[18], static_cast<uint16_t>(payload));
    const FrameHeaders frame = ParseWhole(bytes);
    if (payload > 37) {
      ASSERT_EQ(frame.error, FrameError::kTruncated) << payload;
    } else if (payload >= 32) {
      ASSERT_EQ(frame.kind, FrameKind::kTcp) << payload;
      ASSERT_EQ(frame.payload_bytes, payload - 32);
    } else {
      ASSERT_EQ(frame.error, payload >= 20 ? FrameError::kBadTcpOffset : FrameError::kBadIpLength)
          << payload;
    }
  }
}

TEST(FrameTest, EveryTcpDataOffsetIsRightOrRefused) {
  Bytes bytes = WithIpv4Length(DataFrameV4(), 64);
  bytes.resize(14 + 64);
  for (unsigned words = 0; words < 16; ++words) {
    bytes[46] = static_cast<uint8_t>(words << 4);
    const FrameHeaders frame = ParseWhole(bytes);
    if (words < 5 || words > 11) {
      ExpectMalformed(frame, FrameError::kBadTcpOffset);
    } else {
      EXPECT_EQ(frame.kind, FrameKind::kTcp) << words;
      EXPECT_EQ(frame.payload_bytes, 44 - 4 * words);
    }
  }
}

TEST(FrameTest, ALegalDataOffsetBeyondTheBytesAtHandIsTruncated) {
  const Bytes bytes = DataFrameV4();
  ExpectMalformed(ParseFrame(Prefix(bytes, 54), 71), FrameError::kTruncated);
}

TEST(FrameTest, AWrongVersionIsNamed) {
  Bytes frame = DataFrameV4();
  frame[14] = 0x65;
  ExpectMalformed(ParseWhole(frame), FrameError::kBadIpVersion);
  frame = DataFrameV6();
  frame[14] = 0x40;
  ExpectMalformed(ParseWhole(frame), FrameError::kBadIpVersion);
}

TEST(FrameTest, AnIpv4HeaderShorterThanFiveWordsIsNamed) {
  Bytes frame = DataFrameV4();
  frame[14] = 0x44;
  ExpectMalformed(ParseWhole(frame), FrameError::kBadIpLength);
}

TEST(FrameTest, EveryFlippedBitOfAnIpv4HeaderIsNoticed) {
  for (size_t bit = 14 * 8; bit < 34 * 8; ++bit) {
    Bytes frame = DataFrameV4();
    frame[bit / 8] = static_cast<uint8_t>(frame[bit / 8] ^ 1 << bit % 8);
    EXPECT_EQ(ParseWhole(frame).kind, FrameKind::kMalformed) << bit;
  }
}

TEST(FrameTest, Ipv4OptionsMoveLayerFour) {
  Bytes frame = DataFrameV4();
  frame.insert(frame.begin() + 34, 40, 1);
  frame[14] = 0x4f;
  frame = WithIpv4Length(frame, 97);
  EXPECT_EQ(ParseWhole(frame).kind, FrameKind::kTcp);
  EXPECT_EQ(ParseWhole(frame).l4_offset, 74);
  EXPECT_EQ(ParseWhole(frame).payload_bytes, 5u);
  for (size_t count = 14; count < 106; ++count) {
    ExpectMalformed(ParseFrame(Prefix(frame, count), 111), FrameError::kTruncated);
  }
}

TEST(FrameTest, Ipv4FragmentsAreFlaggedAndHaveNoPorts) {
  for (const uint16_t field : {uint16_t{0x2000}, uint16_t{0x2001}, uint16_t{0x0001}}) {
    Bytes bytes = DataFrameV4();
    StoreBe16(&bytes[20], field);
    FixIpv4Checksum(bytes);
    const FrameHeaders frame = ParseWhole(bytes);
    EXPECT_EQ(frame.kind, FrameKind::kOther);
    EXPECT_TRUE(frame.is_fragment);
    EXPECT_EQ(frame.flow.local_port, 0);
    EXPECT_EQ(frame.flow.remote.ToString(), "10.0.0.2");
    EXPECT_EQ(frame.payload_bytes, 37u);
  }
}

TEST(FrameTest, Ipv6ExtensionsMoveLayerFour) {
  const FrameHeaders frame = ParseWhole(
      WithExtensions(0, "3c 00 01 04 00 00 00 00 06 01 1e 02 aa bb 00 00 00 00 01 04 00 00 00 00"));
  EXPECT_EQ(frame.kind, FrameKind::kTcp);
  EXPECT_EQ(frame.ip_protocol, 6);
  EXPECT_EQ(frame.l4_offset, 78);
  EXPECT_EQ(frame.payload_bytes, 5u);
  EXPECT_EQ(frame.flow.remote_port, 40000);
}

TEST(FrameTest, AnIpv6FragmentIsFlagged) {
  const FrameHeaders frame = ParseWhole(WithExtensions(44, "06 00 00 01 00 00 00 01"));
  EXPECT_EQ(frame.kind, FrameKind::kOther);
  EXPECT_TRUE(frame.is_fragment);
  EXPECT_EQ(frame.payload_bytes, 37u);
}

TEST(FrameTest, AnAtomicIpv6FragmentIsAWholePacket) {
  const FrameHeaders frame = ParseWhole(WithExtensions(44, "06 00 00 00 00 00 00 01"));
  EXPECT_EQ(frame.kind, FrameKind::kTcp);
  EXPECT_FALSE(frame.is_fragment);
}

TEST(FrameTest, AnExtensionThatObligesUsToDiscardIsNamed) {
  ExpectMalformed(ParseWhole(WithExtensions(43, "06 00 00 01 00 00 00 00")),
                  FrameError::kUnsupportedExtension);
}

TEST(FrameTest, AnExtensionBeyondTheIpLengthIsABadLength) {
  ExpectMalformed(ParseWhole(WithExtensions(0, "06 ff 01 04 00 00 00 00")),
                  FrameError::kBadIpLength);
}

TEST(FrameTest, AV4MappedAddressInAnIpv6HeaderIsRefused) {
  const Bytes mapped = FromHex("00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 00 02");
  for (const ptrdiff_t offset : {22, 38}) {
    Bytes frame = DataFrameV6();
    std::copy(mapped.begin(), mapped.end(), frame.begin() + offset);
    ExpectMalformed(ParseWhole(frame), FrameError::kBadIpAddress);
  }
}

TEST(FrameTest, ArpForOtherNetworksIsRefused) {
  Bytes frame = ArpRequestFrame();
  frame[15] = 6;  // IEEE 802 networks.
  ExpectMalformed(ParseWhole(frame), FrameError::kBadArp);
}

TEST(FrameTest, RightTcpChecksumsVerify) {
  for (const Bytes& bytes :
       {DataFrameV4(), DataFrameV6(), SynFrameV4(), WithExtensions(0, "06 00 01 04 00 00 00 00")}) {
    const FrameHeaders frame = ParseWhole(bytes);
    const uint32_t payload_sum = PartialSum(std::span(bytes).subspan(frame.header_bytes));
    EXPECT_TRUE(VerifyTcpChecksum(bytes, frame, payload_sum));
    EXPECT_TRUE(VerifyTcpChecksum(Prefix(bytes, frame.header_bytes), frame, payload_sum));
    EXPECT_FALSE(VerifyTcpChecksum(bytes, frame, payload_sum + 1));
    EXPECT_FALSE(
        VerifyTcpChecksum(Prefix(bytes, frame.header_bytes - size_t{1}), frame, payload_sum));
  }
}

TEST(FrameTest, APayloadSumThatIsNotFoldedVerifies) {
  const Bytes bytes = DataFrameV4();
  const FrameHeaders frame = ParseWhole(bytes);
  const uint32_t payload_sum = PartialSum(std::span(bytes).subspan(frame.header_bytes));
  EXPECT_TRUE(VerifyTcpChecksum(bytes, frame, payload_sum + 0x7fffu * 0xffffu));
}

TEST(FrameTest, EveryFlippedBitOfTheSegmentBreaksItsChecksum) {
  const Bytes good = DataFrameV4();
  for (size_t bit = 34 * 8; bit < good.size() * 8; ++bit) {
    Bytes bytes = good;
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ 1 << bit % 8);
    const FrameHeaders frame = ParseWhole(bytes);
    const bool verified =
        frame.kind == FrameKind::kTcp &&
        VerifyTcpChecksum(bytes, frame, PartialSum(std::span(bytes).subspan(frame.header_bytes)));
    EXPECT_FALSE(verified) << bit;
  }
}

TEST(FrameTest, OnlyTcpHasATcpChecksum) {
  const Bytes bytes = PingFrameV4();
  EXPECT_FALSE(VerifyTcpChecksum(bytes, ParseWhole(bytes), 0));
}

TEST(FrameTest, EveryErrorHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int error = 0; error <= static_cast<int>(FrameError::kUnsupportedExtension); ++error) {
    names.insert(std::string(FrameErrorName(static_cast<FrameError>(error))));
  }
  EXPECT_EQ(names.size(), 9u);
  EXPECT_EQ(names.count("unknown"), 0u);
}

TEST(FrameTest, NeighbourDiscoveryIsAllHeaderAndOtherIcmpIsNot) {
  const std::vector<uint8_t> whole = SolicitationFrame();
  const uint32_t frame_bytes = static_cast<uint32_t>(whole.size());
  const FrameHeaders frame = ParseFrame(whole, frame_bytes);
  EXPECT_EQ(frame.kind, FrameKind::kIcmpV6);
  EXPECT_EQ(frame.header_bytes, whole.size());
  EXPECT_EQ(frame.payload_bytes, 0u);
  for (size_t count = 14 + 40; count < whole.size(); ++count) {
    EXPECT_EQ(ParseFrame(std::span(whole).first(count), frame_bytes).error, FrameError::kTruncated)
        << count;
  }
  const std::vector<uint8_t> ping = PingFrameV6();
  EXPECT_EQ(ParseFrame(ping, static_cast<uint32_t>(ping.size())).header_bytes, 14 + 40 + 8);
  // One that no slot for headers could hold is none.
  std::vector<uint8_t> endless = whole;
  endless.resize(14 + 40 + kNeighbourHeaderBytesMax + 8);
  StoreBe16(&endless[18], kNeighbourHeaderBytesMax + 8);
  EXPECT_EQ(ParseFrame(endless, static_cast<uint32_t>(endless.size())).header_bytes, 14 + 40 + 8);
}

}  // namespace
}  // namespace devmem
