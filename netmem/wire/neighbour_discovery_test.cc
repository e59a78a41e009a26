// SPDX-License-Identifier: Apache-2.0
// Tests of neighbour discovery messages: literal frames, every check of RFC 4861 section 7.1, and
// what we write.
#include "netmem/wire/neighbour_discovery.h"

#include <gtest/gtest.h>

#include <vector>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr MacAddress kOurMac({0x02, 0x00, 0x5e, 0x10, 0x00, 0x01});
constexpr MacAddress kPeerMac({0x02, 0x00, 0x5e, 0x10, 0x00, 0x02});
constexpr IpAddress kOurs = IpAddress::FromHalves(0xfd00'0000'0000'0000, 1);
constexpr IpAddress kPeers = IpAddress::FromHalves(0xfd00'0000'0000'0000, 2);

// Where things lie in a frame without extension headers.
constexpr size_t kIpv6 = 14, kIcmp = 54, kTarget = kIcmp + 8, kOption = kIcmp + 24;

std::optional<NeighbourMessage> Parse(const Bytes& frame) {
  return ParseNeighbourMessage(frame, ParseFrame(frame, static_cast<uint32_t>(frame.size())));
}

// Makes the lengths and the checksum of a frame right again after a change.
Bytes Mended(Bytes frame) {
  StoreBe16(&frame[kIpv6 + 4], static_cast<uint16_t>(frame.size() - kIcmp));
  StoreBe16(&frame[kIcmp + 2], 0);
  const std::span<const uint8_t> message = std::span(frame).subspan(kIcmp);
  const uint32_t pseudo_sum =
      PseudoHeaderSumV6(IpAddress::FromV6(std::span(frame).subspan(kIpv6 + 8)),
                        IpAddress::FromV6(std::span(frame).subspan(kIpv6 + 24)), kIpProtocolIcmpV6,
                        static_cast<uint32_t>(message.size()));
  StoreBe16(&frame[kIcmp + 2], ChecksumField(PartialSum(message, pseudo_sum)));
  return frame;
}

Bytes With(Bytes frame, size_t offset, const Bytes& bytes) {
  std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<ptrdiff_t>(offset));
  return Mended(std::move(frame));
}

Bytes Append(Bytes frame, const Bytes& bytes) {
  frame.insert(frame.end(), bytes.begin(), bytes.end());
  return Mended(std::move(frame));
}

TEST(NeighbourDiscoveryTest, ASolicitationSaysWhoAsksForWhom) {
  const std::optional<NeighbourMessage> message = Parse(SolicitationFrame());
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(message->is_solicitation);
  EXPECT_EQ(message->source, kPeers);
  EXPECT_EQ(message->target, kOurs);
  EXPECT_EQ(message->link_address, kPeerMac);
}

TEST(NeighbourDiscoveryTest, DuplicateAddressDetectionAsksFromNobody) {
  const std::optional<NeighbourMessage> message = Parse(DetectionFrame());
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(message->is_solicitation);
  EXPECT_TRUE(message->source.is_unspecified());
  EXPECT_EQ(message->target, kOurs);
  EXPECT_FALSE(message->link_address.has_value());
}

TEST(NeighbourDiscoveryTest, AnAdvertisementHasItsFlags) {
  const std::optional<NeighbourMessage> message = Parse(AdvertisementFrame());
  ASSERT_TRUE(message.has_value());
  EXPECT_FALSE(message->is_solicitation);
  EXPECT_TRUE(message->solicited);
  EXPECT_TRUE(message->overrides);
  EXPECT_EQ(message->target, kPeers);
  EXPECT_EQ(message->link_address, kPeerMac);
  const std::optional<NeighbourMessage> plain =
      Parse(With(AdvertisementFrame(), kIcmp + 4, {0x80, 0, 0, 0}));  // From a router.
  ASSERT_TRUE(plain.has_value());
  EXPECT_FALSE(plain->solicited);
  EXPECT_FALSE(plain->overrides);
}

TEST(NeighbourDiscoveryTest, AMessageFromBeyondTheLinkIsRefused) {
  for (const Bytes& good : {SolicitationFrame(), AdvertisementFrame()}) {
    for (const uint8_t hop_limit : Bytes{0, 1, 64, 254}) {
      EXPECT_FALSE(Parse(With(good, kIpv6 + 7, {hop_limit})).has_value()) << int{hop_limit};
    }
  }
}

TEST(NeighbourDiscoveryTest, AFlippedBitIsRefused) {
  for (const Bytes& good : {SolicitationFrame(), DetectionFrame(), AdvertisementFrame()}) {
    for (size_t bit = (kIpv6 + 8) * 8; bit < good.size() * 8; ++bit) {
      Bytes frame = good;
      frame[bit / 8] = static_cast<uint8_t>(frame[bit / 8] ^ 1 << bit % 8);
      EXPECT_FALSE(Parse(frame).has_value()) << bit;
    }
  }
}

TEST(NeighbourDiscoveryTest, ACodeOtherThan0IsRefused) {
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kIcmp + 1, {1})).has_value());
  EXPECT_FALSE(Parse(With(AdvertisementFrame(), kIcmp + 1, {1})).has_value());
}

