// SPDX-License-Identifier: Apache-2.0
// The lossy relay does to frames what it says: each fate at its rate, the same one for the same
// seed, damage that a checksum shows, and nothing to frames that are not TCP.

#include "selftests/lossy/lossy_path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "netmem/tcp/time.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/tcp_header.h"

namespace devmem::lossy {
namespace {

constexpr uint32_t kFrames = 20'000;
constexpr uint32_t kL4Offset = 14 + 20;

// A segment of 100 bytes with checksums in place; `serial` is its sequence number.
Frame Segment(uint32_t serial) {
  TcpFrameSpec spec;
  spec.flow = {.local = IpAddress::FromV4(0xc6120001),
               .remote = IpAddress::FromV4(0xc6120002),
               .local_port = 1000,
               .remote_port = 2000};
  spec.seq = SeqNum(serial);
  spec.flags = kTcpAck;
  spec.payload_bytes = 100;
  std::array<uint8_t, kTcpFrameHeaderBytesMax> header;
  Frame frame(header.begin(), header.begin() + static_cast<long>(BuildTcpFrame(spec, header)));
  for (uint8_t i = 0; i < 100; ++i) frame.push_back(static_cast<uint8_t>(i * 7 + serial));
  // The builder left room for the sum of header and payload: RFC 9293 section 3.1.
  StoreBe16(&frame[kL4Offset + 16], 0);
  const uint32_t l4_bytes = static_cast<uint32_t>(frame.size()) - kL4Offset;
  const uint32_t pseudo =
      PseudoHeaderSum(spec.flow.local, spec.flow.remote, kIpProtocolTcp, l4_bytes);
  StoreBe16(&frame[kL4Offset + 16],
            ChecksumField(PartialSum(std::span(frame).subspan(kL4Offset), pseudo)));
  return frame;
}

uint32_t SerialOf(const Frame& frame) { return LoadBe32(&frame[kL4Offset + 4]); }

// Whether a receiver that looks at both checksums takes the frame for good.
bool LooksGood(const Frame& frame) {
  const std::span<const uint8_t> ip = std::span(frame).subspan(14);
  const std::optional<Ipv4Header> header = Ipv4Header::Parse(ip);
  if (!header.has_value() || !header->ChecksumIsRight()) return false;
  const std::span<const uint8_t> l4 = ip.subspan(header->header_bytes());
  const uint32_t pseudo = PseudoHeaderSum(header->source(), header->destination(), kIpProtocolTcp,
                                          static_cast<uint32_t>(l4.size()));
  return Fold(PartialSum(l4, pseudo)) == 0xffff;
}

ImpairmentConfig Bad() {
  return {.delay_ns = 250 * kMicrosecond,
          .loss = 0.03,
          .duplication = 0.01,
          .corruption = 0.01,
          .reorder = 0.05,
          .reorder_delay_ns = kMillisecond};
}

// One frame every 10 us through a path; what comes out, in order.
std::vector<Frame> PassAll(LossyPath& path) {
  std::vector<Frame> left;
  Nanos now = 0;
  for (uint32_t i = 0; i < kFrames; ++i, now += 10 * kMicrosecond) {
    path.Enter(Segment(i), now);
    while (std::optional<Frame> frame = path.Leave(now)) left.push_back(*std::move(frame));
  }
  while (const std::optional<Nanos> due = path.next_due()) left.push_back(*path.Leave(*due));
  return left;
}

TEST(LossyPathTest, EachFateComesAtItsRateAndEveryOtherFrameArrivesAsItWasSent) {
  LossyPath path(Bad(), 1, 0);
  const std::vector<Frame> left = PassAll(path);
  const PathCounts& counts = path.counts();
  EXPECT_EQ(counts.frames, kFrames);
  EXPECT_NEAR(static_cast<double>(counts.dropped), kFrames * 0.03, 80);
  EXPECT_NEAR(static_cast<double>(counts.duplicated), kFrames * 0.01, 50);
  EXPECT_NEAR(static_cast<double>(counts.reordered), kFrames * 0.05 * 0.97, 100);
  EXPECT_NEAR(static_cast<double>(counts.corrupted), kFrames * 0.01 * 0.97, 50);
  EXPECT_EQ(left.size(), kFrames - counts.dropped + counts.duplicated);

  uint64_t damaged = 0;
  uint64_t overtaken = 0;
  uint32_t highest = 0;
  for (const Frame& frame : left) {
    if (!LooksGood(frame)) {
      ++damaged;
      continue;
    }
    const uint32_t serial = SerialOf(frame);
    ASSERT_EQ(frame, Segment(serial));
    overtaken += serial < highest;
    highest = std::max(highest, serial);
  }
  EXPECT_EQ(damaged, counts.corrupted) << "no damage escapes the checksums";
  EXPECT_GT(overtaken, counts.reordered / 2);
}

TEST(LossyPathTest, TheSameSeedGivesTheSameFatesAndAnotherOneOthers) {
  LossyPath first(Bad(), 7, 0);
  LossyPath again(Bad(), 7, 0);
  LossyPath other(Bad(), 8, 0);
  LossyPath back(Bad(), 7, 1);
  const std::vector<Frame> frames = PassAll(first);
  EXPECT_EQ(PassAll(again), frames);
  EXPECT_NE(PassAll(other), frames);
  EXPECT_NE(PassAll(back), frames);
}

TEST(LossyPathTest, FramesThatAreNotTcpPassAtOnceUnharmed) {
  LossyPath path({.loss = 1}, 1, 0);
  Frame arp = Segment(1);
  StoreBe16(&arp[12], kEtherTypeArp);
  path.Enter(arp, 5);
  EXPECT_EQ(path.Leave(5), arp);
  Frame ping = Segment(1);
  ping[14 + 9] = kIpProtocolIcmp;
  path.Enter(ping, 6);
  EXPECT_EQ(path.Leave(6), ping);
  path.Enter(Segment(1), 7);
  EXPECT_EQ(path.next_due(), std::nullopt);
  EXPECT_EQ(path.counts().dropped, 1u);
}

TEST(LossyPathTest, CountsWhatEntersByWhatItIs) {
  LossyPath path({.loss = 1}, 1, 0);
  Frame syn = Segment(1);
  syn[kL4Offset + 13] = kTcpSyn | kTcpAck;
  Frame arp = Segment(1);
  StoreBe16(&arp[12], kEtherTypeArp);
  Frame question(14 + 40 + 32);
  StoreBe16(&question[12], kEtherTypeIpv6);
  question[14 + 6] = kIpProtocolIcmpV6;
  question[14 + 40] = kIcmpV6NeighbourSolicitation;
  Frame ping = question;
  ping[14 + 40] = kIcmpV6EchoRequest;
  for (const Frame& frame : {Segment(2), syn, arp, question, ping}) path.Enter(frame, 0);
  EXPECT_EQ(path.counts().frames, 2u);
  EXPECT_EQ(path.counts().syns, 1u);
  EXPECT_EQ(path.counts().neighbours, 2u);
  EXPECT_EQ(path.counts().others, 1u);
}

TEST(LossyPathTest, EveryDamageIsBehindTheEthernetHeaderAndSeenByAChecksum) {
  SeededRandom random(1);
  std::set<size_t> places;
  const Frame good = Segment(3);
  ASSERT_TRUE(LooksGood(good));
  for (int i = 0; i < 20'000; ++i) {
    Frame frame = good;
    Corrupt(frame, random.Next());
    ASSERT_FALSE(LooksGood(frame)) << i;
    ASSERT_TRUE(std::equal(good.begin(), good.begin() + 14, frame.begin()));
    for (size_t at = 0; at < frame.size(); ++at) {
      if (frame[at] != good[at]) places.insert(at);
    }
  }
  EXPECT_EQ(places.size(), good.size() - 14) << "every byte is hit at some time";
}

TEST(CompleteChecksumTest, APartialSumBecomesTheSumThatAReceiverExpects) {
  Frame frame = Segment(9);
  const Frame whole = frame;
  const uint32_t l4_bytes = static_cast<uint32_t>(frame.size()) - kL4Offset;
  StoreBe16(&frame[kL4Offset + 16],
            Fold(PseudoHeaderSum(IpAddress::FromV4(0xc6120001), IpAddress::FromV4(0xc6120002),
                                 kIpProtocolTcp, l4_bytes)));
  EXPECT_FALSE(LooksGood(frame));
  EXPECT_TRUE(CompleteChecksum(frame, kL4Offset, 16));
  EXPECT_EQ(frame, whole);
}

TEST(CompleteChecksumTest, AFieldOutsideOfTheFrameIsRefused) {
  Frame frame(60);
  EXPECT_TRUE(CompleteChecksum(frame, 42, 16));
  EXPECT_FALSE(CompleteChecksum(frame, 43, 16));
  EXPECT_FALSE(CompleteChecksum(frame, UINT16_MAX, UINT16_MAX));
}

}  // namespace
}  // namespace devmem::lossy
