// SPDX-License-Identifier: Apache-2.0
// Tests of ICMP errors about segments of ours: literal frames, and what is not believed.
#include "netmem/wire/icmp_quote.h"

#include <gtest/gtest.h>

#include <vector>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kIpv4 = 14, kIcmpV4 = 34, kQuoteV4 = kIcmpV4 + 8, kTcpV4 = kQuoteV4 + 20;
constexpr size_t kIpv6 = 14, kIcmpV6 = 54, kQuoteV6 = kIcmpV6 + 8, kTcpV6 = kQuoteV6 + 40;

std::optional<IcmpQuote> Parse(const Bytes& frame) {
  return ParseIcmpQuote(frame, ParseFrame(frame, static_cast<uint32_t>(frame.size())));
}

// Makes the lengths and checksums of a frame right again after a change.
Bytes Mended(Bytes frame) {
  const bool is_v4 = LoadBe16(&frame[12]) == 0x0800;
  const size_t icmp = is_v4 ? kIcmpV4 : kIcmpV6;
  const std::span<const uint8_t> message = std::span(frame).subspan(icmp);
  const uint16_t message_bytes = static_cast<uint16_t>(message.size());
  uint32_t pseudo_sum = 0;
  if (is_v4) {
    StoreBe16(&frame[kIpv4 + 2], static_cast<uint16_t>(message_bytes + 20));
    StoreBe16(&frame[kIpv4 + 10], 0);
    const uint32_t header_sum = PartialSum(std::span(frame).subspan(kIpv4, 20));
    StoreBe16(&frame[kIpv4 + 10], ChecksumField(header_sum));
  } else {
    StoreBe16(&frame[kIpv6 + 4], message_bytes);
    pseudo_sum = PseudoHeaderSumV6(IpAddress::FromV6(std::span(frame).subspan(kIpv6 + 8)),
                                   IpAddress::FromV6(std::span(frame).subspan(kIpv6 + 24)),
                                   kIpProtocolIcmpV6, message_bytes);
  }
  StoreBe16(&frame[icmp + 2], 0);
  StoreBe16(&frame[icmp + 2], ChecksumField(PartialSum(message, pseudo_sum)));
  return frame;
}

Bytes With(Bytes frame, size_t offset, const Bytes& bytes) {
  std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<ptrdiff_t>(offset));
  return Mended(std::move(frame));
}

void ExpectOurFlow(const std::optional<IcmpQuote>& quote, absl::string_view ours,
                   absl::string_view peers) {
  ASSERT_TRUE(quote.has_value());
  EXPECT_EQ(quote->flow.local, *ParseIpAddress(ours));
  EXPECT_EQ(quote->flow.remote, *ParseIpAddress(peers));
  EXPECT_EQ(quote->flow.local_port, 5201);
  EXPECT_EQ(quote->flow.remote_port, 40000);
  EXPECT_EQ(quote->seq, SeqNum(0xfffffff0));
}

TEST(IcmpQuoteTest, FragmentationNeededNamesTheFlowAndTheMtu) {
  const std::optional<IcmpQuote> quote = Parse(FragmentationNeededFrame());
  ExpectOurFlow(quote, "10.0.0.1", "10.0.0.2");
  EXPECT_EQ(quote->type, IcmpErrorType::kTooBig);
  EXPECT_EQ(quote->mtu_bytes, 1400u);
  EXPECT_FALSE(quote->is_v6);
}

TEST(IcmpQuoteTest, PacketTooBigNamesTheFlowAndTheMtu) {
  const std::optional<IcmpQuote> quote = Parse(TooBigFrame());
  ExpectOurFlow(quote, "fd00::1", "fd00::2");
  EXPECT_EQ(quote->type, IcmpErrorType::kTooBig);
  EXPECT_EQ(quote->mtu_bytes, 1300u);
  EXPECT_TRUE(quote->is_v6);
}

TEST(IcmpQuoteTest, ARouterThatNamesNoMtuIsTakenToMeanTheNextPlateau) {
  const Bytes silent = With(FragmentationNeededFrame(), kIcmpV4 + 4, {0, 0, 0, 0});
  const auto mtu_for = [&](uint16_t packet_bytes) {
    Bytes frame = silent;
    StoreBe16(&frame[kQuoteV4 + 2], packet_bytes);
    return Parse(Mended(frame))->mtu_bytes;
  };
  EXPECT_EQ(mtu_for(1500), 1492u);
  EXPECT_EQ(mtu_for(1492), 1006u);
  EXPECT_EQ(mtu_for(65535), 32000u);
  EXPECT_EQ(mtu_for(69), 68u);
  EXPECT_EQ(mtu_for(40), 68u);
}