TEST(NeighbourDiscoveryTest, EveryTruncationIsRefusedButThatOfTheWholeOption) {
  for (const Bytes& good : {SolicitationFrame(), AdvertisementFrame()}) {
    for (size_t bytes = kIcmp + 8; bytes < good.size(); ++bytes) {
      Bytes cut = good;
      cut.resize(bytes);
      const std::optional<NeighbourMessage> message = Parse(Mended(cut));
      ASSERT_EQ(message.has_value(), bytes == kOption) << bytes;
      EXPECT_FALSE(message.has_value() && message->link_address.has_value());
      // The length still says what it said: the end of the frame is missing.
      EXPECT_FALSE(Parse(cut).has_value()) << bytes;
    }
  }
}

TEST(NeighbourDiscoveryTest, AnOptionOfLength0IsRefusedWhereverItStands) {
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kOption + 1, {0})).has_value());
  EXPECT_FALSE(Parse(Append(SolicitationFrame(), {14, 0, 1, 2, 3, 4, 5, 6})).has_value());
  EXPECT_FALSE(Parse(With(AdvertisementFrame(), kOption + 1, {0})).has_value());
}

TEST(NeighbourDiscoveryTest, AnOptionThatRunsPastTheEndIsRefused) {
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kOption + 1, {2})).has_value());
  EXPECT_FALSE(Parse(Append(SolicitationFrame(), {14, 1, 1})).has_value());
}

TEST(NeighbourDiscoveryTest, OptionsThatNobodyKnowsAreSteppedOver) {
  Bytes nonce_first = SolicitationFrame();
  nonce_first.insert(nonce_first.begin() + kOption, {14, 1, 1, 2, 3, 4, 5, 6});
  const std::optional<NeighbourMessage> message = Parse(Mended(nonce_first));
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->link_address, kPeerMac);
}

TEST(NeighbourDiscoveryTest, TheLinkAddressOfTheOtherKindOrOfAnotherKindOfLinkIsNotTaken) {
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kOption, {2}))->link_address.has_value());
  EXPECT_FALSE(Parse(With(AdvertisementFrame(), kOption, {1}))->link_address.has_value());
  const Bytes long_one = Append(With(SolicitationFrame(), kOption, {1}), Bytes(8));
  EXPECT_FALSE(Parse(With(long_one, kOption, {1, 2}))->link_address.has_value());
}

TEST(NeighbourDiscoveryTest, AGroupIsNobodysLinkAddress) {
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kOption + 2, {0x33})).has_value());
  EXPECT_FALSE(Parse(With(AdvertisementFrame(), kOption + 2, {0xff})).has_value());
}

TEST(NeighbourDiscoveryTest, ATargetThatNoHostMayHaveIsRefused) {
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kTarget, {0xff, 0x02})).has_value());
  Bytes mapped(16);
  mapped[10] = mapped[11] = 0xff;
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kTarget, mapped)).has_value());
}

TEST(NeighbourDiscoveryTest, AGroupAsksNothing) {
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kIpv6 + 8, {0xff, 0x02})).has_value());
  EXPECT_FALSE(Parse(With(AdvertisementFrame(), kIpv6 + 8, {0xff, 0x02})).has_value());
}

TEST(NeighbourDiscoveryTest, ADetectionWithALinkAddressOrToOneMachineIsRefused) {
  EXPECT_FALSE(Parse(Append(DetectionFrame(), {1, 1, 2, 0, 0x5e, 0x10, 0, 2})).has_value());
  const auto ours = kOurs.bytes();
  EXPECT_FALSE(
      Parse(With(DetectionFrame(), kIpv6 + 24, Bytes(ours.begin(), ours.end()))).has_value());
}

TEST(NeighbourDiscoveryTest, ASolicitedAdvertisementToEverybodyIsRefused) {
  const auto all = kIpv6AllNodes.bytes();
  const Bytes to_all = With(AdvertisementFrame(), kIpv6 + 24, Bytes(all.begin(), all.end()));
  EXPECT_FALSE(Parse(to_all).has_value());
  const std::optional<NeighbourMessage> news = Parse(With(to_all, kIcmp + 4, {0x20}));
  ASSERT_TRUE(news.has_value());
  EXPECT_FALSE(news->solicited);
}

