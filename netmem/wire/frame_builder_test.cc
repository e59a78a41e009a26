// SPDX-License-Identifier: Apache-2.0
// Tests of the frames that we send: against literal bytes, and by parsing them back.
#include "netmem/wire/frame_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "netmem/wire/arp.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/tcp_header.h"
#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr MacAddress kOurMac({0x02, 0x00, 0x5e, 0x10, 0x00, 0x01});
constexpr MacAddress kPeerMac({0x02, 0x00, 0x5e, 0x10, 0x00, 0x02});

FrameHeaders ParseWhole(const Bytes& frame) {
  return ParseFrame(frame, static_cast<uint32_t>(frame.size()));
}

// Describes `frame` as its sender would have, payload included.
TcpFrameSpec SpecOf(const Bytes& frame) {
  const FrameHeaders headers = ParseWhole(frame);
  const TcpHeader tcp = *TcpHeader::Parse(std::span(frame).subspan(headers.l4_offset));
  TcpFrameSpec spec;
  spec.source_mac = kPeerMac;
  spec.destination_mac = kOurMac;
  spec.flow = {.local = headers.flow.remote,
               .remote = headers.flow.local,
               .local_port = headers.flow.remote_port,
               .remote_port = headers.flow.local_port};
  spec.seq = tcp.seq();
  spec.ack = tcp.ack();
  spec.flags = tcp.flags();
  spec.window = tcp.window();
  spec.options = ParseTcpOptions(tcp.options());
  spec.ecn = headers.ecn;
  spec.identification = 0x1234;
  spec.payload_bytes = headers.payload_bytes;
  spec.payload_sum = PartialSum(std::span(frame).subspan(headers.header_bytes));
  return spec;
}

Bytes BuiltHeaders(const TcpFrameSpec& spec, size_t room_bytes = kTcpFrameHeaderBytesMax) {
  Bytes out(room_bytes, 0xee);
  out.resize(BuildTcpFrame(spec, out));
  return out;
}

Bytes HeadersOf(const Bytes& frame) {
  return Bytes(frame.begin(), frame.begin() + ParseWhole(frame).header_bytes);
}

TEST(FrameBuilderTest, SegmentsOverIpv4AreTheLiteralBytes) {
  EXPECT_EQ(BuiltHeaders(SpecOf(SynFrameV4())), HeadersOf(SynFrameV4()));
  EXPECT_EQ(BuiltHeaders(SpecOf(DataFrameV4())), HeadersOf(DataFrameV4()));
}

TEST(FrameBuilderTest, ASegmentOverIpv6IsTheLiteralBytesWithoutAFlowLabel) {
  Bytes expected = HeadersOf(DataFrameV6());
  StoreBe32(&expected[14], LoadBe32(&expected[14]) & 0xfff00000);
  EXPECT_EQ(BuiltHeaders(SpecOf(DataFrameV6())), expected);
}

TEST(FrameBuilderTest, TheSumForOffloadCoversThePseudoHeaderOnly) {
  for (const Bytes& frame : {DataFrameV4(), DataFrameV6()}) {
    TcpFrameSpec spec = SpecOf(frame);
    spec.checksum = TcpChecksum::kPseudoHeaderOnly;
    spec.payload_sum = 0xdead;
    const Bytes headers = BuiltHeaders(spec);
    const size_t field = ParseWhole(frame).l4_offset + size_t{16};
    EXPECT_EQ(LoadBe16(&headers[field]),
              Fold(PseudoHeaderSum(spec.flow.local, spec.flow.remote, 6, 37)));
    // What the NIC then does: the sum of everything from the TCP header on, put in the field.
    Bytes whole = headers;
    whole.insert(whole.end(), frame.begin() + static_cast<ptrdiff_t>(headers.size()), frame.end());
    const size_t l4_offset = field - 16;
    StoreBe16(&whole[field], ChecksumField(PartialSum(std::span(whole).subspan(l4_offset))));
    EXPECT_EQ(LoadBe16(&whole[field]), LoadBe16(&frame[field]));
  }
}

TEST(FrameBuilderTest, AnOptionListThatFillsTheHeaderFits) {
  TcpFrameSpec spec = SpecOf(DataFrameV6());
  spec.options.sack_block_count = 3;
  EXPECT_EQ(BuiltHeaders(spec).size(), kTcpFrameHeaderBytesMax);
}