TEST(IcmpQuoteTest, EachTypeOfErrorIsToldApartAndKeepsItsCode) {
  const auto v4 = [](uint8_t type, uint8_t code) {
    return Parse(With(FragmentationNeededFrame(), kIcmpV4, {type, code}));
  };
  const auto v6 = [](uint8_t type, uint8_t code) {
    return Parse(With(TooBigFrame(), kIcmpV6, {type, code}));
  };
  for (uint8_t code = 0; code < 16; ++code) {
    if (code == kIcmpCodeFragmentationNeeded) continue;
    ASSERT_EQ(v4(kIcmpDestinationUnreachable, code)->type, IcmpErrorType::kUnreachable);
    EXPECT_EQ(v4(kIcmpDestinationUnreachable, code)->code, code);
    EXPECT_EQ(v4(kIcmpDestinationUnreachable, code)->mtu_bytes, 0u);
  }
  EXPECT_EQ(v4(kIcmpTimeExceeded, 0)->type, IcmpErrorType::kTimeExceeded);
  EXPECT_EQ(v4(kIcmpParameterProblem, 0)->type, IcmpErrorType::kParameterProblem);
  EXPECT_EQ(v6(kIcmpV6DestinationUnreachable, 4)->type, IcmpErrorType::kUnreachable);
  EXPECT_EQ(v6(kIcmpV6DestinationUnreachable, 4)->code, kIcmpV6CodePortUnreachable);
  EXPECT_EQ(v6(kIcmpV6TimeExceeded, 0)->type, IcmpErrorType::kTimeExceeded);
  EXPECT_EQ(v6(kIcmpV6ParameterProblem, 1)->type, IcmpErrorType::kParameterProblem);
  EXPECT_EQ(v6(kIcmpV6ParameterProblem, 1)->mtu_bytes, 0u);
}

TEST(IcmpQuoteTest, WhatIsNoErrorIsNone) {
  for (int type = 0; type < 256; ++type) {
    const uint8_t byte = static_cast<uint8_t>(type);
    const bool is_v4_error = type == 3 || type == 11 || type == 12;
    EXPECT_EQ(Parse(With(FragmentationNeededFrame(), kIcmpV4, {byte})).has_value(), is_v4_error);
    const bool is_v6_error = type >= 1 && type <= 4;
    EXPECT_EQ(Parse(With(TooBigFrame(), kIcmpV6, {byte})).has_value(), is_v6_error) << type;
  }
  EXPECT_FALSE(Parse(PingFrameV4()).has_value());
  EXPECT_FALSE(Parse(PingFrameV6()).has_value());
  EXPECT_FALSE(Parse(DataFrameV4()).has_value());
}

TEST(IcmpQuoteTest, AFlippedBitIsNotBelieved) {
  for (const auto& [good, icmp] :
       {std::pair{FragmentationNeededFrame(), kIcmpV4}, std::pair{TooBigFrame(), kIcmpV6}}) {
    for (size_t bit = icmp * 8; bit < good.size() * 8; ++bit) {
      Bytes frame = good;
      frame[bit / 8] = static_cast<uint8_t>(frame[bit / 8] ^ 1 << bit % 8);
      EXPECT_FALSE(Parse(frame).has_value()) << bit;
    }
  }
}

TEST(IcmpQuoteTest, AQuoteIsReadAsSoonAsItHoldsTheSequenceNumber) {
  for (const auto& [good, tcp] :
       {std::pair{FragmentationNeededFrame(), kTcpV4}, std::pair{TooBigFrame(), kTcpV6}}) {
    for (size_t bytes = tcp - 20; bytes <= good.size(); ++bytes) {
      Bytes cut = good;
      cut.resize(bytes);
      EXPECT_EQ(Parse(Mended(cut)).has_value(), bytes >= tcp + 8) << bytes;
    }
  }
}

TEST(IcmpQuoteTest, TheQuotedHeadersMayHaveOptions) {
  Bytes v4 = FragmentationNeededFrame();
  v4.insert(v4.begin() + kTcpV4, {1, 1, 1, 1});
  v4[kQuoteV4] = 0x46;
  ExpectOurFlow(Parse(Mended(v4)), "10.0.0.1", "10.0.0.2");
  Bytes v6 = TooBigFrame();
  v6.insert(v6.begin() + kTcpV6, {kIpProtocolTcp, 0, 1, 4, 0, 0, 0, 0});
  v6[kQuoteV6 + 6] = 60;
  ExpectOurFlow(Parse(Mended(v6)), "fd00::1", "fd00::2");
}

TEST(IcmpQuoteTest, AQuoteOfAnotherProtocolOrOfALaterFragmentIsNotTcp) {
  EXPECT_FALSE(Parse(With(FragmentationNeededFrame(), kQuoteV4 + 9, {17})).has_value());
  EXPECT_FALSE(Parse(With(FragmentationNeededFrame(), kQuoteV4 + 6, {0, 9})).has_value());
  EXPECT_FALSE(Parse(With(FragmentationNeededFrame(), kQuoteV4, {0x65})).has_value());
  EXPECT_FALSE(Parse(With(FragmentationNeededFrame(), kQuoteV4, {0x44})).has_value());
  EXPECT_FALSE(Parse(With(TooBigFrame(), kQuoteV6 + 6, {17})).has_value());
  EXPECT_FALSE(Parse(With(TooBigFrame(), kQuoteV6 + 6, {44})).has_value());
  EXPECT_FALSE(Parse(With(TooBigFrame(), kQuoteV6, {0x45})).has_value());
}

TEST(IcmpQuoteTest, AnErrorAboutAnotherHostsSegmentIsNotBelieved) {
  EXPECT_FALSE(Parse(With(FragmentationNeededFrame(), kQuoteV4 + 12, {10, 0, 0, 7})).has_value());
  EXPECT_FALSE(Parse(With(TooBigFrame(), kQuoteV6 + 8 + 15, {7})).has_value());
}

}  // namespace
}  // namespace devmem