TEST(NeighbourDiscoveryTest, AMessageBehindAFragmentHeaderIsRefused) {
  // One that says "the whole packet" (RFC 6946); RFC 6980 refuses it here nevertheless.
  Bytes frame = SolicitationFrame();
  frame.insert(frame.begin() + kIcmp, {kIpProtocolIcmpV6, 0, 0, 0, 0, 0, 0, 1});
  frame[kIpv6 + 6] = 44;
  StoreBe16(&frame[kIpv6 + 4], static_cast<uint16_t>(frame.size() - kIcmp));
  ASSERT_EQ(ParseFrame(frame, static_cast<uint32_t>(frame.size())).kind, FrameKind::kIcmpV6);
  EXPECT_FALSE(Parse(frame).has_value());
}

TEST(NeighbourDiscoveryTest, OtherFramesAreNoNeighbourMessages) {
  EXPECT_FALSE(Parse(PingFrameV6()).has_value());
  EXPECT_FALSE(Parse(With(SolicitationFrame(), kIcmp, {133})).has_value());
  EXPECT_FALSE(Parse(DataFrameV6()).has_value());
  EXPECT_FALSE(Parse(ArpRequestFrame()).has_value());
}

TEST(NeighbourDiscoveryTest, WhatWeAnswerAndAskAreTheLiteralBytes) {
  Bytes out(128);
  out.resize(BuildNeighbourAdvertisement(*Parse(SolicitationFrame()), kPeerMac, kOurMac, out));
  EXPECT_EQ(
      out,
      FromHex("02 00 5e 10 00 02 02 00 5e 10 00 01 86 dd"
              "60 00 00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 fd 00 00 00"
              "00 00 00 00 00 00 00 00 00 00 00 02 88 00 be 8b 60 00 00 00 fd 00 00 00 00 00 00 00"
              "00 00 00 00 00 00 00 01 02 01 02 00 5e 10 00 01"));
  out.resize(128);
  out.resize(BuildNeighbourAdvertisement(*Parse(DetectionFrame()), kPeerMac, kOurMac, out));
  EXPECT_EQ(
      out,
      FromHex("33 33 00 00 00 01 02 00 5e 10 00 01 86 dd"
              "60 00 00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 ff 02 00 00"
              "00 00 00 00 00 00 00 00 00 00 00 01 88 00 fc 8a 20 00 00 00 fd 00 00 00 00 00 00 00"
              "00 00 00 00 00 00 00 01 02 01 02 00 5e 10 00 01"));
  out.resize(128);
  out.resize(BuildNeighbourSolicitation(kOurMac, kOurs, kPeers, out));
  EXPECT_EQ(
      out,
      FromHex("33 33 ff 00 00 02 02 00 5e 10 00 01 86 dd"
              "60 00 00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 ff 02 00 00"
              "00 00 00 00 00 00 00 01 ff 00 00 02 87 00 1f 87 00 00 00 00 fd 00 00 00 00 00 00 00"
              "00 00 00 00 00 00 00 02 01 01 02 00 5e 10 00 01"));
}

TEST(NeighbourDiscoveryTest, ABufferThatIsTooShortOrAnIpv4AddressGivesNoFrame) {
  const NeighbourMessage asked = *Parse(SolicitationFrame());
  Bytes out(128);
  for (size_t bytes = 0; bytes < kOption + 8; ++bytes) {
    const std::span<uint8_t> room = std::span(out).first(bytes);
    EXPECT_EQ(BuildNeighbourAdvertisement(asked, kPeerMac, kOurMac, room), 0u) << bytes;
    EXPECT_EQ(BuildNeighbourSolicitation(kOurMac, kOurs, kPeers, room), 0u) << bytes;
  }
  EXPECT_EQ(BuildNeighbourSolicitation(kOurMac, IpAddress::FromV4(1), kPeers, out), 0u);
}

TEST(NeighbourDiscoveryTest, AddressesAreMadeFromAddressesAsTheRfcsSay) {
  // RFC 4291 appendix A and section 2.7.1, RFC 2464 section 7.
  EXPECT_EQ(LinkLocalAddress(MacAddress({0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde})).ToString(),
            "fe80::3656:78ff:fe9a:bcde");
  EXPECT_TRUE(LinkLocalAddress(kOurMac).is_link_local_v6());
  EXPECT_EQ(LinkLocalAddress(kOurMac).ToString(), "fe80::5eff:fe10:1");
  EXPECT_FALSE(kOurs.is_link_local_v6());
  const IpAddress group = SolicitedNodeGroup(*ParseIpAddress("4037::01:800:200e:8c6c"));
  EXPECT_EQ(group.ToString(), "ff02::1:ff0e:8c6c");
  EXPECT_EQ(MacAddress::ForIpv6Group(group).ToString(), "33:33:ff:0e:8c:6c");
}

}  // namespace
}  // namespace devmem