TEST(FrameBuilderTest, EveryBufferThatIsTooShortIsRefused) {
  for (const Bytes& frame : {SynFrameV4(), DataFrameV4(), DataFrameV6()}) {
    const size_t header_bytes = ParseWhole(frame).header_bytes;
    for (size_t room_bytes = 0; room_bytes < header_bytes; ++room_bytes) {
      EXPECT_TRUE(BuiltHeaders(SpecOf(frame), room_bytes).empty()) << room_bytes;
    }
    EXPECT_EQ(BuiltHeaders(SpecOf(frame), header_bytes).size(), header_bytes);
  }
}

TEST(FrameBuilderTest, APayloadThatNoIpLengthCanNameIsRefused) {
  TcpFrameSpec spec = SpecOf(DataFrameV4());
  spec.payload_bytes = 0xffff - 52;
  EXPECT_FALSE(BuiltHeaders(spec).empty());
  ++spec.payload_bytes;
  EXPECT_TRUE(BuiltHeaders(spec).empty());
  spec.payload_bytes = 0xffffffff;
  EXPECT_TRUE(BuiltHeaders(spec).empty());
  spec = SpecOf(DataFrameV6());
  spec.payload_bytes = 0xffff - 32;  // The IPv6 header itself does not count.
  EXPECT_FALSE(BuiltHeaders(spec).empty());
  ++spec.payload_bytes;
  EXPECT_TRUE(BuiltHeaders(spec).empty());
}

TEST(FrameBuilderTest, AddressesOfTwoFamiliesAreRefused) {
  TcpFrameSpec spec = SpecOf(DataFrameV4());
  spec.flow.remote = SpecOf(DataFrameV6()).flow.remote;
  EXPECT_TRUE(BuiltHeaders(spec).empty());
}

TEST(FrameBuilderTest, AnArpReplySwapsTheSides) {
  Bytes out(64);
  out.resize(BuildArpReply(ArpRequestFrame(), kOurMac, out));
  EXPECT_EQ(out, FromHex("02 00 5e 10 00 02 02 00 5e 10 00 01 08 06 00 01 08 00 06 04 00 02"
                         "02 00 5e 10 00 01 0a 00 00 01 02 00 5e 10 00 02 0a 00 00 02"));
}

TEST(FrameBuilderTest, OnlyAnArpRequestIsAnswered) {
  Bytes out(64);
  Bytes reply = ArpRequestFrame();
  reply[21] = kArpReply;
  EXPECT_EQ(BuildArpReply(reply, kOurMac, out), 0u);
  EXPECT_EQ(BuildArpReply(DataFrameV4(), kOurMac, out), 0u);
  for (size_t count = 0; count < 42; ++count) {
    Bytes request = ArpRequestFrame();
    request.resize(count);
    EXPECT_EQ(BuildArpReply(request, kOurMac, out), 0u) << count;
    EXPECT_EQ(BuildArpReply(ArpRequestFrame(), kOurMac, std::span(out).first(count)), 0u);
  }
}

TEST(FrameBuilderTest, AnArpRequestIsTheLiteralBytes) {
  Bytes out(64);
  out.resize(
      BuildArpRequest(kPeerMac, IpAddress::FromV4(0x0a000002), IpAddress::FromV4(0x0a000001), out));
  EXPECT_EQ(out, ArpRequestFrame());
  EXPECT_EQ(BuildArpRequest(kPeerMac, IpAddress(), IpAddress(), std::span(out).first(41)), 0u);
}

TEST(FrameBuilderTest, AnEchoReplyGoesBackWithTheSameData) {
  for (const Bytes& request : {PingFrameV4(), PingFrameV6()}) {
    const FrameHeaders asked = ParseWhole(request);
    Bytes out(128);
    out.resize(BuildIcmpEchoReply(request, asked, kOurMac, out));
    ASSERT_EQ(out.size(), request.size());
    const FrameHeaders reply = ParseWhole(out);
    EXPECT_EQ(reply.kind, asked.kind);
    EXPECT_EQ(reply.flow.local, asked.flow.remote);
    EXPECT_EQ(reply.flow.remote, asked.flow.local);
    EXPECT_EQ(EthernetHeader::Parse(out)->destination(), kPeerMac);
    EXPECT_EQ(EthernetHeader::Parse(out)->source(), kOurMac);
    const size_t icmp = reply.l4_offset;
    EXPECT_EQ(out[icmp], reply.is_v6 ? 129 : 0);
    EXPECT_TRUE(std::equal(out.begin() + static_cast<ptrdiff_t>(icmp) + 4, out.end(),
                           request.begin() + static_cast<ptrdiff_t>(icmp) + 4));
  }
}

TEST(FrameBuilderTest, TheChecksumOfAnEchoReplyIsThatOfALinuxHost) {
  // The request's checksum and the reply's differ by the change of type: 8 to 0, 128 to 129.
  Bytes out(128);
  BuildIcmpEchoReply(PingFrameV4(), ParseWhole(PingFrameV4()), kOurMac, out);
  EXPECT_EQ(LoadBe16(&out[36]), 0xfcef + 0x0800 - 0xffff);
  BuildIcmpEchoReply(PingFrameV6(), ParseWhole(PingFrameV6()), kOurMac, out);
  EXPECT_EQ(LoadBe16(&out[56]), 0x8a9f - 0x0100);
}

TEST(FrameBuilderTest, EthernetPaddingIsNotEchoed) {
  Bytes request = PingFrameV4();
  const size_t request_bytes = request.size();
  request.resize(60, 0xee);
  Bytes out(128);
  EXPECT_EQ(BuildIcmpEchoReply(request, ParseWhole(request), kOurMac, out), request_bytes);
}

TEST(FrameBuilderTest, AnEchoRequestWithAFlippedBitIsNotAnswered) {
  for (const Bytes& good : {PingFrameV4(), PingFrameV6()}) {
    Bytes out(128);
    for (size_t bit = size_t{ParseWhole(good).l4_offset} * 8; bit < good.size() * 8; ++bit) {
      Bytes request = good;
      request[bit / 8] = static_cast<uint8_t>(request[bit / 8] ^ 1 << bit % 8);
      EXPECT_EQ(BuildIcmpEchoReply(request, ParseWhole(request), kOurMac, out), 0u) << bit;
    }
  }
}

TEST(FrameBuilderTest, AnEchoRequestFromAGroupOrFromNobodyIsNotAnswered) {
  for (const uint32_t source : {0u, 0xe0000001u, 0xffffffffu}) {
    Bytes request = PingFrameV4();
    StoreBe32(&request[26], source);
    StoreBe16(&request[24], 0);
    StoreBe16(&request[24], ChecksumField(PartialSum(std::span(request).subspan(14, 20))));
    ASSERT_EQ(ParseWhole(request).kind, FrameKind::kIcmp);
    Bytes out(128);
    EXPECT_EQ(BuildIcmpEchoReply(request, ParseWhole(request), kOurMac, out), 0u) << source;
  }
}

TEST(FrameBuilderTest, AnEchoReplyNeedsTheWholeRequestAndRoomForItself) {
  const Bytes request = PingFrameV4();
  const FrameHeaders headers = ParseWhole(request);
  Bytes out(128);
  for (size_t count = 0; count < request.size(); ++count) {
    const Bytes cut(request.begin(), request.begin() + static_cast<ptrdiff_t>(count));
    EXPECT_EQ(BuildIcmpEchoReply(cut, headers, kOurMac, out), 0u) << count;
    EXPECT_EQ(BuildIcmpEchoReply(request, headers, kOurMac, std::span(out).first(count)), 0u);
  }
}

TEST(FrameBuilderTest, OtherFramesAreNoEchoRequests) {
  Bytes out(128);
  EXPECT_EQ(BuildIcmpEchoReply(DataFrameV4(), ParseWhole(DataFrameV4()), kOurMac, out), 0u);
  Bytes reply(128);
  reply.resize(BuildIcmpEchoReply(PingFrameV4(), ParseWhole(PingFrameV4()), kOurMac, reply));
  EXPECT_EQ(BuildIcmpEchoReply(reply, ParseWhole(reply), kOurMac, out), 0u);
}

}  // namespace
}  // namespace devmem
